"""Migrations: plain numbered SQL files, applied once each, in order, by one process at a time."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import re
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from ticketflow.db.connecting import connect, one_line
from ticketflow.domain.errors import ConfigurationError, StoreUnavailable

LOCK_KEY = 7_236_428_001
"""The advisory lock under which migrations run; any constant that nothing else in the database uses."""

ASK_AGAIN_SECONDS = 0.2
"""How often a process asks for the lock that another one has."""


_MADE = re.compile(r"^create table (?:if not exists )?(\w+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Migration:
    number: int
    name: str
    script: str

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.script.encode()).hexdigest()


def shipped() -> list[Migration]:
    """The migrations of this release, in order."""
    inside = Path(__file__).parents[1] / "migrations"
    folder = inside if inside.is_dir() else Path(__file__).parents[3] / "migrations"
    return [
        Migration(int(path.name.split("_", 1)[0]), path.stem, path.read_text(encoding="utf-8"))
        for path in sorted(folder.glob("[0-9]*.sql"))
    ]


def behind(version: int) -> list[Migration]:
    """What a schema of this version lacks."""
    return [migration for migration in shipped() if migration.number > version]


async def pending(url: str) -> list[Migration]:
    """What ``migrate`` would apply. Raises ``StoreUnavailable`` when the database does not answer, and
    ``ConfigurationError`` when it does not say what was applied."""
    with _translated("what was applied cannot be read"):
        async with await connect(url) as connection:
            applied = await _applied(connection)
    return [migration for migration in shipped() if migration.number not in applied]


async def migrate(url: str, *, only_empty: bool = False) -> list[Migration]:
    """Apply what is missing and return it; with ``only_empty`` only to a database with nothing in it, where a schema is
    in nobody's way. Each migration is one transaction; a second process waits and finds nothing left.

    Raises ``ConfigurationError`` when an applied migration is not the one that this release ships, when the database
    was migrated by a later release, when one cannot be applied, or when the user may not; and ``StoreUnavailable``
    when the database does not answer.
    """
    with _translated("the schema cannot be made"):
        async with _locked(url) as lock, await connect(url) as connection:
            if only_empty and not await _is_empty(connection):
                return []
            return await _apply_missing(connection, lock)


@contextlib.asynccontextmanager
async def _locked(url: str) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    """The connection whose open transaction holds the lock. A session's lock would be whoever's comes next to the same
    backend, behind a pooler in transaction mode; and who waits in a transaction keeps a backend from the one who works.
    """
    async with await connect(url) as connection:
        while True:
            async with connection.transaction():
                cursor = await connection.execute("select pg_try_advisory_xact_lock(%s)", (LOCK_KEY,))
                if await cursor.fetchone() == (True,):
                    yield connection
                    return
            await asyncio.sleep(ASK_AGAIN_SECONDS)


@contextlib.contextmanager
def _translated(failed: str) -> Iterator[None]:
    try:
        yield
    except psycopg.errors.InsufficientPrivilege as error:
        raise ConfigurationError(f"{failed}, for the database user lacks rights: {one_line(error)}") from error
    except psycopg.OperationalError as error:
        raise StoreUnavailable(one_line(error)) from error
    except psycopg.Error as error:
        raise ConfigurationError(f"{failed}: {one_line(error)}") from error


async def _is_empty(connection: psycopg.AsyncConnection) -> bool:
    cursor = await connection.execute(
        """select not exists (select from pg_class c join pg_namespace n on n.oid = c.relnamespace
             where n.nspname = current_schema() and c.relkind in ('r', 'p', 'v', 'm', 'f'))"""
    )
    row = await cursor.fetchone()
    return row is not None and bool(row[0])


async def _apply_missing(
    connection: psycopg.AsyncConnection[Any], lock: psycopg.AsyncConnection[Any]
) -> list[Migration]:
    applied = await _applied(connection)
    if not applied:
        await _refuse_others_tables(connection)
    await connection.execute(
        """create table if not exists schema_migrations (
             number integer primary key, name text not null, checksum text not null,
             applied_at timestamptz not null default clock_timestamp())"""
    )
    await _record(connection, [migration for migration in shipped() if migration.number in applied])
    if later := applied.keys() - {migration.number for migration in shipped()}:
        raise ConfigurationError(f"the database was migrated by a later release: it has migration {max(later)}")
    done = []
    for migration in shipped():
        checksum = applied.get(migration.number)
        if checksum is not None:
            if checksum != migration.checksum:
                raise ConfigurationError(f"migration {migration.name} was applied in another wording")
            continue
        # Fails where the lock was lost with its connection, and somebody else may be at work.
        await lock.execute("select 1")
        await _apply(connection, migration)
        done.append(migration)
    # Also where nothing was missing: roles may have come since, and PostgREST may have missed what was done before.
    await connection.execute("select ticketflow_secure()")
    await connection.execute("notify pgrst, 'reload schema'")
    return done


async def _refuse_others_tables(connection: psycopg.AsyncConnection[Any]) -> None:
    """Before the first migration, and not in the middle of them, with half a schema left behind. A table is a type too,
    so that a type is in its way as well."""
    ours = [name for migration in shipped() for name in _MADE.findall(migration.script)]
    cursor = await connection.execute(
        """select string_agg(name, ', ' order by name) from (
             select relname from pg_class where relnamespace = current_schema()::regnamespace
             union select typname from pg_type where typnamespace = current_schema()::regnamespace) taken (name)
           where name = any (%s) and name <> 'schema_migrations'""",
        (ours,),
    )
    row = await cursor.fetchone()
    if row is not None and row[0] is not None:
        raise _taken(row[0])


def _taken(names: str) -> ConfigurationError:
    return ConfigurationError(
        f"the database has tables or types with names that Ticketflow needs, and nothing was changed: {names}; "
        "give it a database of its own, or rename them; where psql applied some of the migrations, go on with psql"
    )


async def _apply(connection: psycopg.AsyncConnection[Any], migration: Migration) -> None:
    with _translated(f"migration {migration.name} cannot be applied, and nothing of it was"):
        async with connection.transaction():
            await connection.execute(migration.script.encode())
            await _record(connection, [migration])


async def _record(connection: psycopg.AsyncConnection[Any], applied: Sequence[Migration]) -> None:
    await connection.cursor().executemany(
        "insert into schema_migrations (number, name, checksum) values (%s, %s, %s) on conflict do nothing",
        [(migration.number, migration.name, migration.checksum) for migration in applied],
    )


async def _applied(connection: psycopg.AsyncConnection[Any]) -> dict[int, str]:
    """Numbers and checksums: what is on record, and beyond it what the schema says of itself. Files that something else
    applied, such as psql or ``supabase db push``, are taken for those of this release."""
    recorded: dict[int, str] = {}
    cursor = await connection.execute(
        """select to_regclass('schema_migrations') is not null, to_regprocedure('ticketflow_schema(jsonb)') is not null,
                  exists (select from pg_attribute
                          where attrelid = to_regclass('schema_migrations') and attname = 'checksum')"""
    )
    on_record, tells, by_us = await cursor.fetchone() or (False, False, False)
    if on_record and not by_us:
        # Rails, Ecto and others keep theirs under the same name.
        raise _taken("schema_migrations")
    if on_record:
        cursor = await connection.execute("select number, checksum from schema_migrations")
        recorded = dict(await cursor.fetchall())
    if not tells:
        return recorded
    cursor = await connection.execute("select (ticketflow_schema('{}')->>'version')::integer")
    [version] = await cursor.fetchone() or (0,)
    ours = {migration.number: migration.checksum for migration in shipped()}
    beyond = range(max(recorded, default=0) + 1, version + 1)
    return recorded | {number: ours.get(number, "") for number in beyond}
