"""How commands speak: data on stdout, everything else on stderr, JSON where asked, errors in one line."""

from __future__ import annotations

import asyncio
import re
import shutil
import sys
from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from ticketflow import wiring
from ticketflow.domain.errors import Invalid, Rejected, TicketflowError
from ticketflow.settings import Settings
from ticketflow.telemetry import logs
from ticketflow.wiring import Application

# A file or another program has no edge: without COLUMNS nothing is cut for it.
out = Console(
    highlight=False,
    emoji=False,
    soft_wrap=not sys.stdout.isatty(),
    width=shutil.get_terminal_size(fallback=(10_000, 24)).columns,
)
err = Console(stderr=True, highlight=False, emoji=False, soft_wrap=not sys.stderr.isatty())

_JSON = orjson.OPT_INDENT_2 | orjson.OPT_UTC_Z | orjson.OPT_NON_STR_KEYS


_DRIVES_TERMINALS = re.compile("[\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""What JSON lets through and a terminal may obey: delete, C1 controls, and overrides of the direction of text."""


def say_json(value: Any) -> None:
    """One JSON document on stdout, with what could drive a terminal escaped."""
    document = orjson.dumps(value, option=_JSON).decode()
    sys.stdout.write(_DRIVES_TERMINALS.sub(lambda found: f"\\u{ord(found[0]):04x}", document) + "\n")


def plain(text: object) -> str:
    """Text from outside for a terminal: no markup, no control characters that could drive it."""
    return escape(_printable(str(text)))


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() or character == "\n" else "\ufffd" for character in text)


def one_line(text: object) -> str:
    """``plain`` for a place where a new line has no room."""
    return plain(" ".join(str(text).split()))


def moment(time: datetime) -> str:
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M:%S}Z"


def counted(number: int, noun: str) -> str:
    """``1 ticket``, ``2 tickets``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def show_table(
    names: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    flexible: Collection[str],
    expendable: Sequence[str] = (),
    to: Console | None = None,
) -> None:
    """A line for each row of markup, none of them broken.

    Where the width does not suffice, ``flexible`` columns end in an ellipsis, and then ``expendable`` ones are left out
    in their order, which is said on stderr. All others, such as ids, are whole at any width. ``to``: stdout, where
    nothing else is said.
    """
    to = to or out
    cells = {name: [_cell(row[place]) for row in rows] for place, name in enumerate(names)}
    needed = _needed(cells, flexible)
    left_out = []
    for name in expendable:
        if _least(needed) > to.width:
            left_out.append(name)
            del needed[name]
    least = _least(needed)
    table = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), width=least if least > to.width else None)
    for name in needed:
        table.add_column(name, no_wrap=name not in flexible)
    for row in zip(*(cells[name] for name in needed), strict=True):
        table.add_row(*row)
    to.print(table, crop=False)
    if left_out:
        err.print(f"left out for want of width: {', '.join(left_out)}", style="dim")


def fits(names: Sequence[str], rows: Sequence[Sequence[str]], *, flexible: Collection[str]) -> bool:
    """Whether ``show_table`` has room for all these columns."""
    cells = {name: [_cell(row[place]) for row in rows] for place, name in enumerate(names)}
    return _least(_needed(cells, flexible)) <= out.width


def _needed(cells: dict[str, list[Text]], flexible: Collection[str]) -> dict[str, int]:
    """The least width of each column."""
    needed = {name: max(len(name), *(cell.cell_len for cell in column), 0) for name, column in cells.items()}
    return needed | {name: min(needed[name], _LEGIBLE) for name in flexible}


def _least(needed: dict[str, int]) -> int:
    return sum(needed.values()) + _GAP * (len(needed) - 1)


def _cell(markup: str) -> Text:
    cell = Text.from_markup(markup, emoji=False, overflow="ellipsis")
    cell.no_wrap = True
    return cell


_GAP = 2
_LEGIBLE = 16
"""Cells below which a cut text says nothing."""


def fail(error: Exception) -> int:
    """Say what went wrong in one line, and for input what to mend, as far as the line does not say it. Returns the exit
    code."""
    sys.stderr.write(f"ticketflow: {_printable(logs.redacted(str(error)))}\n")
    if isinstance(error, Invalid):
        for problem in error.problems[:10]:
            if problem.message not in str(error):
                sys.stderr.write(f"  {problem.field}: {problem.message}\n")
    return 1


def with_application(settings: Settings, work: Callable[[Application], Awaitable[int]]) -> int:
    """Connect, run ``work``, disconnect. Returns its exit code, or 1 with one line when something is in the way."""

    async def run() -> int:
        async with wiring.connected(settings, auto_migrate=settings.embedded) as app:
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
