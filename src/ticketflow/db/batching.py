"""Group commit: whatever waits at the same time travels together.

Alone, a request leaves at once; while calls are under way, later requests gather and leave as one. Nobody waits for a
window of time to pass, so an idle system pays nothing and a busy one batches by itself.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from ticketflow.domain.errors import PayloadTooLarge, StoreUnavailable, Terminal

LONGEST_SEND_SECONDS = 10.0
"""How long one call may take at least, however short the patience: a busy database is not one that is away."""

IDLE_TURNS = 8
"""Turns of the event loop without a new request after which nobody else is expected. Alone they take microseconds."""

SLOW_CALL_SECONDS = 0.05
"""Behind a call that takes longer nobody waits who could leave: it may stand in the database behind a single row."""

ItemT = TypeVar("ItemT")
RequestT = TypeVar("RequestT")
ResultT = TypeVar("ResultT")


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """``size``: most requests in one call. What a call costs of itself is spread over them by then, and while larger
    ones are under way nobody is left to work for. ``parallel``: most calls under way. ``patience``: seconds to keep
    trying while the store is away, before the waiting requests are told.
    """

    size: int = 25
    parallel: int = 2
    patience: float = 15.0


class Batcher(Generic[RequestT, ResultT]):
    """Sends requests in batches through ``send``, which answers in the same order.

    Two requests with the same ``key`` never travel together, and keep their order. Requests must be safe to repeat:
    after a lost answer the whole batch is sent again. A batch that the store refuses, as poison or as too large, is
    sent in halves, so that one bad request fails alone.
    """

    def __init__(
        self,
        send: Callable[[Sequence[RequestT]], Awaitable[Sequence[ResultT]]],
        key: Callable[[RequestT], Hashable],
        limits: BatchLimits,
        observe: Callable[[int], None] = lambda size: None,
    ) -> None:
        self._send = send
        self._key = key
        self._limits = limits
        self._observe = observe
        self._waiting: deque[tuple[RequestT, asyncio.Future[ResultT]]] = deque()
        self._senders: set[asyncio.Task[None]] = set()
        self._under_way: dict[int, int] = {}
        """Of each call that is not slow yet, how many requests travel in it."""
        self._busy_keys: set[Hashable] = set()

    async def submit(self, request: RequestT) -> ResultT:
        """Wait for the request's own result. Raises what ``send`` raised for it."""
        future: asyncio.Future[ResultT] = asyncio.get_running_loop().create_future()
        self._waiting.append((request, future))
        self._ensure_sender()
        return await future

    async def aclose(self) -> None:
        """Wait until everything that was submitted has been answered."""
        while self._senders:
            await asyncio.gather(*self._senders)

    def _ensure_sender(self) -> None:
        # A further call leaves once as many wait as travel already: few calls that carry many, and at low load no wait.
        if len(self._waiting) >= sum(self._under_way.values()):
            self._start_sender()

    def _start_sender(self) -> None:
        if self._waiting and len(self._senders) < self._limits.parallel:
            sender = asyncio.create_task(self._drain())
            self._senders.add(sender)
            sender.add_done_callback(self._sender_done)

    def _sender_done(self, sender: asyncio.Task[None]) -> None:
        self._senders.discard(sender)
        if not self._senders:
            self._start_sender()

    async def _drain(self) -> None:
        while True:
            await self._gather()
            if not (batch := self._next_batch()):
                return
            keys = {self._key(request) for request, _ in batch}
            self._busy_keys |= keys
            self._under_way[id(batch)] = len(batch)
            slow = asyncio.get_running_loop().call_later(SLOW_CALL_SECONDS, self._leave_behind, id(batch))
            try:
                self._observe(len(batch))
                await self._deliver(batch)
            finally:
                slow.cancel()
                self._busy_keys -= keys
                self._under_way.pop(id(batch), None)

    def _leave_behind(self, slow_call: int) -> None:
        # Neither those who wait now nor those who come later wait for it.
        self._under_way.pop(slow_call, None)
        self._start_sender()

    async def _gather(self) -> None:
        """Let turns of the loop pass for as long as they bring more: what the last answers have set in motion is on its
        way, and an idle loop turns in no time."""
        gathered, idle = len(self._waiting), 0
        while idle < IDLE_TURNS and len(self._waiting) < self._limits.size:
            await asyncio.sleep(0)
            idle = idle + 1 if len(self._waiting) == gathered else 0
            gathered = len(self._waiting)

    def _next_batch(self) -> list[tuple[RequestT, asyncio.Future[ResultT]]]:
        batch: list[tuple[RequestT, asyncio.Future[ResultT]]] = []
        held_back: list[tuple[RequestT, asyncio.Future[ResultT]]] = []
        keys: set[Hashable] = set(self._busy_keys)
        while self._waiting and len(batch) < self._limits.size:
            request, future = self._waiting.popleft()
            key = self._key(request)
            if key in keys:
                held_back.append((request, future))
            else:
                keys.add(key)
                batch.append((request, future))
        self._waiting.extendleft(reversed(held_back))
        return batch

    async def _deliver(self, batch: list[tuple[RequestT, asyncio.Future[ResultT]]]) -> None:
        try:
            results = await self._send_patiently([request for request, _ in batch])
            answers = list(zip(batch, results, strict=True))
        except Terminal as error:
            if len(batch) == 1:
                _fail(batch, error)
            else:
                middle = len(batch) // 2
                for part in (batch[:middle], batch[middle:]):
                    await self._deliver(part)
        except Exception as error:  # noqa: BLE001 - whoever submitted decides what it means
            _fail(batch, error)
        else:
            for (_, future), result in answers:
                if not future.done():
                    future.set_result(result)

    async def _send_patiently(self, requests: Sequence[RequestT]) -> Sequence[ResultT]:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._limits.patience
        pause = 0.05
        while True:
            try:
                return await self._send_once(requests)
            except StoreUnavailable:
                if loop.time() + pause >= deadline:
                    raise
                await asyncio.sleep(pause)
                pause = min(pause * 2, 2.0)

    async def _send_once(self, requests: Sequence[RequestT]) -> Sequence[ResultT]:
        try:
            async with asyncio.timeout(max(self._limits.patience, LONGEST_SEND_SECONDS)):
                return await self._send(requests)
        except TimeoutError as error:
            raise StoreUnavailable("the database did not answer in time") from error


async def in_parts(items: Sequence[ItemT], send: Callable[[Sequence[ItemT]], Awaitable[object]]) -> None:
    """Send what need not travel together: in one call, and where that is too large for something on the way, in halves.

    Raises as ``send`` does; what was sent before stays sent.
    """
    try:
        await send(items)
    except PayloadTooLarge:
        if len(items) < 2:
            raise
        middle = len(items) // 2
        for part in (items[:middle], items[middle:]):
            await in_parts(part, send)


def _fail(batch: Sequence[tuple[RequestT, asyncio.Future[ResultT]]], error: Exception) -> None:
    for _, future in batch:
        if not future.done():
            future.set_exception(error)
