"""Ticketflow as it runs where nothing is configured: one process, one folder."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tests.support.processes import Process, clean_environment, running


class Laptop:
    """A folder with its data; ``up`` starts the product on it, any number of times."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = clean_environment(TICKETFLOW_DATA_DIR=str(folder / "data"))
        self.environment.pop("PYTHONDONTWRITEBYTECODE", None)

    @contextmanager
    def up(self, *options: str, **environment: str) -> Iterator[tuple[Process, str]]:
        with running(["up", "--port", "0", *options], self.environment | environment, self.folder) as process:
            yield process, process.wait_for_event("ticketflow.up", 90)["url"]

    def command(self, *arguments: str) -> str:
        """What a command beside it writes to stdout."""
        done = subprocess.run(
            [sys.executable, "-m", "ticketflow", *arguments],
            env=self.environment, cwd=self.folder, capture_output=True, text=True, timeout=90, check=False,
        )  # fmt: skip
        return done.stdout

    def verify(self) -> Any:
        return json.loads(self.command("verify", "--json"))


@contextmanager
def own_laptop() -> Iterator[Laptop]:
    """A folder of one's own, gone afterwards with the server in it."""
    # Under the system's folder for temporary files: the embedded server may run as another user.
    folder = Path(tempfile.mkdtemp(prefix="ticketflow-test-up-"))
    folder.chmod(0o755)
    yield Laptop(folder)
    with suppress(OSError, ValueError, IndexError):
        # A test that failed half-way leaves the database server running.
        os.kill(int((folder / "data/postgres/postmaster.pid").read_text().splitlines()[0]), signal.SIGINT)
    shutil.rmtree(folder, ignore_errors=True)
