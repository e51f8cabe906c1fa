"""One line for all calls: at once, in a minute, and during a hold, in simulated time."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from datetime import timedelta

import pytest

from tests.support.simulated import now, simulated
from ticketflow.domain.errors import ProviderDown, RateLimited
from ticketflow.llm.limits import Limits

SECONDS = timedelta(seconds=1)


class Callers:
    """Calls that take a while each; when they began, and how many were under way at most."""

    def __init__(self, limits: Limits, takes: float = 0.0) -> None:
        self.limits = limits
        self.takes = takes
        self.began: list[tuple[float, int]] = []
        self.under_way = self.most = 0

    async def call(self, number: int = 0) -> None:
        await self.limits.enter()
        self.began.append((now(), number))
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            await asyncio.sleep(self.takes)
            self.limits.answered(self.began[-1][0])
        finally:
            self.under_way -= 1
            self.limits.leave()

    async def many(self, count: int) -> None:
        await asyncio.gather(*(self.call(number) for number in range(count)))

    @property
    def times(self) -> list[float]:
        return [at for at, _ in self.began]


def test_without_limits_nobody_waits() -> None:
    async def main() -> None:
        callers = Callers(Limits(), takes=1)
        await callers.many(500)
        assert (callers.most, set(callers.times)) == (500, {0})

    simulated(main())


def test_no_more_are_under_way_than_allowed_and_no_room_is_wasted() -> None:
    async def main() -> None:
        callers = Callers(Limits(concurrency=3), takes=1)
        await callers.many(10)
        assert callers.most == 3
        assert callers.times == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3]
        assert [number for _, number in callers.began] == list(range(10)), "first come, first served"

    simulated(main())


def test_a_provider_that_has_just_come_back_gets_a_few_calls_and_twice_as_many_with_each_round() -> None:
    async def main() -> None:
        limits = Limits()
        limits.go_gently()
        callers = Callers(limits, takes=1)
        await callers.many(60)
        rounds = Counter(callers.times)
        assert [rounds[second] for second in range(4)] == [4, 8, 16, 32]
        # With nobody left in the line it is over.
        await callers.many(100)
        assert callers.most == 100

    simulated(main())


def test_a_ticket_that_asks_again_and_again_does_not_pass_the_others() -> None:
    async def main() -> None:
        callers = Callers(Limits(concurrency=1), takes=1)

        async def ticket(number: int) -> None:
            for _ in range(3):
                await callers.call(number)

        await asyncio.gather(*(ticket(number) for number in range(4)))
        assert [number for _, number in callers.began] == [0, 1, 2, 3] * 3

    simulated(main())


@pytest.mark.parametrize(("per_minute", "together"), [(1, 1), (10, 1), (30, 3), (60, 6), (1000, 100)])
def test_no_minute_sees_more_than_allowed_and_the_rest_is_even(per_minute: int, together: int) -> None:
    async def main() -> None:
        callers = Callers(Limits(per_minute=per_minute))
        await asyncio.sleep(1000)
        await callers.many(per_minute * 3)
        times = callers.times
        assert times.count(1000) == together
        for first, later in zip(times, times[per_minute:], strict=False):
            assert later - first >= 60 - 1e-4
        gaps = {round(b - a, 3) for a, b in itertools.pairwise(times[together - 1 :])}
        assert max(gaps) - min(gaps) < 0.002
        assert times[-1] - 1000 < 60 * 3.4, "close to what is allowed"

    simulated(main())


def test_a_hold_keeps_everybody_and_is_never_made_shorter() -> None:
    async def main() -> None:
        limits = Limits(concurrency=2)
        callers = Callers(limits)
        limits.limited(await limits.enter(), 30 * SECONDS)
        limits.hold(5 * SECONDS)
        limits.leave()
        waiting = asyncio.create_task(callers.many(4))
        await asyncio.sleep(20)
        limits.hold(20 * SECONDS)
        await waiting
        assert set(callers.times) == {40}

    simulated(main())


def test_a_limit_without_a_time_holds_for_longer_each_time_until_there_is_an_answer() -> None:
    async def main() -> None:
        limits = Limits()
        waits = []
        for _ in range(8):
            together = [await limits.enter() for _ in range(10)]
            before = now()
            for began in together:
                limits.limited(began, None)
                limits.leave()
            began = await limits.enter()
            limits.leave()
            waits.append(now() - before)
        assert waits == [1, 2, 4, 8, 16, 30, 30, 30]
        limits.answered(began)
        limits.limited(await limits.enter(), None)
        before = now()
        await limits.enter()
        assert now() - before == 1

    simulated(main())


def test_a_hold_of_more_than_a_minute_keeps_nobody_in_memory() -> None:
    async def main() -> None:
        limits = Limits(concurrency=1)
        await limits.enter()
        waiting = asyncio.create_task(limits.enter())
        await asyncio.sleep(0)
        limits.hold(90 * SECONDS)
        with pytest.raises(RateLimited) as sent_away:
            await waiting
        assert sent_away.value.retry_after == 90 * SECONDS
        limits.leave()
        await asyncio.sleep(20)
        with pytest.raises(RateLimited) as refused:
            await limits.enter()
        assert refused.value.retry_after == 70 * SECONDS
        await asyncio.sleep(10)
        assert await limits.enter() == 90

    simulated(main())


def test_an_absurd_hold_is_an_hour() -> None:
    async def main() -> None:
        limits = Limits()
        limits.hold(timedelta.max)
        with pytest.raises(RateLimited) as refused:
            await limits.enter()
        assert refused.value.retry_after == timedelta(hours=1)
        await asyncio.sleep(3600)
        assert await limits.enter() == 3600

    simulated(main())


def test_whoever_is_sent_away_gets_the_reason_and_the_others_their_turn() -> None:
    async def main() -> None:
        limits = Limits(concurrency=1)
        await limits.enter()
        waiting = [asyncio.create_task(limits.enter()) for _ in range(5)]
        await asyncio.sleep(0)
        limits.send_away(lambda: ProviderDown("down"))
        for task in waiting:
            with pytest.raises(ProviderDown):
                await task
        later = asyncio.create_task(limits.enter())
        await asyncio.sleep(0)
        assert not later.done()
        limits.leave()
        assert await later == 0

    simulated(main())


@pytest.mark.parametrize("when", ["in the line", "with the turn just given", "under way"])
def test_a_cancelled_call_leaks_no_room(when: str) -> None:
    async def main() -> None:
        limits = Limits(concurrency=1)
        callers = Callers(limits, takes=1)
        await limits.enter()
        doomed = [asyncio.create_task(callers.call(number)) for number in range(3)]
        await asyncio.sleep(0)
        if when == "under way":
            limits.leave()
            await asyncio.sleep(0.5)
            doomed[0].cancel()
            await asyncio.sleep(0)
        elif when == "with the turn just given":
            limits.leave()
            doomed[0].cancel()
        else:
            doomed[0].cancel()
            await asyncio.sleep(0)
            limits.leave()
        await asyncio.gather(*doomed[1:])
        assert doomed[0].cancelled()
        assert callers.most == 1
        # All room is there again, and no more than that.
        await callers.many(2)
        assert callers.most == 1

    simulated(main())


def test_whoever_is_sent_away_and_cancelled_at_once_leaks_nothing() -> None:
    async def main() -> None:
        limits = Limits(concurrency=1)
        await limits.enter()
        doomed = asyncio.create_task(limits.enter())
        await asyncio.sleep(0)
        limits.send_away(lambda: ProviderDown("down"))
        doomed.cancel()
        await asyncio.gather(doomed, return_exceptions=True)
        later = [asyncio.create_task(limits.enter()) for _ in range(2)]
        await asyncio.sleep(0)
        assert [task.done() for task in later] == [False, False]
        limits.leave()
        await asyncio.sleep(0)
        assert [task.done() for task in later] == [True, False]
        later[1].cancel()

    simulated(main())
