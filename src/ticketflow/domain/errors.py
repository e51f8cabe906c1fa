"""What can go wrong, sorted by who must act: the caller, time, or nobody.

``Rejected``: the caller asked for something that cannot be done; nothing changed.
``Transient``: the same request may succeed later; ``retry_after`` says when it is worth trying.
``Terminal``: repeating will not help; a person has to look.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta


class TicketflowError(Exception):
    """Base of every error that Ticketflow raises on purpose."""

    code = "error"


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """One thing wrong with one input field; ``field`` is a dotted path such as ``items.3.subject``."""

    field: str
    message: str


class Rejected(TicketflowError):
    """The caller must change the request."""

    code = "rejected"


class NotFound(Rejected):
    code = "not_found"


class Unauthenticated(Rejected):
    """Nobody knows who is calling. ``reason`` is a word for the log that holds nothing of the token."""

    code = "unauthenticated"

    def __init__(self, reason: str, *, sent: bool = True) -> None:
        super().__init__("the token is not accepted" if sent else "this takes a bearer token")
        self.reason = reason
        self.sent = sent


class Forbidden(Rejected):
    """The caller is known, and may not do this; ``problems`` names the fields where some are to blame."""

    code = "forbidden"

    def __init__(self, message: str, problems: Sequence[FieldProblem] = ()) -> None:
        super().__init__(message)
        self.problems = tuple(problems)


def beyond_role(field: str, message: str) -> Forbidden:
    """The refusal of one field that the caller's role does not allow."""
    return Forbidden(f"{field}: {message}", [FieldProblem(field, message)])


class OutOfScope(Forbidden):
    """The caller's role may do this, and the token is not for it."""

    code = "scope"


class TooManyRequests(Rejected):
    """The caller has used up what a minute allows; nothing was done, and ``retry_after`` says when it may be."""

    code = "too_many_requests"

    def __init__(self, message: str, retry_after: timedelta) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Conflict(Rejected):
    code = "conflict"


class StaleVersion(Rejected):
    """The caller saw version ``expected``; the ticket is at ``actual`` by now."""

    code = "stale_version"

    def __init__(self, expected: int, actual: int | None) -> None:
        super().__init__(f"the ticket is at version {actual}, not {expected}")
        self.expected = expected
        self.actual = actual


class InvalidMove(Rejected):
    """The ticket cannot do that from where it stands; ``allowed`` lists what it can do."""

    code = "invalid_move"

    def __init__(self, message: str, allowed: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.allowed = tuple(allowed)


class Invalid(Rejected):
    """The input does not have the agreed shape; ``problems`` names the fields."""

    code = "invalid"

    def __init__(self, message: str, problems: Sequence[FieldProblem] = ()) -> None:
        super().__init__(message)
        self.problems = tuple(problems)


class Transient(TicketflowError):
    """Time must pass; the same request may then succeed."""

    code = "transient"

    def __init__(self, message: str, retry_after: timedelta | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class StoreUnavailable(Transient):
    code = "store_unavailable"


class KeysUnavailable(Transient):
    """The keys that would tell whether a token is genuine cannot be had."""

    code = "keys_unavailable"


class BrokerUnavailable(Transient):
    code = "broker_unavailable"


class ModelUnavailable(Transient):
    """The provider answered 5xx, or the connection was lost."""

    code = "model_unavailable"


class ProviderDown(ModelUnavailable):
    """The provider is down as a whole and was not even asked; ``retry_after`` is when it will be."""

    code = "provider_down"


class ModelTimeout(Transient):
    code = "model_timeout"


class ModelOutputInvalid(Transient):
    """The model's answer was cut off or does not fit the schema; another draw may fit."""

    code = "model_output_invalid"


class RateLimited(Transient):
    code = "rate_limited"


class StepTimeout(Transient):
    """A step ran past its wall-clock limit."""

    code = "step_timeout"


class LeaseLost(TicketflowError):
    """Another worker holds the ticket now; whoever sees this stops and changes nothing."""

    code = "lease_lost"


class Cancelled(TicketflowError):
    """A person cancelled the ticket while a step ran. The step is not kept."""

    code = "cancelled"


class Paused(TicketflowError):
    """The ticket was paused while a step ran. The step is kept, and the run ends with it."""

    code = "paused"


class Terminal(TicketflowError):
    """Nobody can fix this by waiting or by asking again."""

    code = "terminal"


class Poison(Terminal):
    """The input itself breaks the system, and would again."""

    code = "poison"


class PayloadTooLarge(Poison):
    """Something on the way takes no request of this size. Nothing took effect, and a part of it may pass."""


class ModelRefused(Terminal):
    """The provider refuses: a bad request, a bad key, or a refusal to answer."""

    code = "model_refused"


class ProviderRefused(ModelRefused):
    """The provider refuses whatever it is asked: the key, the model, the address or the account is at fault.

    ``sure`` is False where it may be this one request after all.
    """

    def __init__(self, message: str, *, sure: bool = True) -> None:
        super().__init__(message)
        self.sure = sure


class ConfigurationError(Terminal):
    """The configuration cannot work; the message names the variable."""

    code = "configuration"


PROVIDER_FAILURES = (ModelTimeout, ModelUnavailable, RateLimited)
"""The provider did not answer, which may be its fault as a whole or that of what it was asked."""
