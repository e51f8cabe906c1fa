"""What a consumer has received and nobody has taken yet, and the task that fills it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from typing import Generic, TypeVar

from ticketflow.broker.fairness import LaneBuffer
from ticketflow.domain.routing import Lane

ItemT = TypeVar("ItemT")


class Inbox(Generic[ItemT]):
    """Deliveries in the order of ``LaneBuffer``, waited for with ``next``."""

    def __init__(self, credit: dict[Lane, int]) -> None:
        self._buffer: LaneBuffer[ItemT] = LaneBuffer(credit=credit)
        self._changed = asyncio.Event()
        self._failure: BaseException | None = None

    def put(self, lane: Lane, item: ItemT) -> None:
        self._buffer.push(lane, item)
        self._changed.set()

    def clear(self) -> None:
        self._buffer.drain()

    async def next(self) -> ItemT:
        """Wait for the next item. Raises ``RuntimeError`` once the task that fills the inbox has ended."""
        while (item := self._buffer.pop()) is None:
            if self._failure is not None:
                raise RuntimeError("the consumer has ended") from self._failure
            self._changed.clear()
            await self._changed.wait()
        return item

    @contextlib.asynccontextmanager
    async def filled_by(self, run: Coroutine[None, None, None]) -> AsyncIterator[None]:
        """Run the consumer until the block ends. Were it to end before, whoever waits for ``next`` is told."""
        running = asyncio.create_task(run)
        running.add_done_callback(self._ended)
        try:
            yield
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    def _ended(self, running: asyncio.Task[None]) -> None:
        self._failure = asyncio.CancelledError() if running.cancelled() else running.exception() or EOFError()
        self._changed.set()
