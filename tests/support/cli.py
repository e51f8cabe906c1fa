"""The command line as an operator runs it: a real process in a folder of its own."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.support.processes import clean_environment

Done = subprocess.CompletedProcess[str]


class Cli:
    """Runs ``ticketflow`` in a folder of its own with this database and nothing else configured."""

    def __init__(self, folder: Path, database_url: str) -> None:
        self.folder = folder
        self._environment = clean_environment(DATABASE_URL=database_url, COLUMNS="200", NO_COLOR="1")
        # Processes that may keep what they compiled start in a third of the time.
        self._environment.pop("PYTHONDONTWRITEBYTECODE", None)

    def __call__(self, *arguments: str, **environment: str) -> Done:
        return subprocess.run(
            [sys.executable, "-m", "ticketflow", *arguments],
            env=self._environment | environment,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def shell(self, line: str) -> Done:
        """A line for the shell, in which ``$PYTHON`` is the interpreter."""
        environment = self._environment | {"PYTHON": sys.executable}
        return subprocess.run(
            ["sh", "-c", line],
            env=environment,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def at_once(self, *commands: tuple[str, ...]) -> list[Done]:
        """Several commands that do not depend on each other."""
        with ThreadPoolExecutor(3) as pool:
            return list(pool.map(lambda arguments: self(*arguments), commands))

    def json(self, *arguments: str) -> Any:
        done = self(*arguments)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


@contextlib.contextmanager
def data_folder() -> Iterator[Path]:
    """A folder for an embedded PostgreSQL: its socket's path must be short, and root's servers run as another user."""
    folder = Path(tempfile.mkdtemp(prefix="ticketflow-test-cli-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def assert_one_line(done: Done, code: int = 1) -> str:
    """It failed, said why in one line on stderr, and nothing else."""
    assert done.returncode == code, done
    assert done.stdout == ""
    [line] = done.stderr.splitlines()
    assert line.startswith("ticketflow: ")
    assert "Traceback" not in line
    return line
