"""Breaker and limits together, as calls meet them: an hour without a provider, holds, and clocks that stand."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from itertools import pairwise

import pytest

from tests.support.simulated import now, simulated
from ticketflow.domain.errors import ModelTimeout, ModelUnavailable, ProviderDown, RateLimited, TicketflowError
from ticketflow.llm.breaker import Breaker
from ticketflow.llm.limits import Limits
from ticketflow.llm.traffic import Traffic

SECONDS = timedelta(seconds=1)


class Provider:
    """Fails with ``error`` while there is one; every call takes ``takes`` seconds. ``calls``: when each one came."""

    def __init__(self, traffic: Traffic, takes: float = 0.5) -> None:
        self.traffic = traffic
        self.takes = takes
        self.error: TicketflowError | None = None
        self.calls: list[float] = []

    async def ask(self) -> None:
        async with self.traffic.attempt():
            await self._answer()

    async def check(self) -> None:
        async with self.traffic.probe():
            await self._answer()

    async def _answer(self) -> None:
        self.calls.append(now())
        await asyncio.sleep(self.takes)
        if self.error is not None:
            raise self.error


@contextlib.asynccontextmanager
async def provider(failures: int | None = 5, limits: Limits | None = None) -> AsyncIterator[Provider]:
    made = Provider(Traffic(Breaker(failures), limits))
    async with made.traffic.breaker.probing(made.check):
        yield made


def test_an_hour_without_a_provider_costs_it_a_call_a_minute_and_nobody_a_failure() -> None:
    """Fifty callers that come back whenever they were sent away, for an hour and then until all are served."""

    async def main() -> None:
        outcomes: Counter[str] = Counter()
        draw = random.Random(7)
        async with provider() as one:

            async def caller() -> None:
                while True:
                    try:
                        await one.ask()
                    except TicketflowError as error:
                        down_for = await one.traffic.breaker.down()
                        outcomes["excused" if down_for is not None else error.code] += 1
                        await asyncio.sleep((down_for or SECONDS).total_seconds() + 5 + draw.random())
                    else:
                        outcomes["served"] += 1
                        return

            one.error = ModelUnavailable("the provider failed (500)")
            callers = [asyncio.create_task(caller()) for _ in range(50)]
            await asyncio.sleep(3600)
            # Four failed before it opened; from then on nobody is to blame, and nothing but the probe is asked.
            assert outcomes.pop("model_unavailable") == 4
            assert outcomes.keys() == {"excused"}
            probes = one.calls[50:]
            assert [later - sooner for sooner, later in pairwise(probes)][:5] == [5.5, 10.5, 20.5, 40.5, 60.5]
            assert len(probes) == 63
            one.error = None
            await asyncio.gather(*callers)
            assert outcomes["served"] == 50
            assert now() < 3600 + 60 + 60 + 10

    simulated(main())


def test_a_limit_that_one_call_meets_holds_all_others() -> None:
    async def main() -> None:
        async with provider() as one:
            one.error = RateLimited("429", 20 * SECONDS)
            with pytest.raises(RateLimited):
                await one.ask()
            one.error = None
            await asyncio.gather(*(one.ask() for _ in range(10)))
            assert one.calls == [0, *[20.5] * 10]

    simulated(main())


def test_a_failure_that_comes_with_a_wait_holds_all_others_too() -> None:
    async def main() -> None:
        async with provider() as one:
            one.error = ModelUnavailable("503", 3 * SECONDS)
            with pytest.raises(ModelUnavailable):
                await one.ask()
            await asyncio.gather(*(one.ask() for _ in range(2)), return_exceptions=True)
            assert one.calls == [0, 3.5, 3.5]

    simulated(main())


def test_a_breaker_that_opens_empties_the_line() -> None:
    async def main() -> None:
        async with provider(failures=2, limits=Limits(concurrency=2, per_minute=20)) as one:
            one.error = ModelTimeout("no answer")
            calls = [asyncio.create_task(one.ask()) for _ in range(10)]
            done = await asyncio.gather(*calls, return_exceptions=True)
            assert Counter(type(error) for error in done) == {ModelTimeout: 2, ProviderDown: 8}
            assert one.calls == [0, 0]
            assert now() == 0.5

    simulated(main())


def test_after_an_outage_the_backlog_does_not_come_all_at_once() -> None:
    async def main() -> None:
        async with provider() as away:
            away.error = ModelUnavailable("500")
            await asyncio.gather(*(away.ask() for _ in range(5)), return_exceptions=True)
            away.error = None
            await away.traffic.breaker.closed()
            before = len(away.calls)
            backlog = asyncio.gather(*(away.ask() for _ in range(50)))
            await asyncio.sleep(0.1)
            assert len(away.calls) - before == 4
            await backlog

    simulated(main())


def test_a_call_that_is_sent_away_does_not_put_off_the_probe() -> None:
    async def main() -> None:
        async with provider(failures=1) as one:
            one.error = RateLimited("429", 30 * SECONDS)
            with pytest.raises(RateLimited):
                await one.ask()
            for _ in range(100):
                with pytest.raises(ProviderDown):
                    await one.ask()
                await asyncio.sleep(0.2)
            one.error = None
            await one.traffic.breaker.closed()
            assert one.calls == [0, 30.5]

    simulated(main())


def test_no_room_is_lost_by_calls_that_fail_or_are_cancelled() -> None:
    async def main() -> None:
        async with provider(failures=None, limits=Limits(concurrency=2)) as one:
            one.error = ModelTimeout("no answer")
            await asyncio.gather(*(one.ask() for _ in range(5)), return_exceptions=True)
            calls = [asyncio.create_task(one.ask()) for _ in range(5)]
            await asyncio.sleep(0.1)
            for call in calls:
                call.cancel()
            await asyncio.gather(*calls, return_exceptions=True)
            one.error, one.calls = None, []
            begun = now()
            await asyncio.gather(*(one.ask() for _ in range(4)))
            assert one.calls == [begun, begun, begun + 0.5, begun + 0.5]

    simulated(main())


def test_waiting_is_marked_and_calling_is_not() -> None:
    async def main() -> None:
        marks: list[tuple[str, float]] = []

        @contextlib.contextmanager
        def waiting() -> Iterator[None]:
            marks.append(("waits", now()))
            yield
            marks.append(("goes", now()))

        limits = Limits()
        traffic = Traffic(None, limits)
        limits.hold(9 * SECONDS)
        async with traffic.attempt(waiting):
            await asyncio.sleep(5)
        assert marks == [("waits", 0), ("goes", 9)]

    simulated(main())
