"""The circuit breaker, hour by hour in simulated time."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from tests.support.simulated import now, simulated
from ticketflow.domain.errors import (
    ModelOutputInvalid,
    ModelRefused,
    ModelTimeout,
    ModelUnavailable,
    ProviderDown,
    ProviderRefused,
    RateLimited,
    TicketflowError,
)
from ticketflow.llm.breaker import Breaker

AWAY = ModelUnavailable("the provider failed (500)")
SLOW = ModelTimeout("the model did not answer in time")
LIMITED = RateLimited("the provider limits the rate of calls (429)")
REFUSED = ProviderRefused("the provider refuses the API key (401)")
SECONDS = timedelta(seconds=1)


class Provider:
    """Answers probes with what it is given, the last one again and again; None is a proper answer."""

    def __init__(self, *answers: Exception | None, takes: float = 0.0) -> None:
        self.answers = list(answers)
        self.takes = takes
        self.probed: list[float] = []

    async def check(self) -> None:
        self.probed.append(now())
        await asyncio.sleep(self.takes)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if answer is not None:
            raise answer


def fail(breaker: Breaker, *errors: TicketflowError) -> None:
    for error in errors:
        assert breaker.failed(breaker.admit(), error) is error


def is_open(breaker: Breaker) -> bool:
    try:
        breaker.admit()
    except ProviderDown:
        assert breaker.cause is not None
        return True
    assert breaker.cause is None
    return False


@contextlib.asynccontextmanager
async def opened(provider: Provider, *errors: TicketflowError, failures: int = 5) -> AsyncIterator[Breaker]:
    breaker = Breaker(failures)
    async with breaker.probing(provider.check):
        fail(breaker, *errors)
        assert is_open(breaker)
        yield breaker


@pytest.mark.parametrize(
    ("errors", "opens"),
    [
        ([AWAY] * 4, False),
        ([AWAY] * 5, True),
        ([AWAY, SLOW, AWAY, SLOW, SLOW], True),
        ([AWAY, SLOW, ModelOutputInvalid("x"), AWAY, SLOW, AWAY, AWAY], False),
        ([AWAY] * 4 + [ModelRefused("a bad request")] + [AWAY] * 4, False),
        ([AWAY] * 4 + [ModelRefused("a bad request")] + [AWAY] * 5, True),
        ([ModelOutputInvalid("x")] * 50, False),
        ([ModelRefused("the model declined to answer")] * 50, False),
        ([REFUSED], True),
    ],
)
def test_it_opens_when_no_call_in_a_row_is_answered(errors: Sequence[TicketflowError], opens: bool) -> None:
    async def main() -> None:
        breaker = Breaker(5)
        fail(breaker, *errors)
        assert is_open(breaker) is opens

    simulated(main())


def test_an_answer_ends_the_row() -> None:
    async def main() -> None:
        breaker = Breaker(2)
        for _ in range(10):
            fail(breaker, AWAY)
            breaker.answered(breaker.admit())
        assert not is_open(breaker)

    simulated(main())


def test_without_a_number_of_failures_it_never_opens() -> None:
    async def main() -> None:
        breaker = Breaker()
        fail(breaker, REFUSED, *[AWAY] * 100)
        assert not is_open(breaker)
        assert await breaker.down(make_sure=True) is None

    simulated(main())


def test_calls_that_were_limited_together_are_one_failure() -> None:
    async def main() -> None:
        breaker = Breaker(3)
        for round_ in range(3):
            assert not is_open(breaker)
            turns = [breaker.admit() for _ in range(20)]
            for turn in turns:
                await asyncio.sleep(0.1)
                breaker.failed(turn, LIMITED)
            await asyncio.sleep(round_)
        assert is_open(breaker)

    simulated(main())


def test_while_it_is_open_a_call_is_refused_with_the_time_until_the_next_probe() -> None:
    async def main() -> None:
        async with opened(Provider(REFUSED), REFUSED) as breaker:
            await asyncio.sleep(2)
            with pytest.raises(ProviderDown, match=r"401") as refused:
                breaker.admit()
            assert refused.value.retry_after == 3 * SECONDS
            assert await breaker.down() == 3 * SECONDS

    simulated(main())


def test_probes_come_further_and_further_apart_for_an_hour_and_the_first_answer_closes_it() -> None:
    async def main() -> None:
        provider = Provider(AWAY)
        changes: list[tuple[float, bool]] = []
        async with opened(provider, *[AWAY] * 5) as breaker:
            breaker.listen(lambda is_open: changes.append((now(), is_open)))
            await asyncio.sleep(3600)
            gaps = [later - sooner for sooner, later in zip(provider.probed, provider.probed[1:], strict=False)]
            assert provider.probed[0] == 0
            assert gaps[:5] == [5, 10, 20, 40, 60]
            assert set(gaps[5:]) == {60}
            assert is_open(breaker)
            provider.answers = [None]
            await breaker.closed()
            assert not is_open(breaker)
            assert changes == [(provider.probed[-1], False)]
            await asyncio.sleep(3600)
            assert changes[-1][0] == provider.probed[-1], "nobody is asked while all is well"

    simulated(main())


@pytest.mark.parametrize("answer", [None, ModelOutputInvalid("cut off"), ModelRefused("a bad request (400)")])
def test_whatever_the_probe_is_answered_closes_it(answer: Exception | None) -> None:
    async def main() -> None:
        async with opened(Provider(answer), REFUSED) as breaker:
            await breaker.closed()
            assert now() == 5

    simulated(main())


@pytest.mark.parametrize(
    ("asked", "probed"),
    [(timedelta(seconds=2), 5), (timedelta(minutes=10), 600), (timedelta(hours=3), 3600), (timedelta.max, 3600)],
)
def test_a_provider_may_ask_for_more_patience_up_to_an_hour(asked: timedelta, probed: float) -> None:
    async def main() -> None:
        provider = Provider(None)
        limited = RateLimited("429", asked)
        async with opened(provider, limited, failures=1) as breaker:
            assert breaker.retry_in == probed * SECONDS
            await breaker.closed()
        assert provider.probed == [probed]

        provider = Provider(ModelUnavailable("503", asked), None)
        begun = now()
        async with opened(provider, REFUSED) as breaker:
            await breaker.closed()
        assert provider.probed == [begun + 5, begun + 5 + max(probed, 10)]

    simulated(main())


def test_what_may_be_the_doing_of_one_ticket_is_asked_about_at_once() -> None:
    """Else a ticket that the provider fails on would stop all others for five seconds, as often as it is tried."""

    async def main() -> None:
        provider = Provider(None, takes=1)
        async with opened(provider, *[SLOW] * 5) as breaker:
            assert await breaker.down() is None
            assert (now(), provider.probed) == (1, [0])
            assert not is_open(breaker)
            provider.answers = [AWAY]
            fail(breaker, *[SLOW] * 5)
            assert await breaker.down() == 5 * SECONDS
            assert now() == 2

    simulated(main())


@pytest.mark.parametrize("error", [REFUSED, LIMITED, ModelUnavailable("503", 7 * SECONDS)])
def test_what_cannot_be_one_tickets_doing_is_not_asked_about_at_once(error: TicketflowError) -> None:
    async def main() -> None:
        provider = Provider(None)
        async with opened(provider, error, failures=1) as breaker:
            assert await breaker.down() == breaker.retry_in
            assert now() == 0
            assert provider.probed == []

    simulated(main())


def test_a_refusal_that_may_be_about_one_text_is_asked_about_at_once() -> None:
    async def main() -> None:
        async with opened(Provider(None), ProviderRefused("403", sure=False)) as breaker:
            assert await breaker.down() is None
            assert now() == 0

    simulated(main())


def test_before_a_ticket_fails_for_good_the_provider_is_asked_although_it_counts_as_well() -> None:
    async def main() -> None:
        provider = Provider(None, AWAY, takes=1)
        breaker = Breaker(5)
        async with breaker.probing(provider.check):
            assert await breaker.down() is None
            assert provider.probed == []
            assert await breaker.down(make_sure=True) is None
            many = await asyncio.gather(*(breaker.down(make_sure=True) for _ in range(20)))
            assert many == [5 * SECONDS] * 20
            assert provider.probed == [0, 1]
            assert is_open(breaker)

    simulated(main())


def test_what_is_certain_meanwhile_needs_no_probe_any_more() -> None:
    async def main() -> None:
        breaker = Breaker(5)
        async with breaker.probing(Provider(AWAY, takes=100).check):
            waiting = asyncio.create_task(breaker.down(make_sure=True))
            await asyncio.sleep(1)
            fail(breaker, REFUSED)
            assert await waiting == 5 * SECONDS
            assert now() == 1

    simulated(main())


def test_what_was_under_way_when_it_opened_or_closed_does_not_count() -> None:
    async def main() -> None:
        breaker = Breaker(5)
        early = breaker.admit()
        async with breaker.probing(Provider(None).check):
            fail(breaker, REFUSED)
            breaker.answered(early)
            assert is_open(breaker)
            told = breaker.failed(early, REFUSED)
            assert isinstance(told, ProviderDown), "one ticket that fails by a refused key is enough"
            await breaker.closed()
            for _ in range(10):
                assert breaker.failed(early, AWAY) is AWAY
                assert isinstance(breaker.failed(early, REFUSED), ProviderDown)
            assert not is_open(breaker)
            fail(breaker, *[LIMITED], *[AWAY] * 3)
            breaker.answered(early)
            fail(breaker, AWAY)
            assert is_open(breaker)

    simulated(main())


def test_a_probe_that_breaks_is_logged_and_asked_again() -> None:
    async def main() -> None:
        provider = Provider(ZeroDivisionError("a bug"), None)
        async with opened(provider, REFUSED) as breaker:
            await breaker.closed()
        assert provider.probed == [5, 15]

    with capture_logs() as records:
        simulated(main())
    assert [record["event"] for record in records] == [
        "llm.breaker_open", "llm.probe_failed", "llm.still_down", "llm.breaker_closed",
    ]  # fmt: skip


def test_it_says_what_happens_and_why() -> None:
    async def main() -> None:
        async with opened(Provider(SLOW, None), REFUSED) as breaker:
            await breaker.closed()

    with capture_logs() as records:
        simulated(main())
    opened_, still, closed = records
    assert opened_ == {
        "event": "llm.breaker_open", "log_level": "warning", "code": "model_refused",
        "reason": "the provider refuses the API key (401)", "retry_in_seconds": 5.0,
    }  # fmt: skip
    assert (still["event"], still["code"], still["retry_in_seconds"]) == ("llm.still_down", "model_timeout", 10.0)
    assert closed["event"] == "llm.breaker_closed"


def test_whoever_waits_for_the_verdict_is_let_go_when_nobody_asks_any_more() -> None:
    async def main() -> None:
        breaker = Breaker(5)
        async with breaker.probing(Provider(None, takes=100).check):
            waiting = asyncio.create_task(breaker.down(make_sure=True))
            cancelled = asyncio.create_task(breaker.down(make_sure=True))
            await asyncio.sleep(1)
            cancelled.cancel()
        assert await waiting is None
        assert now() == 1
        assert cancelled.cancelled()

    simulated(main())
