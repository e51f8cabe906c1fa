"""The gateway over a direct connection: what its callers rely on beyond the functions themselves."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest

from ticketflow.db.postgres import PostgresGateway


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
