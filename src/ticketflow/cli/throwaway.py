"""A database that exists for one command."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Coroutine
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import psycopg
from psycopg import sql

from ticketflow import store
from ticketflow.cli.console import err, plain
from ticketflow.domain.errors import StoreUnavailable
from ticketflow.settings import Settings


@contextlib.asynccontextmanager
async def own_server(settings: Settings) -> AsyncIterator[str]:
    """The connection string of a server to make databases on: the configured one, else the embedded one, which is said
    where somebody may expect a Supabase project to be used. Raises ``ConfigurationError`` and ``StoreUnavailable``."""
    async with store.database(settings) as (url, label):
        if settings.over_rest:
            err.print(f"in the {plain(label)}; the Supabase project is left alone")
        yield url


@contextlib.asynccontextmanager
async def throwaway_database(server: str, purpose: str) -> AsyncIterator[str]:
    """The connection string of a new, empty database on ``server``, dropped at the end. Raises ``StoreUnavailable``."""
    name = f"ticketflow_{purpose}_{uuid4().hex[:8]}"
    try:
        async with await psycopg.AsyncConnection.connect(server, autocommit=True, connect_timeout=5) as connection:
            await connection.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
    except psycopg.Error as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise StoreUnavailable(f"cannot make a database of its own: {reason}") from error
    try:
        yield urlunsplit(urlsplit(server)._replace(path=f"/{name}"))
    finally:
        async with await psycopg.AsyncConnection.connect(server, autocommit=True) as connection:
            await connection.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


async def until_told(work: Coroutine[Any, Any, int]) -> int:
    """SIGTERM ends it as Ctrl-C does: with everything cleaned up."""
    task = asyncio.ensure_future(work)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    try:
        return await task
    except asyncio.CancelledError:
        current = asyncio.current_task()
        if current is not None and current.cancelling():
            raise
        return 1
