"""How commands speak: data on stdout, everything else on stderr, JSON where asked, errors in one line."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
from rich.console import Console
from rich.markup import escape

from ticketflow import wiring
from ticketflow.domain.errors import Invalid, Rejected, TicketflowError
from ticketflow.settings import Settings
from ticketflow.telemetry import logs
from ticketflow.wiring import Application

out = Console(highlight=False, soft_wrap=not sys.stdout.isatty())
err = Console(stderr=True, highlight=False)

_JSON = orjson.OPT_INDENT_2 | orjson.OPT_UTC_Z | orjson.OPT_NON_STR_KEYS


def say_json(value: Any) -> None:
    """One JSON document on stdout."""
    sys.stdout.write(orjson.dumps(value, option=_JSON).decode() + "\n")


def plain(text: object) -> str:
    """Text from outside for a terminal: no markup, no control characters that could drive it."""
    shown = "".join(character if character.isprintable() or character == "\n" else "\ufffd" for character in str(text))
    return escape(shown)


def fail(error: Exception) -> int:
    """Say what went wrong in one line, and for input what to mend. Returns the exit code."""
    sys.stderr.write(f"ticketflow: {logs.redacted(str(error))}\n")
    if isinstance(error, Invalid):
        for problem in error.problems[:10]:
            sys.stderr.write(f"  {problem.field}: {problem.message}\n")
    return 1


def with_application(settings: Settings, work: Callable[[Application], Awaitable[int]]) -> int:
    """Connect, run ``work``, disconnect. Returns its exit code, or 1 with one line when something is in the way."""

    async def run() -> int:
        async with wiring.connected(settings, auto_migrate=settings.database_url is None) as app:
            relay = asyncio.create_task(app.relay.run())
            try:
                return await work(app)
            finally:
                relay.cancel()
                await asyncio.gather(relay, return_exceptions=True)

    logs.configure("WARNING", None if settings.log_format == "auto" else settings.log_format == "json")
    try:
        return asyncio.run(run())
    except (Rejected, TicketflowError) as error:
        return fail(error)
