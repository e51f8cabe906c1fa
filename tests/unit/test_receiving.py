"""When the worker takes messages, when it does not, and when it leaves the broker, in simulated time."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any, cast

from tests.support.simulated import now, simulated
from ticketflow.broker.port import Broker
from ticketflow.domain.errors import ProviderRefused
from ticketflow.llm.breaker import Breaker
from ticketflow.worker.receiving import Receiving


class Desk:
    """A broker with so many messages, and hands that take ``takes`` seconds for each."""

    def __init__(self, concurrency: int, takes: float = 3.0, messages: int = 1000) -> None:
        self.takes = takes
        self.messages = asyncio.Semaphore(messages)
        self.seen: list[tuple[str, float]] = []
        self.in_hand = self.most = self.handed = self.cancelled = 0
        self.up = True
        self.breaker = Breaker(5)
        self.receiving = Receiving(cast(Broker, self), self.breaker, concurrency, self.handle)

    @contextlib.asynccontextmanager
    async def consume(self, concurrency: int) -> AsyncIterator[Any]:
        self.seen.append(("in", now()))
        yield self
        assert self.in_hand == 0, "a message in hand would come again, to somebody else"
        self.seen.append(("out", now()))

    async def next(self) -> Any:
        await self.messages.acquire()
        return self

    async def handle(self, delivery: Any) -> None:
        self.handed += 1
        self.in_hand += 1
        self.most = max(self.most, self.in_hand)
        try:
            await asyncio.sleep(self.takes)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.in_hand -= 1

    async def check(self) -> None:
        if not self.up:
            raise ProviderRefused("401")

    def go_down(self) -> None:
        self.up = False
        self.breaker.failed(self.breaker.admit(), ProviderRefused("401"))

    @contextlib.asynccontextmanager
    async def open(self, drain_seconds: float = 10) -> AsyncIterator[None]:
        async with self.breaker.probing(self.check):
            running = asyncio.create_task(self.receiving.run(drain_seconds))
            yield
            self.receiving.stop()
            await running


def test_no_more_are_in_hand_than_there_are_hands() -> None:
    async def main() -> None:
        desk = Desk(3)
        async with desk.open():
            await asyncio.sleep(8)
        assert (desk.most, desk.handed, desk.cancelled) == (3, 9, 0)
        assert desk.seen == [("in", 0), ("out", 9)]

    simulated(main())


def test_an_open_breaker_lets_the_hands_empty_themselves_before_the_broker_is_left() -> None:
    async def main() -> None:
        desk = Desk(3)
        async with desk.open():
            await asyncio.sleep(1)
            desk.go_down()
            await asyncio.sleep(60)
            assert desk.handed == 3
            assert desk.seen == [("in", 0), ("out", 3)]
            desk.up = True
            await desk.breaker.closed()
            back = now()
            await asyncio.sleep(1)
            assert desk.handed == 6
            assert desk.seen[2:] == [("in", back)]
            desk.go_down()
            await asyncio.sleep(60)
            assert desk.handed == 6

    simulated(main())


def test_a_breaker_that_closes_soon_does_not_make_it_leave() -> None:
    async def main() -> None:
        desk = Desk(3, takes=30, messages=2)
        async with desk.open(drain_seconds=60):
            await asyncio.sleep(1)
            desk.go_down()
            desk.up = True
            await asyncio.sleep(1)
            desk.messages.release()
            await asyncio.sleep(2)
            assert desk.handed == 2
            await desk.breaker.closed()
            await asyncio.sleep(1)
            assert desk.handed == 3
            assert desk.seen == [("in", 0)]

    simulated(main())


def test_no_hand_is_lost_however_often_the_breaker_opens() -> None:
    async def main() -> None:
        desk = Desk(2, messages=0)
        async with desk.open():
            for _ in range(5):
                await asyncio.sleep(1)
                desk.go_down()
                desk.up = True
                await desk.breaker.closed()
            for _ in range(4):
                desk.messages.release()
            await asyncio.sleep(1)
            assert desk.in_hand == 2

    simulated(main())


def test_a_stop_while_the_hands_empty_themselves_drains() -> None:
    async def main() -> None:
        desk = Desk(3, takes=30)
        async with desk.open(drain_seconds=10):
            await asyncio.sleep(1)
            desk.go_down()
            await asyncio.sleep(1)
        assert (now(), desk.handed, desk.cancelled) == (12, 3, 3)
        assert desk.seen == [("in", 0), ("out", 12)]

    simulated(main())


def test_a_stop_away_from_the_broker_ends_at_once() -> None:
    async def main() -> None:
        desk = Desk(3)
        async with desk.open():
            await asyncio.sleep(1)
            desk.go_down()
            await asyncio.sleep(19)
        assert now() == 20
        assert desk.seen == [("in", 0), ("out", 3)]

    simulated(main())


def test_a_provider_that_is_down_from_the_start_keeps_it_from_the_broker() -> None:
    async def main() -> None:
        desk = Desk(3)
        desk.go_down()
        async with desk.open():
            await asyncio.sleep(4)
            assert desk.seen == []

    simulated(main())
