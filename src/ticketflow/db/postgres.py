"""The gateway over a direct connection: psycopg 3 with a pool, one round trip a call."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import psycopg
from psycopg import errors, sql
from psycopg.types.json import Jsonb
from psycopg_pool import AsyncConnectionPool

from ticketflow.db.codec import decoded
from ticketflow.db.connecting import CONNECT_SECONDS, one_line
from ticketflow.db.gateway import OF_THE_DATA
from ticketflow.db.pooling import Pooling, find_out
from ticketflow.domain.errors import Poison, StoreUnavailable, TicketflowError
from ticketflow.telemetry.boundaries import crossing

CALL_TIMEOUT_SECONDS = 30.0
"""The longest that any call takes; those who can wait less say so with ``asyncio.timeout``, and that holds as well."""


class PostgresGateway:
    """A pool of autocommit connections: each call is its own transaction, so no BEGIN and COMMIT travel.

    Nothing outlives a call on the server, but for prepared statements where ``pooling`` says that they are kept.
    """

    def __init__(self, url: str, pool_size: int = 8) -> None:
        self.pooling = Pooling.NONE
        self._url = url
        self._pool: AsyncConnectionPool[psycopg.AsyncConnection[Any]] = AsyncConnectionPool(
            url,
            min_size=1,
            max_size=pool_size,
            open=False,
            timeout=5,
            reconnect_timeout=0,
            kwargs={"autocommit": True, "connect_timeout": CONNECT_SECONDS, "application_name": "ticketflow"},
        )
        self._statements: dict[str, sql.Composed] = {}
        self._abandoned: set[asyncio.Task[Any]] = set()

    async def open(self) -> None:
        """Connect once, and see whether there is a pooler in between. Raises ``StoreUnavailable`` with the server's
        reason when that fails, and ``ConfigurationError`` for a connection string that cannot work."""
        self.pooling = await find_out(self._url)
        await self._pool.open()

    async def call(self, function: str, args: Any) -> Any:
        statement = self._statements.get(function)
        if statement is None:
            statement = sql.SQL("select {}(%s)::text").format(sql.Identifier(function))
            self._statements[function] = statement
        try:
            document = orjson.dumps(args)
        except orjson.JSONEncodeError as error:
            # As PostgreSQL's own refusal would be: among many changes, only the one that holds this is to fail.
            raise Poison(f"the input cannot be written as JSON: {error}") from error
        with crossing(function):
            row = await self._fetch(statement, (Jsonb(document, dumps=_as_it_is),))
        return None if row is None or row[0] is None else decoded(row[0])

    async def ping(self) -> None:
        await self.call("ticketflow_schema", {})

    async def _fetch(self, statement: sql.SQL | sql.Composed, parameters: tuple[Any, ...]) -> Any:
        """The first row. In a task of its own: whoever gives up waiting, for a deadline or a cancellation, is free at
        once, while psycopg may need ten seconds to have the server cancel the query and to see that it does not answer.
        """
        work = asyncio.create_task(self._fetched(statement, parameters))
        work.add_done_callback(self._settled)
        try:
            await asyncio.wait((work,), timeout=CALL_TIMEOUT_SECONDS)
        finally:
            if not work.done():
                self._abandon(work)
        if work in self._abandoned:
            raise StoreUnavailable("the database did not answer in time")
        return work.result()

    def _abandon(self, work: asyncio.Task[Any]) -> None:
        work.cancel()
        self._abandoned.add(work)

    def _settled(self, work: asyncio.Task[Any]) -> None:
        self._abandoned.discard(work)
        if not work.cancelled():
            work.exception()  # Seen here, or asyncio would report it as never retrieved.

    async def _fetched(self, statement: sql.SQL | sql.Composed, parameters: tuple[Any, ...]) -> Any:
        try:
            # Only for a cancellation that got lost: the pool waits with asyncio.wait_for, which up to Python 3.11 loses
            # one that meets a connection coming free.
            async with asyncio.timeout(2 * CALL_TIMEOUT_SECONDS), self._pool.connection() as connection:
                if not self.pooling.keeps_sessions:
                    connection.prepare_threshold = None
                try:
                    cursor = await connection.execute(statement, parameters)
                except _STATEMENT_LOST as error:
                    # A pooler that nothing gave away, or that came later. The statement did not run.
                    self.pooling = Pooling.UNKNOWN
                    raise StoreUnavailable(one_line(error)) from error
                return await cursor.fetchone()
        except TimeoutError as error:
            raise StoreUnavailable("the database did not answer in time") from error
        except psycopg.Error as error:
            raise _translated(error) from error

    async def aclose(self) -> None:
        for work in self._abandoned:
            work.cancel()  # The second time psycopg closes the connection instead of asking the server.
        await asyncio.gather(*self._abandoned, return_exceptions=True)
        await self._pool.close()


_STATEMENT_LOST = (errors.InvalidSqlStatementName, errors.DuplicatePreparedStatement)
_NOT_MIGRATED = (errors.UndefinedFunction, errors.UndefinedTable, errors.InsufficientPrivilege)


def _as_it_is(document: bytes) -> bytes:
    return document


def _translated(error: psycopg.Error) -> TicketflowError:
    if isinstance(error, _NOT_MIGRATED):
        # Whether the schema fits was asked at the start. What is gone now may come back, and whoever has a ticket in
        # hand waits for it.
        return StoreUnavailable(f"the database schema is not ready, run `ticketflow migrate`: {one_line(error)}")
    at_fault = (error.sqlstate or "").startswith(OF_THE_DATA)
    return Poison(one_line(error)) if at_fault else StoreUnavailable(one_line(error))
