"""Receiving: messages from the broker into as many hands as there are, except while the model provider is down."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import Any

import structlog

from ticketflow.broker.port import Broker, Consumer, Delivery
from ticketflow.llm.breaker import Breaker

log = structlog.get_logger()

Waiting = Coroutine[Any, Any, Any]
Handle = Callable[[Delivery], Coroutine[Any, Any, None]]


class Receiving:
    """Gives each delivery to ``handle``, up to ``concurrency`` at once, until ``stop`` is called.

    While ``breaker`` is open nothing is handed out. Once the hands are empty the broker is left, so that what it had
    sent ahead goes to others; never before, for another worker would take over a ticket whose message is unsettled.
    """

    def __init__(self, broker: Broker, breaker: Breaker, concurrency: int, handle: Handle) -> None:
        self._broker = broker
        self._breaker = breaker
        self._concurrency = concurrency
        self._handle = handle
        self._slots = asyncio.Semaphore(concurrency)
        self._handling: set[asyncio.Task[None]] = set()
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Take nothing new. ``run`` returns once what is under way has ended or its time is up."""
        self._stopping.set()

    async def run(self, drain_seconds: float) -> None:
        """Receive until ``stop``, then drain: what has not ended after ``drain_seconds`` is cancelled."""
        while await self._before_stop(self._breaker.closed()):
            async with self._broker.consume(self._concurrency) as consumer:
                await self._consume(consumer)
                if self._stopping.is_set():
                    await self._drain(drain_seconds)
                    return
            log.warning("worker.paused", reason="the model provider is down")
        await self._drain(drain_seconds)

    async def _consume(self, consumer: Consumer) -> None:
        """Hand out until ``stop``, or until the breaker is open and nothing is in hand any more."""
        while not self._stopping.is_set():
            if self._breaker.cause is None:
                await self._hand_out(consumer)
            elif self._handling:
                await self._before_stop(asyncio.wait(set(self._handling)), self._breaker.closed())
            else:
                return

    async def _hand_out(self, consumer: Consumer) -> None:
        with _started(self._stopping.wait(), self._breaker.opened()) as ends:
            while not any(end.done() for end in ends):
                if not await _first(self._slots.acquire(), ends):
                    return
                delivery = await _first(consumer.next(), ends)
                if delivery is None:
                    self._slots.release()
                    return
                task = asyncio.create_task(self._handle(delivery))
                self._handling.add(task)
                task.add_done_callback(self._handling.discard)
                task.add_done_callback(lambda _: self._slots.release())

    async def _drain(self, seconds: float) -> None:
        log.info("worker.draining", tickets=len(self._handling), grace_seconds=seconds)
        if self._handling:
            await asyncio.wait(self._handling, timeout=seconds)
        leftovers = list(self._handling)
        for task in leftovers:
            task.cancel()
        await asyncio.gather(*leftovers, return_exceptions=True)
        log.info("worker.drained", released=len(leftovers))

    async def _before_stop(self, wanted: Waiting, *others: Waiting) -> Any:
        """What ``wanted`` gives, or None when stopping or one of ``others`` comes first."""
        with _started(self._stopping.wait(), *others) as ends:
            return await _first(wanted, ends)


@contextlib.contextmanager
def _started(*waits: Waiting) -> Iterator[list[asyncio.Task[Any]]]:
    tasks = [asyncio.create_task(wait) for wait in waits]
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()


async def _first(wanted: Waiting, ends: Sequence[asyncio.Task[Any]]) -> Any:
    """What ``wanted`` gives, or None when one of ``ends`` comes first."""
    task = asyncio.ensure_future(wanted)
    await asyncio.wait({task, *ends}, return_when=asyncio.FIRST_COMPLETED)
    if task.done():
        return task.result()
    task.cancel()
    return None
