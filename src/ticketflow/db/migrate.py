"""Migrations: plain numbered SQL files, applied once each, in order, by one process at a time."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import psycopg

from ticketflow.db.connecting import connect, one_line
from ticketflow.domain.errors import ConfigurationError, StoreUnavailable

LOCK_KEY = 7_236_428_001
"""The advisory lock under which migrations run; any constant that nothing else in the database uses."""


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


async def pending(url: str) -> list[Migration]:
    """What ``migrate`` would apply. Raises ``StoreUnavailable`` when the database does not answer."""
    try:
        async with await connect(url) as connection:
            applied = await _applied(connection)
    except psycopg.OperationalError as error:
        raise StoreUnavailable(one_line(error)) from error
    return [migration for migration in shipped() if migration.number not in applied]


async def migrate(url: str, *, only_empty: bool = False) -> list[Migration]:
    """Apply what is missing and return it; with ``only_empty`` only to a database with nothing in it, where a schema is
    in nobody's way. Each migration is one transaction; a second process waits and finds nothing left.

    Raises ``ConfigurationError`` when an applied migration is not the one that this release ships, when the database
    was migrated by a later release, or when the user may not; and ``StoreUnavailable`` when it does not answer.
    """
    try:
        async with await connect(url) as connection:
            await connection.execute("select pg_advisory_lock(%s)", (LOCK_KEY,))
            try:
                if only_empty and not await _is_empty(connection):
                    return []
                return await _apply_missing(connection)
            finally:
                await connection.execute("select pg_advisory_unlock(%s)", (LOCK_KEY,))
    except psycopg.errors.InsufficientPrivilege as error:
        raise ConfigurationError(f"the database user may not make the schema: {one_line(error)}") from error
    except psycopg.OperationalError as error:
        raise StoreUnavailable(one_line(error)) from error


async def _is_empty(connection: psycopg.AsyncConnection) -> bool:
    cursor = await connection.execute(
        """select not exists (select from pg_class c join pg_namespace n on n.oid = c.relnamespace
             where n.nspname = current_schema() and c.relkind in ('r', 'p', 'v', 'm', 'f'))"""
    )
    row = await cursor.fetchone()
    return row is not None and bool(row[0])


async def _apply_missing(connection: psycopg.AsyncConnection) -> list[Migration]:
    await connection.execute(
        """create table if not exists schema_migrations (
             number integer primary key, name text not null, checksum text not null,
             applied_at timestamptz not null default clock_timestamp())"""
    )
    applied = await _applied(connection)
    if later := applied.keys() - {migration.number for migration in shipped()}:
        raise ConfigurationError(f"the database was migrated by a later release: it has migration {max(later)}")
    done = []
    for migration in shipped():
        checksum = applied.get(migration.number)
        if checksum is not None:
            if checksum != migration.checksum:
                raise ConfigurationError(f"migration {migration.name} was applied in another wording")
            continue
        async with connection.transaction():
            await connection.execute(migration.script.encode())
            await connection.execute(
                "insert into schema_migrations (number, name, checksum) values (%s, %s, %s)",
                (migration.number, migration.name, migration.checksum),
            )
        done.append(migration)
    # Also where nothing was missing: roles may have come since.
    await connection.execute("select ticketflow_secure()")
    return done


async def _applied(connection: psycopg.AsyncConnection) -> dict[int, str]:
    cursor = await connection.execute("select to_regclass('schema_migrations')::text")
    row = await cursor.fetchone()
    if row is None or row[0] is None:
        return {}
    cursor = await connection.execute("select number, checksum from schema_migrations")
    return dict(await cursor.fetchall())
