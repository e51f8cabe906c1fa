"""A database that exists for one command."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import psycopg
from psycopg import sql

from ticketflow.domain.errors import StoreUnavailable


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
