"""What a worker's loops say while the store is away: once that it is, and once that it is back."""

from __future__ import annotations

import asyncio
import contextlib

from structlog.testing import capture_logs

from ticketflow.domain.errors import StoreUnavailable
from ticketflow.worker.upkeep import _repeat


async def test_an_outage_is_said_once_and_so_is_its_end() -> None:
    turns = iter([None, StoreUnavailable("away"), StoreUnavailable("away"), StoreUnavailable("away"), None, None])
    over = asyncio.Event()

    async def work() -> None:
        error = next(turns, over)
        if error is over:
            over.set()
            await asyncio.Event().wait()
        if isinstance(error, Exception):
            raise error

    with capture_logs() as said:
        running = asyncio.create_task(_repeat(work, 0))
        await over.wait()
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
    assert [line["event"] for line in said] == ["upkeep.waiting", "upkeep.goes_on"]
