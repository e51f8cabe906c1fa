"""What to do after a failure: a pure table, so that it can be read and tested as one.

In-step retries (three attempts against the model) have already happened when these rules are asked.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TypeGuard

from ticketflow.domain.errors import (
    PROVIDER_FAILURES,
    Cancelled,
    LeaseLost,
    ModelOutputInvalid,
    ModelTimeout,
    ModelUnavailable,
    Paused,
    ProviderDown,
    RateLimited,
    StepTimeout,
    Terminal,
    TicketflowError,
    Transient,
)

MAX_TAKEOVERS = 5
"""A ticket that lost this many workers in a row without completing a step is taken to be what kills them."""

MAX_ASKED_WAIT = timedelta(hours=1)
"""The longest wait that a provider may impose on a ticket, unless the policy's own ceiling is higher."""

TAKEOVER = "takeover"
UNEXPECTED = "unexpected_error"
RETRY_REASONS = (
    ModelOutputInvalid.code,
    ModelTimeout.code,
    ModelUnavailable.code,
    ProviderDown.code,
    RateLimited.code,
    StepTimeout.code,
    TAKEOVER,
    UNEXPECTED,
)
"""Why a ticket is tried again. A closed set, because it is a metric label."""


@dataclass(frozen=True, slots=True)
class RetryLater:
    """Put the ticket aside and try again as the next attempt. ``counts``: whether this one was one of its few."""

    delay: timedelta
    code: str
    counts: bool = True


@dataclass(frozen=True, slots=True)
class FailPermanently:
    """Stop trying; a person has to look at the dead letter."""

    code: str


@dataclass(frozen=True, slots=True)
class StepAside:
    """The ticket is another worker's, or a person stopped it: change nothing, say nothing to the customer."""

    code: str


Decision = RetryLater | FailPermanently | StepAside


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how far apart a ticket is tried. Delays double from ``base`` up to ``ceiling``."""

    max_attempts: int = 5
    base: timedelta = timedelta(seconds=5)
    ceiling: timedelta = timedelta(minutes=10)

    def delay(self, attempt: int, spread: float) -> timedelta:
        """The wait after failed attempt number ``attempt`` (from 1). ``spread`` in [0, 1) adds up to half of it again,
        so that tickets that failed together do not all come back together."""
        exponential: timedelta = min(self.base * 2 ** min(attempt - 1, 20), self.ceiling)
        return exponential * (1 + spread / 2)

    def granted(self, asked: timedelta) -> timedelta:
        """The part of a wait that a provider asks for which is kept: an absurd one must not park a ticket for years."""
        return min(asked, max(MAX_ASKED_WAIT, self.ceiling))


def may_be_the_provider(error: Exception) -> TypeGuard[Transient]:
    """Whether this is what a ticket meets while the provider is down as a whole."""
    return isinstance(error, (*PROVIDER_FAILURES, StepTimeout))


def after_failure(
    error: Exception, attempt: int, policy: RetryPolicy, spread: float, *, down_for: timedelta | None = None
) -> Decision:
    """Decide what follows from ``error`` in attempt number ``attempt`` (from 1, without the excused ones).

    A lost lease ends this worker's part, and so does a person who paused or cancelled the ticket. Terminal errors fail
    at once. Transient ones are retried until ``max_attempts``, no sooner than the provider's ``retry_after`` as far as
    the policy grants it. An error that nobody foresaw is treated as transient: it may be a bug that the next deploy
    mends, and the attempts are bounded.

    ``down_for``: the provider is down as a whole and will be asked again after that time. It is then to blame for
    whatever may be its doing, and the attempt is excused; so is one in which it was not even asked.
    """
    if isinstance(error, LeaseLost | Cancelled | Paused):
        return StepAside(error.code)
    code = error.code if isinstance(error, TicketflowError) else UNEXPECTED
    if isinstance(error, Terminal):
        return FailPermanently(code)
    if may_be_the_provider(error) and (down_for is not None or isinstance(error, ProviderDown)):
        asked = max(down_for or timedelta(), error.retry_after or timedelta())
        return RetryLater(policy.granted(asked) + policy.delay(1, spread), code, counts=False)
    if attempt >= policy.max_attempts:
        return FailPermanently(code)
    delay = policy.delay(attempt, spread)
    if isinstance(error, Transient) and error.retry_after is not None:
        delay = max(delay, policy.granted(error.retry_after))
    return RetryLater(delay, code)


def kills_workers(takeovers: int) -> bool:
    """Whether a ticket has brought down so many workers in a row that it must not be given another."""
    return takeovers > MAX_TAKEOVERS
