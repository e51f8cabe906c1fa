"""PostgREST's side of the database: a pool of connections as authenticator, and one transaction a request.

Imitated: PostgREST's reference, "Transactions" (access mode, settings local to the transaction, end), "Connection Pool"
(PGRST003 when none comes free in time), and of "Errors" PGRST000 and PGRST001. Prepared statements, as by default.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import psycopg
from psycopg.pq import TransactionStatus

from tests.support.postgrest.errors import refused, unavailable

Connection = psycopg.AsyncConnection[Any]
Setting = tuple[str, str]


class Database:
    """At most ``size`` connections; ``acquisition_seconds`` is how long a request waits for one."""

    def __init__(self, url: str, size: int, acquisition_seconds: float) -> None:
        self.url = url
        self._acquisition_seconds = acquisition_seconds
        self._places = asyncio.Semaphore(size)
        self._idle: list[Connection] = []

    async def connect(self) -> Connection:
        """A connection of one's own. Raises ``psycopg.OperationalError``."""
        return await psycopg.AsyncConnection.connect(
            self.url, autocommit=True, connect_timeout=5, application_name="postgrest"
        )

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """One of the pool; closed when it is not as it was. Raises ``Refused``."""
        if self._places.locked():
            try:
                await asyncio.wait_for(self._places.acquire(), self._acquisition_seconds)
            except TimeoutError:
                message = "Timed out acquiring connection from connection pool."
                raise refused(504, "PGRST003", message) from None
        else:
            await self._places.acquire()
        connection: Connection | None = None
        try:
            connection = self._idle.pop() if self._idle else await self._connect()
            yield connection
        finally:
            self._places.release()
            if connection is not None:
                if connection.info.transaction_status == TransactionStatus.IDLE:
                    self._idle.append(connection)
                else:
                    await connection.close()

    async def transaction(
        self, settings: Sequence[Setting], query: str, parameters: Sequence[Any], *, read_only: bool
    ) -> bytes:
        """The first column of the query's one row, run in a transaction with these settings, and committed.

        In one round trip. Raises ``psycopg.Error``, after which nothing has happened, but for a lost connection.
        """
        names = ", ".join(f"set_config('{name}', %s, true)" for name, _ in settings)
        async with self.connection() as connection:
            try:
                async with connection.pipeline():
                    await connection.execute("begin read only" if read_only else "begin read write", prepare=True)
                    await connection.execute(f"select {names}", [value for _, value in settings], prepare=True)
                    cursor = await connection.execute(query, parameters, prepare=True)
                    await connection.execute("commit", prepare=True)
                assert cursor.pgresult is not None
                return cursor.pgresult.get_value(0, 0) or b""
            except psycopg.Error:
                if connection.closed:
                    await self.close()  # What was lost with it is not tried one by one.
                elif connection.info.transaction_status in (TransactionStatus.INERROR, TransactionStatus.INTRANS):
                    await connection.rollback()
                raise

    async def close(self) -> None:
        """Nobody's connections."""
        while self._idle:
            await self._idle.pop().close()

    async def _connect(self) -> Connection:
        try:
            return await self.connect()
        except psycopg.OperationalError as error:
            message = "Database connection error. Retrying the connection."
            raise unavailable("PGRST000", message, str(error)) from error
