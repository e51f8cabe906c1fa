"""What Ticketflow is measured against, each set up for speed as its own documentation says, on the same server."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any


async def timed(one: Callable[[], Awaitable[Any]], tickets: int, in_flight: int) -> float:
    """Seconds that so many calls of ``one`` take with so many under way at once."""
    slots = asyncio.Semaphore(in_flight)

    async def within() -> None:
        async with slots:
            await one()

    started = time.perf_counter()
    await asyncio.gather(*(within() for _ in range(tickets)))
    return time.perf_counter() - started
