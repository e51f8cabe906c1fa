"""The gateway over a direct connection: what its callers rely on beyond the functions themselves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import psycopg
import pytest

from tests.support.proxy import TcpProxy, behind
from ticketflow.db import postgres
from ticketflow.db.migrate import pending
from ticketflow.db.postgres import PostgresGateway
from ticketflow.db.reads import Reads
from ticketflow.domain.errors import ConfigurationError, StoreUnavailable


@pytest.fixture
async def narrow(database_url: str) -> PostgresGateway:
    """A gateway with two connections."""
    gateway = PostgresGateway(database_url, 2)
    await gateway.open()
    return gateway


async def test_a_cancellation_is_not_lost_where_a_connection_comes_free_in_the_same_moment(
    narrow: PostgresGateway,
) -> None:
    pool = narrow._pool
    for _ in range(3):
        async with AsyncExitStack() as held:
            for _ in range(2):
                await held.enter_async_context(pool.connection())
            call = asyncio.create_task(narrow.call("ticketflow_stats", {}))
            while not pool.get_stats().get("requests_waiting"):  # noqa: ASYNC110 - the pool announces it nowhere
                await asyncio.sleep(0)
        call.cancel()
        async with asyncio.timeout(10):
            with pytest.raises(asyncio.CancelledError):
                await call
    # Nor is anything else: the connections are all there.
    assert len(await asyncio.gather(*(narrow.call("ticketflow_stats", {}) for _ in range(6)))) == 6
    await narrow.aclose()


async def test_a_task_that_was_cancelled_before_may_still_clean_up(narrow: PostgresGateway) -> None:
    cleaned = []

    async def working() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.append(await narrow.call("ticketflow_stats", {}))

    task = asyncio.create_task(working())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert cleaned[0]["total"] == 0
    await narrow.aclose()


async def test_a_running_process_waits_for_a_function_that_is_not_to_be_had(
    narrow: PostgresGateway, database_url: str
) -> None:
    # A ticket in hand must not fail for it.
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as owner:
        await owner.execute("alter function ticketflow_stats(jsonb) rename to gone")
        with pytest.raises(StoreUnavailable, match=r"run `ticketflow migrate`: function ticketflow_stats\(jsonb\)"):
            await narrow.call("ticketflow_stats", {})
        await owner.execute("alter function gone(jsonb) rename to ticketflow_stats")
    assert (await narrow.call("ticketflow_stats", {}))["total"] == 0
    await narrow.aclose()


async def test_a_running_process_waits_for_a_right_that_was_taken_away(database_url: str) -> None:
    powerless = PostgresGateway(f"{database_url}?options=-c%20role%3Dpg_monitor", 2)
    await powerless.open()
    with pytest.raises(StoreUnavailable, match=r"run `ticketflow migrate`: permission denied"):
        await powerless.call("ticketflow_stats", {})
    await powerless.aclose()


@pytest.fixture
async def wired(database_url: str) -> AsyncIterator[tuple[PostgresGateway, TcpProxy]]:
    """A gateway with two connections, and the wire that they go through."""
    async with behind(database_url) as (url, wire):
        gateway = PostgresGateway(url, 2)
        await gateway.open()
        yield gateway, wire
        wire.stall()
        await gateway.aclose()
        assert not gateway._abandoned


async def test_a_deadline_holds_while_the_database_hangs(wired: tuple[PostgresGateway, TcpProxy]) -> None:
    gateway, wire = wired
    await gateway.ping()
    wire.stall()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await gateway.ping()
    # Nobody waited for the server to confirm the cancellation, which goes on by itself.
    assert len(gateway._abandoned) == 1
    wire.flow()
    assert len(await asyncio.gather(*(gateway.call("ticketflow_stats", {}) for _ in range(6)))) == 6


async def test_no_call_is_without_a_deadline(
    wired: tuple[PostgresGateway, TcpProxy], monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway, wire = wired
    monkeypatch.setattr(postgres, "CALL_TIMEOUT_SECONDS", 0.05)
    wire.stall()
    # More of them than there are connections.
    for _ in range(4):
        with pytest.raises(StoreUnavailable, match="in time"):
            await gateway.call("ticketflow_stats", {})
    assert gateway._abandoned
    monkeypatch.undo()
    wire.flow()
    assert (await gateway.call("ticketflow_stats", {}))["total"] == 0


async def test_a_read_has_a_deadline_of_its_own(
    wired: tuple[PostgresGateway, TcpProxy], monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway, wire = wired
    monkeypatch.setattr("ticketflow.db.reads.READ_SECONDS", 0.05)
    wire.stall()
    with pytest.raises(StoreUnavailable, match="in time"):
        await Reads(gateway).stats()
    assert gateway._abandoned


@pytest.mark.parametrize(
    "change",
    [
        "?sslmode=s3cr3t",
        "?require_auth=s3cr3t",
        "?target_session_attrs=s3cr3t",
        "?options=s3cr3t",
        "?password=s3cr3t&sslmode=s3cr3t",
        "?s3cr3t=1",
        "?connect_timeout",
    ],
)
async def test_why_there_is_no_connection_is_said_without_the_values_of_the_url(database_url: str, change: str) -> None:
    for attempt in (PostgresGateway(database_url + change).open(), pending(database_url + change)):
        with pytest.raises((StoreUnavailable, ConfigurationError)) as caught:
            await attempt
        assert "s3cr3t" not in str(caught.value)
        assert "\n" not in str(caught.value)


async def test_what_names_the_server_is_said(database_url: str) -> None:
    with pytest.raises(StoreUnavailable, match=r"no-such-host\.invalid"):
        await PostgresGateway("postgresql://me:s3cr3t@no-such-host.invalid/").open()
    missing = database_url + "_gone?application_name=ticketflow&password=postgres"
    with pytest.raises(StoreUnavailable, match=r'database "ticketflow_test_\w+_gone" does not exist'):
        await PostgresGateway(missing).open()
