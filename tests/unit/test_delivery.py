"""What follows from a failure, as a table."""

from __future__ import annotations

import random
from datetime import timedelta

import pytest

from ticketflow.domain import errors
from ticketflow.domain.delivery import (
    MAX_TAKEOVERS,
    RETRY_REASONS,
    TAKEOVER,
    UNEXPECTED,
    Decision,
    FailPermanently,
    RetryLater,
    RetryPolicy,
    StepAside,
    after_failure,
    kills_workers,
)

POLICY = RetryPolicy(max_attempts=3, base=timedelta(seconds=10), ceiling=timedelta(seconds=60))


def wait(seconds: float, code: str) -> RetryLater:
    return RetryLater(timedelta(seconds=seconds), code)


def excused(down_for: float, code: str) -> RetryLater:
    """Until the provider is asked again, and then the first delay."""
    return RetryLater(timedelta(seconds=down_for + 10), code, counts=False)


MINUTES = timedelta(minutes=5)
TABLE: list[tuple[Exception, int, Decision]] = [
    # A lost lease ends this worker's part, whatever the attempt.
    (errors.LeaseLost("x"), 1, StepAside("lease_lost")),
    (errors.LeaseLost("x"), 3, StepAside("lease_lost")),
    (errors.Paused("x"), 5, StepAside("paused")),
    (errors.Cancelled("x"), 5, StepAside("cancelled")),
    # What nobody can fix fails at once.
    (errors.ModelRefused("x"), 1, FailPermanently("model_refused")),
    (errors.Poison("x"), 1, FailPermanently("poison")),
    (errors.PayloadTooLarge("x"), 1, FailPermanently("poison")),
    (errors.ConfigurationError("x"), 1, FailPermanently("configuration")),
    (errors.ProviderRefused("x"), 1, FailPermanently("model_refused")),
    # What time may fix is tried again, later each time, and not for ever.
    (errors.ModelTimeout("x"), 1, wait(10, "model_timeout")),
    (errors.ModelTimeout("x"), 2, wait(20, "model_timeout")),
    (errors.ModelTimeout("x"), 3, FailPermanently("model_timeout")),
    (errors.ModelTimeout("x"), 4, FailPermanently("model_timeout")),
    (errors.ModelUnavailable("x"), 1, wait(10, "model_unavailable")),
    (errors.ModelOutputInvalid("x"), 1, wait(10, "model_output_invalid")),
    (errors.StepTimeout("x"), 1, wait(10, "step_timeout")),
    (errors.StoreUnavailable("x"), 1, wait(10, "store_unavailable")),
    (errors.BrokerUnavailable("x"), 1, wait(10, "broker_unavailable")),
    # A ticket whose question was not even sent has used up nothing.
    (errors.ProviderDown("x", timedelta(seconds=20)), 3, excused(20, "provider_down")),
    (errors.ProviderDown("x"), 1, excused(0, "provider_down")),
    # The provider's own word counts where it asks for more patience than ours.
    (errors.RateLimited("x", MINUTES), 1, wait(300, "rate_limited")),
    (errors.RateLimited("x", timedelta(seconds=1)), 1, wait(10, "rate_limited")),
    (errors.RateLimited("x", timedelta()), 2, wait(20, "rate_limited")),
    (errors.RateLimited("x", MINUTES), 3, FailPermanently("rate_limited")),
    # Up to an hour, and never into the past.
    (errors.RateLimited("x", timedelta(hours=1)), 1, wait(3600, "rate_limited")),
    (errors.RateLimited("x", timedelta(seconds=1e9)), 1, wait(3600, "rate_limited")),
    (errors.ModelUnavailable("x", timedelta.max), 2, wait(3600, "model_unavailable")),
    (errors.RateLimited("x", timedelta(days=-1)), 1, wait(10, "rate_limited")),
    # What nobody foresaw may be a bug that the next deploy mends.
    (ZeroDivisionError("x"), 1, wait(10, "unexpected_error")),
    (ZeroDivisionError("x"), 3, FailPermanently("unexpected_error")),
    (errors.NotFound("x"), 1, wait(10, "not_found")),
    (errors.Conflict("x"), 3, FailPermanently("conflict")),
]


@pytest.mark.parametrize(
    ("error", "attempt", "decision"), TABLE, ids=[f"{type(error).__name__} in attempt {n}" for error, n, _ in TABLE]
)
def test_after_a_failure(error: Exception, attempt: int, decision: Decision) -> None:
    assert after_failure(error, attempt, POLICY, spread=0) == decision


DOWN_TABLE: list[tuple[Exception, int, Decision]] = [
    # While the provider is down as a whole, what may be its doing uses no attempt up, the last one neither.
    (errors.ModelTimeout("x"), 1, excused(30, "model_timeout")),
    (errors.ModelTimeout("x"), 3, excused(30, "model_timeout")),
    (errors.ModelUnavailable("x"), 99, excused(30, "model_unavailable")),
    (errors.StepTimeout("x"), 3, excused(30, "step_timeout")),
    (errors.RateLimited("x"), 3, excused(30, "rate_limited")),
    (errors.RateLimited("x", MINUTES), 3, excused(300, "rate_limited")),
    (errors.RateLimited("x", timedelta.max), 3, excused(3600, "rate_limited")),
    (errors.ProviderDown("x", timedelta(seconds=20)), 3, excused(30, "provider_down")),
    # Everything else goes on as ever.
    (errors.LeaseLost("x"), 3, StepAside("lease_lost")),
    (errors.ProviderRefused("x"), 1, FailPermanently("model_refused")),
    (errors.Poison("x"), 1, FailPermanently("poison")),
    (errors.ModelOutputInvalid("x"), 2, wait(20, "model_output_invalid")),
    (errors.ModelOutputInvalid("x"), 3, FailPermanently("model_output_invalid")),
    (errors.StoreUnavailable("x"), 3, FailPermanently("store_unavailable")),
    (ZeroDivisionError("x"), 3, FailPermanently("unexpected_error")),
]


@pytest.mark.parametrize(
    ("error", "attempt", "decision"),
    DOWN_TABLE,
    ids=[f"{type(error).__name__} in attempt {n}" for error, n, _ in DOWN_TABLE],
)
def test_after_a_failure_while_the_provider_is_down(error: Exception, attempt: int, decision: Decision) -> None:
    assert after_failure(error, attempt, POLICY, spread=0, down_for=timedelta(seconds=30)) == decision


def test_tickets_that_wait_for_the_provider_do_not_all_come_back_together() -> None:
    down = errors.ProviderDown("x")
    decisions = [after_failure(down, 1, POLICY, spread, down_for=timedelta(seconds=30)) for spread in (0, 0.5, 0.99)]
    assert [decision.delay.total_seconds() for decision in decisions if isinstance(decision, RetryLater)] == [
        40, 42.5, 44.95,
    ]  # fmt: skip


NO_WORKERS = {errors.KeysUnavailable}
"""Only who checks tokens meets these."""


def test_every_terminal_and_transient_error_stands_in_the_table() -> None:
    def kinds(root: type[Exception]) -> set[type[Exception]]:
        # A room's own kind of one of these, such as the database's, is treated as that one.
        ours = [child for child in root.__subclasses__() if child.__module__ == errors.__name__]
        return {root} | {kind for child in ours for kind in kinds(child)}

    abstract = {errors.Terminal, errors.Transient, *NO_WORKERS}
    tried = {type(error) for error, _, _ in TABLE}
    assert (kinds(errors.Terminal) | kinds(errors.Transient)) - abstract <= tried


def test_delays_double_up_to_the_ceiling() -> None:
    delays = [POLICY.delay(attempt, 0).total_seconds() for attempt in (1, 2, 3, 4, 5, 1000)]
    assert delays == [10, 20, 40, 60, 60, 60]


def test_a_provider_may_ask_for_as_much_as_a_long_ceiling_allows() -> None:
    patient = RetryPolicy(ceiling=timedelta(hours=6))
    for asked, granted in ((timedelta(hours=3), 3), (timedelta(hours=9), 6)):
        assert after_failure(errors.RateLimited("x", asked), 1, patient, 0) == wait(granted * 3600, "rate_limited")


def test_spread_adds_up_to_half_of_the_delay_again() -> None:
    assert POLICY.delay(2, 0.5) == timedelta(seconds=25)
    draws = [POLICY.delay(1, random.random()).total_seconds() for _ in range(200)]
    assert all(10 <= draw < 15 for draw in draws)


@pytest.mark.parametrize(("takeovers", "kills"), [(0, False), (MAX_TAKEOVERS, False), (MAX_TAKEOVERS + 1, True)])
def test_a_ticket_that_loses_too_many_workers_is_taken_to_be_what_kills_them(takeovers: int, kills: bool) -> None:
    assert kills_workers(takeovers) is kills


def test_every_error_that_leads_to_a_retry_has_its_series() -> None:
    ends_no_attempt = {errors.StoreUnavailable, errors.BrokerUnavailable, *NO_WORKERS}
    codes = {kind.code for kind in set(errors.Transient.__subclasses__()) - ends_no_attempt}
    assert set(RETRY_REASONS) == codes | {errors.ProviderDown.code, TAKEOVER, UNEXPECTED}
