"""Where the data is: an own PostgreSQL, the embedded one, or a Supabase project, as the settings have it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

import structlog

from ticketflow.db.embedded import EmbeddedPostgres
from ticketflow.db.gateway import Gateway
from ticketflow.db.migrate import migrate, pending
from ticketflow.db.postgres import PostgresGateway
from ticketflow.domain.errors import ConfigurationError
from ticketflow.settings import Settings

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Store:
    """A way to the data. ``label`` has no secrets; ``advice`` says what would be a better way, and is empty where there
    is none."""

    gateway: Gateway
    label: str
    advice: str


@contextlib.asynccontextmanager
async def database(settings: Settings) -> AsyncIterator[tuple[str, str]]:
    """A connection string, and a label without secrets. With none configured the embedded server starts."""
    if settings.database_url is not None:
        yield settings.database_url.get_secret_value(), "PostgreSQL (DATABASE_URL)"
        return
    embedded = EmbeddedPostgres(settings.data_dir)
    url = await asyncio.to_thread(embedded.start)
    try:
        yield url, f"embedded PostgreSQL ({settings.data_dir})"
    finally:
        await asyncio.to_thread(embedded.stop)


@contextlib.asynccontextmanager
async def reached(settings: Settings, *, auto_migrate: bool, fill_empty: bool) -> AsyncIterator[Store]:
    """The store, over a connection where there can be one, for that is quicker.

    ``auto_migrate`` brings the schema up to this release, ``fill_empty`` only that of a database with nothing in it.
    Raises ``StoreUnavailable`` when it does not answer or lets nobody in, and ``ConfigurationError`` when the schema is
    behind.
    """
    if settings.over_rest:
        async with _project(settings) as store:
            yield store
        return
    async with database(settings) as (url, label):
        if auto_migrate or fill_empty:
            for migration in await migrate(url, only_empty=not auto_migrate):
                log.info("migration.applied", name=migration.name)
        if missing := await pending(url):
            raise ConfigurationError(f"the database is behind by {len(missing)} migrations: run `ticketflow migrate`")
        async with contextlib.aclosing(PostgresGateway(url, settings.db_pool_size)) as gateway:
            await gateway.open()
            yield Store(gateway, label + gateway.pooling.label, gateway.pooling.advice)


@contextlib.asynccontextmanager
async def _project(settings: Settings) -> AsyncIterator[Store]:
    from ticketflow.db import supabase

    assert settings.supabase_url is not None
    assert settings.supabase_key is not None
    key = settings.supabase_key.get_secret_value()
    async with contextlib.aclosing(
        await supabase.connect(settings.supabase_url, key, settings.db_pool_size)
    ) as gateway:
        yield Store(
            gateway,
            f"Supabase over REST ({settings.supabase_url})",
            "with the project's DATABASE_URL beside it every call is quicker (docs/SUPABASE.md)",
        )
