"""Ticketflow's own errors for what the OpenAI client and LangChain raise, with the wait that the provider asks for."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ticketflow.domain.errors import (
    ModelOutputInvalid,
    ModelRefused,
    ModelTimeout,
    ModelUnavailable,
    ProviderRefused,
    RateLimited,
    TicketflowError,
)
from ticketflow.domain.retry_after import retry_after
from ticketflow.llm.observe import Outcome

if TYPE_CHECKING:
    from openai import APIStatusError

_MASK = "[key]"
_SAID = 300
"""How much of a provider's own words goes into our message, in characters."""

# The provider's word that waiting will not help, although the status is 429.
_OUT_OF_MONEY = frozenset({"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"})


def outcome_of(error: TicketflowError) -> Outcome:
    """The metric label of a failed attempt."""
    match error:
        case ModelTimeout():
            return "timeout"
        case RateLimited():
            return "rate_limited"
        case ModelOutputInvalid():
            return "invalid_output"
        case ModelRefused():
            return "refused"
        case _:
            return "unavailable"


def vendor_errors() -> tuple[type[Exception], ...]:
    """Everything that a call may raise; the last five are how it stumbles over a 200 that is no chat completion."""
    import openai

    return (openai.OpenAIError, TimeoutError, ValueError, LookupError, TypeError, AttributeError, RecursionError)


def answered(error: Exception) -> bool:
    """Whether the provider answered at all."""
    import openai

    return not isinstance(error, TimeoutError | openai.APIConnectionError)


def translate(error: Exception, secret: str) -> TicketflowError:
    """Ours for one of ``vendor_errors()``, to be raised from it.

    ``secret`` is masked in the new message and in every message of the old error's chain, so that a logged traceback
    can't show a key that a careless gateway repeats.
    """
    import openai

    _mask_chain(error, secret)
    match error:
        case TimeoutError() | openai.APITimeoutError():
            return ModelTimeout("the model did not answer in time")
        case openai.APIConnectionError():
            return ModelUnavailable(f"no connection to the model provider: {error.__cause__ or error}"[:_SAID])
        case openai.APIStatusError():
            return _of_status(error, secret)
    return ModelOutputInvalid(f"the provider's answer is no chat completion ({type(error).__name__})")


def _of_status(error: APIStatusError, secret: str) -> TicketflowError:
    status = error.status_code
    wait = retry_after(error.response.headers, datetime.now(UTC))
    said = _said(error, secret)
    if status == 429:
        if error.code in _OUT_OF_MONEY or error.type in _OUT_OF_MONEY:
            return ProviderRefused(f"the provider's quota is used up (429): {said}")
        return RateLimited("the provider limits the rate of calls (429)", wait)
    if status == 408:
        return ModelTimeout("the provider timed the request out (408)", wait)
    if status in (409, 425) or status >= 500:
        return ModelUnavailable(f"the provider failed ({status}): {said}", wait)
    if status == 401:
        return ProviderRefused("the provider refuses the API key (401)")
    if status == 403:
        # Some gateways also say so to a single text that their moderation does not like.
        return ProviderRefused(f"the API key may not do this (403): {said}", sure=False)
    if status == 404:
        return ProviderRefused(f"the provider does not know the model or the address (404): {said}")
    return ModelRefused(f"the provider refuses the request ({status}): {said}")


def _said(error: APIStatusError, secret: str) -> str:
    body = error.body
    said = body.get("message") if isinstance(body, dict) else None
    text = " ".join(str(said).split()) if said else "no reason given"
    return masked(text, secret)[:_SAID]


def masked(text: str, secret: str) -> str:
    """The text without the secret. To be done before the text is cut, which could leave half a secret."""
    return text.replace(secret, _MASK) if secret else text


def _mask_chain(error: BaseException, secret: str) -> None:
    for each in _chain(error):
        each.args = tuple(masked(a, secret) if isinstance(a, str) else a for a in each.args)


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        each = waiting.pop()
        if each is not None and id(each) not in seen:
            seen.add(id(each))
            yield each
            waiting += [each.__cause__, each.__context__]
