"""The database goes away while the API runs, and comes back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx

from tests.support.api import Api, a_ticket, assert_problem, following, served, settings_for
from tests.support.proxy import TcpProxy, behind
from tests.support.trails import applied, at_version, event


@asynccontextmanager
async def behind_a_wire(database_url: str) -> AsyncIterator[tuple[Api, TcpProxy]]:
    """The API with a wire to its database that can be cut."""
    async with behind(database_url) as (url, wire), served(settings_for(url), database_url) as api:
        yield api, wire


async def test_while_the_database_is_away_callers_are_told_when_to_come_back_and_nothing_is_lost(
    database_url: str,
) -> None:
    async with behind_a_wire(database_url) as (api, wire):
        known = await api.ticket()
        sent = a_ticket()
        async with following(api, known) as stream:
            await stream.next()
            await wire.cut()
            *answers, unready, health, metrics = await asyncio.gather(
                api.http.post("/tickets", json=sent),
                api.http.post("/tickets/batch", json={"tickets": [sent]}),
                api.http.get("/tickets"),
                api.http.get(f"/tickets/{known}"),
                api.http.get(f"/tickets/{known}/events/stream"),
                api.http.post(f"/tickets/{known}/retry"),
                api.http.get("/dead-letters"),
                api.http.get("/stats"),
                api.http.get("/ready"),
                api.http.get("/health"),
                api.http.get("/metrics"),
            )
            for answer in answers:
                problem = assert_problem(answer, 503, "store_unavailable")
                assert int(answer.headers["retry-after"]) >= 1
                assert "postgres" not in problem["detail"]
                # A lost answer does not say what the store did, so a change is never said not to have happened.
                changes = answer.request.method == "POST"
                assert ("whether this request took effect is not known" in problem["detail"]) == changes
            assert assert_problem(unready, 503, "not_ready")["checks"]["database"] == "store_unavailable"
            assert "retry-after" in unready.headers
            assert (health.status_code, metrics.status_code) == (200, 200)

            await wire.restore()
            taken = await _until_answered(api, sent)
            assert taken.status_code == 201
            assert (await api.http.post("/tickets", json=sent)).status_code == 200
            assert (await api.http.get("/ready")).status_code == 200
            assert await api.rows() == {"tickets": 2, "events": 2, "outbox": 2, "intake_keys": 2}
            # The stream that was open all the time goes on by itself.
            await applied(api.app.commits, at_version(known, 1, event()))
            assert (await stream.next()).id == 2


async def test_while_the_database_hangs_probes_and_reads_are_answered_within_their_own_time(database_url: str) -> None:
    async with behind_a_wire(database_url) as (api, wire):
        assert (await api.http.get("/ready")).status_code == 200
        wire.stall()
        # Half of what psycopg alone waits for a server that does not confirm a cancellation.
        async with asyncio.timeout(5):
            unready, metrics, health = await asyncio.gather(*map(api.http.get, ("/ready", "/metrics", "/health")))
        assert assert_problem(unready, 503, "not_ready")["checks"]["database"] == "store_unavailable"
        assert (health.status_code, metrics.status_code) == (200, 200)
        async with asyncio.timeout(20):
            stats, posted = await asyncio.gather(api.http.get("/stats"), api.http.post("/tickets", json=a_ticket()))
        for answer in (stats, posted):
            assert_problem(answer, 503, "store_unavailable")
        wire.flow()
        async with asyncio.timeout(30):
            while (await api.http.get("/ready")).status_code != 200:
                pass


async def _until_answered(api: Api, sent: dict[str, object]) -> httpx.Response:
    """A caller who does what Retry-After says."""
    async with asyncio.timeout(30):
        while True:
            answer = await api.http.post("/tickets", json=sent)
            if answer.status_code != 503:
                return answer
