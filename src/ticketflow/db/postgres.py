"""The gateway over a direct connection: psycopg 3 with a pool, one round trip a call."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import orjson
import psycopg
from psycopg import errors, sql
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from ticketflow.domain.errors import ConfigurationError, Poison, StoreUnavailable, TicketflowError

CALL_TIMEOUT_SECONDS = 30.0


class PostgresGateway:
    """A pool of autocommit connections: each call is its own transaction, so no BEGIN and COMMIT travel."""

    def __init__(self, url: str, pool_size: int = 8) -> None:
        self._url = url
        self._pool: AsyncConnectionPool[psycopg.AsyncConnection[Any]] = AsyncConnectionPool(
            url,
            min_size=1,
            max_size=pool_size,
            open=False,
            timeout=5,
            reconnect_timeout=0,
            kwargs={"autocommit": True, "connect_timeout": 5, "application_name": "ticketflow"},
        )
        self._statements: dict[str, sql.Composed] = {}

    async def open(self) -> None:
        """Connect once. Raises ``StoreUnavailable`` with the server's reason when that fails."""
        try:
            probe = await psycopg.AsyncConnection.connect(self._url, connect_timeout=5)
            await probe.close()
            await self._pool.open()
        except psycopg.Error as error:
            raise StoreUnavailable(_one_line(error)) from error

    async def call(self, function: str, args: Any) -> Any:
        statement = self._statements.get(function)
        if statement is None:
            statement = sql.SQL("select {}(%s::jsonb)::text").format(sql.Identifier(function))
            self._statements[function] = statement
        try:
            document = orjson.dumps(args).decode()
        except orjson.JSONEncodeError as error:
            # As PostgreSQL's own refusal would be: among many changes, only the one that holds this is to fail.
            raise Poison(f"the input cannot be written as JSON: {error}") from error
        row = await self._fetch(statement, (document,))
        return None if row is None or row[0] is None else _decoded(row[0])

    async def ping(self) -> None:
        await self._fetch(sql.SQL("select 1"), ())

    async def _fetch(self, statement: sql.SQL | sql.Composed, parameters: tuple[Any, ...]) -> Any:
        task = asyncio.current_task()
        cancelled_before = task.cancelling() if task else 0
        try:
            return await self._fetched(statement, parameters)
        finally:
            if task and task.cancelling() > cancelled_before:
                # The pool waits with asyncio.wait_for, which up to Python 3.11 loses a cancellation that meets an
                # answer; whoever cancelled this task would then wait for it for ever.
                raise asyncio.CancelledError

    async def _fetched(self, statement: sql.SQL | sql.Composed, parameters: tuple[Any, ...]) -> Any:
        try:
            async with asyncio.timeout(CALL_TIMEOUT_SECONDS), self._pool.connection() as connection:
                cursor = await connection.execute(statement, parameters)
                return await cursor.fetchone()
        except TimeoutError as error:
            raise StoreUnavailable("the database did not answer in time") from error
        except psycopg.Error as error:
            raise _translated(error) from error

    async def aclose(self) -> None:
        await self._pool.close()


_TRANSIENT = (
    psycopg.OperationalError,
    psycopg.InterfaceError,
    errors.DeadlockDetected,
    errors.SerializationFailure,
    errors.ReadOnlySqlTransaction,
    PoolTimeout,
)
_NOT_MIGRATED = (errors.UndefinedFunction, errors.UndefinedTable, errors.InsufficientPrivilege)


def _decoded(answer: str) -> Any:
    try:
        return orjson.loads(answer)
    except orjson.JSONDecodeError:
        # Numbers have no bounds in jsonb; one that is too large for orjson must not make the rows beside it unreadable.
        return json.loads(answer)


def _translated(error: psycopg.Error) -> TicketflowError:
    if isinstance(error, _TRANSIENT):
        return StoreUnavailable(_one_line(error))
    if isinstance(error, _NOT_MIGRATED):
        return ConfigurationError(f"the database schema is not ready, run `ticketflow migrate`: {_one_line(error)}")
    return Poison(_one_line(error))


def _one_line(error: psycopg.Error) -> str:
    """The server's own words, without the statement and its parameters: they hold customers' text."""
    lines = str(error).strip().splitlines()
    return error.diag.message_primary or (lines[0] if lines else type(error).__name__)
