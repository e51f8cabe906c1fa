"""How many tickets a caller may send."""

from __future__ import annotations

import pytest

from tests.support.clock import Clock
from ticketflow.access import rates
from ticketflow.access.rates import IntakeLimits
from ticketflow.domain.errors import Invalid, TooManyRequests
from ticketflow.domain.roles import LOCAL_ADMIN, Principal, Role

CUSTOMER = Principal("cus_1", Role.CUSTOMER)
AGENT = Principal("mia", Role.AGENT)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def limits(clock: Clock) -> IntakeLimits:
    return IntakeLimits(customer=30, staff=600, clock=clock)


def sent(limits: IntakeLimits, caller: Principal, most: int = 2000) -> int:
    """How many tickets get through at once."""
    for count in range(most):
        try:
            limits.admit(caller)
        except TooManyRequests:
            return count
    return most


def test_a_minutes_worth_may_come_at_once_and_then_one_by_one(limits: IntakeLimits, clock: Clock) -> None:
    assert sent(limits, CUSTOMER) == 30
    with pytest.raises(TooManyRequests) as refused:
        limits.admit(CUSTOMER)
    assert refused.value.retry_after.total_seconds() == pytest.approx(2)
    clock.advance(1.9)
    assert sent(limits, CUSTOMER) == 0
    clock.advance(0.1)
    assert sent(limits, CUSTOMER) == 1
    clock.advance(20)
    assert sent(limits, CUSTOMER) == 10
    clock.advance(3600)
    assert sent(limits, CUSTOMER) == 30


def test_a_refused_request_counts_for_nothing(limits: IntakeLimits, clock: Clock) -> None:
    limits.admit(AGENT, 599)
    for _ in range(5):
        with pytest.raises(TooManyRequests):
            limits.admit(AGENT, 2)
    limits.admit(AGENT, 1)


def test_a_batch_costs_one_for_each_of_its_tickets(limits: IntakeLimits, clock: Clock) -> None:
    limits.admit(AGENT, 600)
    with pytest.raises(TooManyRequests) as refused:
        limits.admit(AGENT, 100)
    assert refused.value.retry_after.total_seconds() == pytest.approx(10)
    clock.advance(10)
    limits.admit(AGENT, 100)


def test_a_batch_that_could_never_pass_is_not_put_off(limits: IntakeLimits) -> None:
    with pytest.raises(Invalid, match="600"):
        limits.admit(AGENT, 601)


def test_callers_do_not_share(limits: IntakeLimits) -> None:
    assert sent(limits, CUSTOMER) == 30
    assert sent(limits, Principal("cus_2", Role.CUSTOMER)) == 30
    assert sent(limits, Principal("cus_1", Role.AGENT)) == 600
    # A customer with several tokens has one minute, not several.
    assert sent(limits, Principal("cus_1", Role.CUSTOMER, token_id="another")) == 0


def test_whoever_sits_at_this_machine_is_not_limited(limits: IntakeLimits) -> None:
    limits.admit(LOCAL_ADMIN, 1_000_000)
    assert sent(limits, LOCAL_ADMIN) == 2000


def test_the_memory_for_callers_is_bounded(limits: IntakeLimits, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates, "MOST_CALLERS", 3)
    assert sent(limits, CUSTOMER) == 30
    for number in range(3):
        limits.admit(Principal(f"other-{number}", Role.CUSTOMER))
    assert len(limits._full_at) == 3
    assert sent(limits, CUSTOMER) == 30, "who came long ago is forgotten"


def test_whoever_came_last_is_remembered(limits: IntakeLimits, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates, "MOST_CALLERS", 3)
    limits.admit(CUSTOMER, 29)
    for number in range(2):
        limits.admit(Principal(f"other-{number}", Role.CUSTOMER))
    limits.admit(CUSTOMER)
    limits.admit(Principal("other-2", Role.CUSTOMER))
    assert sent(limits, CUSTOMER) == 0
