"""What the answers of a Supabase project's REST interface mean.

Codes and statuses as PostgREST documents them (docs.postgrest.org, "Errors"); what comes from the gateway before it
has a status and often no code (supabase.com/docs, "HTTP status codes").
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import httpx

from ticketflow.db.codec import decoded
from ticketflow.db.gateway import OF_THE_DATA
from ticketflow.domain.errors import PayloadTooLarge, Poison, StoreUnavailable, TicketflowError
from ticketflow.domain.retry_after import retry_after


class Refused(StoreUnavailable):
    """Nobody is let in until somebody changes something: the key, the address, the project itself. A process that
    starts stops at it; one that runs has tickets in hand, and waits."""


class NothingDone(StoreUnavailable):
    """The call did not take effect, so that it may be made again whatever it does."""


class UnknownFunction(Refused):
    """PostgREST has no such function in its schema cache."""


_CODE = re.compile("[0-9A-Z]{5}|PGRST[0-9A-Z]+")
"""PostgreSQL's or PostgREST's; whatever else answers with JSON has codes of its own."""
_NO_CONNECTION = ("PGRST000", "PGRST002", "PGRST003")
"""None was there, or none was free; PGRST001 is one that was lost, and nobody knows when."""
_UNDEFINED = ("42883", "42P01", "PGRST106", "PGRST205")
_ROLLED_BACK = ("40", "53", "55", "57", "58", "25006")
"""Time may heal it, and the transaction is gone."""
_LONGEST = 300


async def check(response: httpx.Response) -> None:
    """Pass an answer whose body is JSON. Raises what any other answer means."""
    body = await response.aread()
    if not response.is_success:
        code, said = _code_and_message(body)
        # Something may repeat to us what we sent, the key among it.
        key = response.request.headers.get("apikey") or "-"
        wait = retry_after(response.headers, datetime.now(UTC))
        error = _error(response.status_code, code, _one_line(said.replace(key, "[redacted]")), wait)
        if response.has_redirect_location:
            # Such as from http:// to https://. Nothing is followed: the key would go with it.
            error = Refused(
                f"{error}, and points to {_one_line(response.headers['location'].replace(key, '[redacted]'))}"
            )
        raise error
    if "json" not in response.headers.get("content-type", ""):
        raise Refused(f"what answers at SUPABASE_URL sends no JSON: is it the project's address? ({_about(response)})")
    try:
        answer = decoded(body)
    except ValueError as error:
        raise StoreUnavailable("the Supabase project's answer was cut off") from error
    # What the client makes of it: as the other gateway reads it, to the last number, and no second time.
    response.json = lambda **_: answer  # type: ignore[method-assign]


def _error(status: int, code: str, said: str, wait: timedelta | None) -> TicketflowError:
    if code == "42501":
        return Refused(
            "SUPABASE_KEY may not do this: it must be the secret (service_role) key; if it is that, "
            f"`ticketflow migrate` grants what is missing: {said}"
        )
    if status == 401:
        return Refused(
            f"SUPABASE_KEY is refused{_quoted(said)} (is it of the project at SUPABASE_URL, and still there?)"
        )
    if status == 413:
        return PayloadTooLarge("the request is too large for what stands before the Supabase project")
    if status == 429:
        return NothingDone("the Supabase project asks for fewer requests", wait)
    if status == 540:
        return Refused("the Supabase project is paused: restore it in the dashboard")
    if code.startswith("PGRST") or code in _UNDEFINED:
        return _of_postgrest(status, code, said)
    if code:
        return _of_postgresql(code, said)
    if status < 500:
        return Refused(f"what answers at SUPABASE_URL is no Supabase project's REST interface: it says {status}")
    return StoreUnavailable(f"the Supabase project answered {status}{_quoted(said)}")


def _of_postgrest(status: int, code: str, said: str) -> TicketflowError:
    if code == "PGRST202":
        return UnknownFunction(f"the database schema is not ready, run `ticketflow migrate`: {said}")
    if code in _UNDEFINED:
        return Refused(f"the database schema is not ready, run `ticketflow migrate`: {said}")
    if code in _NO_CONNECTION:
        return NothingDone(f"PostgREST has no connection to the database: {said}")
    if status == 400:
        return Poison(said)
    return StoreUnavailable(f"PostgREST answered {status}{_quoted(said)}")


def _of_postgresql(code: str, said: str) -> TicketflowError:
    if code.startswith(_ROLLED_BACK):
        return NothingDone(said)
    return Poison(said) if code.startswith(OF_THE_DATA) else StoreUnavailable(said)


def _code_and_message(body: bytes) -> tuple[str, str]:
    """Of an error's body, whatever it is. Only the message: details and hints hold customers' text."""
    try:
        problem = decoded(body)
    except ValueError:
        return "", ""
    if not isinstance(problem, dict):
        return "", ""
    code, message = problem.get("code"), problem.get("message")
    known = code if isinstance(code, str) and _CODE.fullmatch(code) else ""
    return known, message if isinstance(message, str) else ""


def _about(response: httpx.Response) -> str:
    return f"{response.status_code}, {response.headers.get('content-type', 'of no type')[:80]!r}"


def _one_line(text: str) -> str:
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())[:_LONGEST]


def _quoted(said: str) -> str:
    return f": {said}" if said else ""
