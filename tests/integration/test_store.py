"""The store that the settings name, at the start and while a process runs."""

from __future__ import annotations

import psycopg
import pytest

from tests.support.api import settings_for
from ticketflow import wiring
from ticketflow.domain.errors import ConfigurationError


async def test_a_start_stops_where_our_functions_may_not_be_called(database_url: str) -> None:
    # Who may read what was applied, and nothing more.
    reader = settings_for(f"{database_url}?options=-c%20role%3Dpg_read_all_data")
    with pytest.raises(
        ConfigurationError, match=r"cannot be read, for the database user lacks rights: permission denied"
    ):
        async with wiring.connected(reader, auto_migrate=False):
            pass


async def test_readiness_tells_when_our_functions_can_no_longer_be_called(database_url: str) -> None:
    async with (
        wiring.connected(settings_for(database_url), auto_migrate=False) as app,
        await psycopg.AsyncConnection.connect(database_url, autocommit=True) as owner,
    ):
        assert (await app.readiness())["database"] == "ok"
        await owner.execute("alter function ticketflow_schema(jsonb) rename to gone")
        assert (await app.readiness())["database"] == "store_unavailable"
        await owner.execute("alter function gone(jsonb) rename to ticketflow_schema")
        assert (await app.readiness())["database"] == "ok"
