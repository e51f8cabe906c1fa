"""A Supabase project that a row may work in: found empty, and left so.

A row that fills a project with tickets of its own, and answers whatever it finds there, must never meet anybody's real
ones. So it is refused unless nothing of anybody's is in the project, asked over REST and directly; and unless both are
ways into the same one.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
from psycopg import sql

from ticketflow import wiring
from ticketflow.bench.frame import LeftOut
from ticketflow.bench.stand_ins import ARTICLE, TEXT
from ticketflow.db.connecting import connect
from ticketflow.domain.errors import ConfigurationError, InvalidMove, NotFound, TicketflowError
from ticketflow.knowledge.articles import Article
from ticketflow.services.caller import Caller
from ticketflow.settings import Settings
from ticketflow.wiring import Application

_NEEDS = "it needs SUPABASE_URL and SUPABASE_KEY of a project without tickets, and its owner's DATABASE_URL"

_OF_NOBODY = ("schema_migrations", "marks", "tallies", "tally_corrections")
"""What has rows though there is no ticket: a project that was used, and emptied."""

_LEFT_BEHIND = ("dead_letters", "queue_messages", "queue_consumers", "marks", "tallies", "tally_corrections")
"""What workers leave behind. Dead letters go before the tickets, since one that has any is not pruned."""

_EVERYTHING_BEFORE = timedelta(days=1)
"""From now: what ended by any clock has ended before then."""

_PRUNE_BATCH = 200


@dataclass(frozen=True, slots=True)
class LentProject:
    """Settings for either way in, with the embedded queue. ``owner_url`` is the direct one."""

    rest: Settings
    direct: Settings
    owner_url: str


@contextlib.asynccontextmanager
async def lent_project(settings: Settings) -> AsyncIterator[LentProject]:
    """The configured project for the length of the block; what is in it at the end is removed.

    Raises ``LeftOut`` where there is none, or one that somebody uses, and ``ConfigurationError`` for one that cannot be
    used. Raises ``TicketflowError`` at the end, and removes nothing, when there are tickets of others by then.
    """
    if settings.supabase_url is None or settings.database_url is None:
        missing = "SUPABASE_URL" if settings.supabase_url is None else "DATABASE_URL"
        raise LeftOut(f"{_NEEDS}; {missing} is not set")
    direct = settings.model_copy(update={"rabbitmq_url": None, "supabase_url": None, "supabase_key": None})
    rest = settings.model_copy(update={"rabbitmq_url": None, "database_url": None})
    project = LentProject(rest, direct, settings.database_url.get_secret_value())
    async with (
        wiring.connected(project.rest, auto_migrate=False) as over_rest,
        wiring.connected(project.direct, auto_migrate=False) as directly,
    ):
        if await over_rest.reads.tickets({}, sort="created_at", limit=1):
            raise LeftOut(f"the project of SUPABASE_URL has tickets: {_NEEDS}")
        await _refuse_one_in_use(project.owner_url)
        await _refuse_two(over_rest, directly)
    try:
        yield project
    finally:
        await _empty(project)


async def _refuse_one_in_use(owner_url: str) -> None:
    async with await connect(owner_url) as database:
        cursor = await database.execute(
            "select bool_and(pg_has_role(relowner, 'usage')) from pg_class "
            "where oid = any(ticketflow_tables()::regclass[])"
        )
        if await cursor.fetchone() != (True,):
            # To anybody else row-level security shows an empty table.
            raise ConfigurationError("DATABASE_URL must be that of the owner of the project's tables")
        cursor = await database.execute("select unnest(ticketflow_tables())")
        tables = [row[0] for row in await cursor.fetchall() if row[0] not in _OF_NOBODY]
        if used := [table for table in tables if await _any(database, table)]:
            raise LeftOut(f"the project of DATABASE_URL is in use, there is something in {', '.join(used)}: {_NEEDS}")


async def _refuse_two(over_rest: Application, directly: Application) -> None:
    """What is written on the one way must be there on the other."""
    sign = f"bench-{uuid4().hex}"
    await directly.library.add([Article(sign, "Benchmark", "Is this the same project?")])
    try:
        found = [article.id async for article in over_rest.library.articles()]
    finally:
        await directly.library.delete([sign])
    if sign not in found:
        raise ConfigurationError("SUPABASE_URL and DATABASE_URL are not of the same project")


async def _empty(project: LentProject) -> None:
    async with (
        wiring.connected(project.direct, auto_migrate=False) as app,
        await connect(project.owner_url) as database,
    ):
        cursor = await database.execute("select count(*) from tickets where body <> %s", (TEXT,))
        if strangers := (await cursor.fetchone() or (0,))[0]:
            raise TicketflowError(
                f"somebody else uses the project of SUPABASE_URL ({strangers} of its tickets are not the benchmark's), "
                "so nothing was removed; `ticketflow prune --whole` removes what has ended, a day later"
            )
        await _end_all(app, database)
        await _clear(database)
        before = datetime.now(UTC) + _EVERYTHING_BEFORE
        async for _ in app.retention.prune(before, whole=True, batch=_PRUNE_BATCH, dry_run=False):
            pass
        await _clear(database)
        with contextlib.suppress(NotFound):
            await app.library.delete([ARTICLE.id])
        if await _any(database, "tickets"):
            raise TicketflowError("tickets of the benchmark could not be removed from the project of SUPABASE_URL")


async def _end_all(app: Application, database: psycopg.AsyncConnection[Any]) -> None:
    cursor = await database.execute("select id from tickets where completed_at is null")
    ticket_ids: list[UUID] = [row[0] for row in await cursor.fetchall()]
    for ticket_id in ticket_ids:
        with contextlib.suppress(InvalidMove):
            await app.steer.cancel(ticket_id, Caller("bench"))


async def _clear(database: psycopg.AsyncConnection[Any]) -> None:
    for table in _LEFT_BEHIND:
        await database.execute(sql.SQL("delete from {}").format(sql.Identifier(table)))


async def _any(database: psycopg.AsyncConnection[Any], table: str) -> bool:
    cursor = await database.execute(sql.SQL("select exists (select from {})").format(sql.Identifier(table)))
    return await cursor.fetchone() == (True,)
