"""``dead-letters``: what stopped moving, why, and on with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from uuid import UUID, uuid4

import orjson
from rich.text import Text

from ticketflow.cli.console import (
    counted,
    fail,
    fits,
    moment,
    one_line,
    out,
    plain,
    say_json,
    show_table,
    with_application,
)
from ticketflow.db.reads import DeadLetterRow, Which
from ticketflow.domain.errors import Rejected
from ticketflow.domain.events import EventType
from ticketflow.services.caller import Caller
from ticketflow.services.dead_letters import Story
from ticketflow.settings import Settings
from ticketflow.wiring import Application

_COLUMNS = ["id", "when", "kind", "reason", "detail", "ticket"]


def dead_letters(settings: Settings, which: Which, limit: int, include_redriven: bool, as_json: bool) -> int:
    async def run(app: Application) -> int:
        letters = await app.reads.dead_letters(which, limit=limit, include_redriven=include_redriven)
        if as_json:
            say_json([asdict(letter) for letter in letters])
            return 0
        columns, rows = list(_COLUMNS), [_row(letter) for letter in letters]
        if include_redriven:
            columns.insert(1, "redriven")
            for row, letter in zip(rows, letters, strict=True):
                row.insert(1, "yes" if letter.redriven_at else "no")
        if fits(columns, rows, flexible=("detail",)):
            show_table(columns, rows, flexible=("detail",))
        else:
            for row in rows:
                _print_folded(dict(zip(columns, row, strict=True)))
        return 0

    return with_application(settings, run)


def _row(letter: DeadLetterRow) -> list[str]:
    return [
        str(letter.id),
        moment(letter.created_at),
        letter.kind,
        one_line(letter.reason),
        one_line(letter.detail),
        str(letter.ticket_id or ""),
    ]


def _print_folded(row: dict[str, str]) -> None:
    """Two lines where one has no room: ids and times are whole, the rest is cut at the edge."""
    redriven = {"yes": "redriven  ", "no": "open  "}.get(row.get("redriven", ""), "")
    named = f"ticket {row['ticket']}  " if row["ticket"] else ""
    for line in (f"{row['id']}  {row['when']}  {row['reason']}", f"  {redriven}{named}{row['detail']}"):
        text = Text.from_markup(line, emoji=False)
        text.truncate(out.width, overflow="ellipsis")
        out.print(text)


def dead_letter(settings: Settings, letter_id: UUID, as_json: bool) -> int:
    async def run(app: Application) -> int:
        story = await app.dead_letters.story(letter_id)
        if as_json:
            happened = [asdict(each) for each in story.history]
            letter = asdict(story.letter)
            say_json({**letter, "redriven_request_id": story.redriven_request_id, "history": happened})
        else:
            _print_story(story)
        return 0

    return with_application(settings, run)


def _print_story(story: Story) -> None:
    letter = story.letter
    facts = {
        "id": letter.id,
        "kind": letter.kind,
        "when": moment(letter.created_at),
        "ticket": letter.ticket_id or "none",
        "reason": one_line(letter.reason),
        "detail": one_line(letter.detail),
    }
    if letter.redriven_at is not None:
        request = f", request {one_line(story.redriven_request_id)}" if story.redriven_request_id else ""
        facts["redriven"] = f"{moment(letter.redriven_at)} by {one_line(letter.redriven_by or '')}{request}"
    for name, value in facts.items():
        out.print(f"{name:<9} {value}")
    if story.history:
        out.print("\n[bold]History[/]")
        columns = ("seq", "when", "event", "attempt", "step", "code", "message")
        rows = [
            (
                str(each.seq),
                moment(each.created_at),
                each.status if each.event_type == EventType.STATUS_CHANGE and each.status else each.event_type,
                str(each.attempt),
                each.step or "",
                one_line(each.code or ""),
                one_line(each.message or ""),
            )
            for each in story.history
        ]
        show_table(columns, rows, flexible=("message",), expendable=("seq", "message"))
    out.print("\n[bold]Payload[/]")
    out.print(plain(orjson.dumps(letter.payload, option=orjson.OPT_INDENT_2).decode()))


def redrive(settings: Settings, letter_ids: Sequence[UUID]) -> int:
    """Redrive each; what cannot be redriven is one line on stderr. Returns 1 when there was any of that."""

    async def run(app: Application) -> int:
        caller, refused = Caller(uuid4().hex), 0
        for letter_id in letter_ids:
            try:
                letter = await app.dead_letters.redrive(letter_id, caller)
            except Rejected as error:
                refused += 1
                fail(error if len(letter_ids) == 1 else Rejected(f"{letter_id}: {error}"))
            else:
                out.print(f"{letter.id} {_fate(letter)}")
        return 1 if refused else 0

    return with_application(settings, run)


def _fate(letter: DeadLetterRow) -> str:
    if letter.ticket_id is None:
        return "closed: it names no ticket"
    if letter.kind == "message":
        return f"redriven: ticket {letter.ticket_id} is woken if it still needs a worker"
    return f"redriven: ticket {letter.ticket_id} starts its next attempt"


def redrive_all(settings: Settings, which: Which, limit: int, as_json: bool) -> int:
    """Redrive the oldest ``limit`` of those that are open."""

    async def run(app: Application) -> int:
        redriven = await app.dead_letters.redrive_many(which, limit, Caller(uuid4().hex))
        if as_json:
            done = {"redriven": len(redriven.ids), "skipped": redriven.skipped, "remaining": redriven.remaining}
            say_json({**done, "items": redriven.ids})
        else:
            out.print(
                f"{counted(len(redriven.ids), 'dead letter')} redriven, {redriven.skipped} skipped, "
                f"{redriven.remaining} remaining"
            )
        return 0

    return with_application(settings, run)
