"""``dead-letters``: what stopped moving, why, and on with it."""

from __future__ import annotations

from dataclasses import asdict
from uuid import UUID, uuid4

from ticketflow.cli.console import moment, one_line, out, say_json, show_table, with_application
from ticketflow.domain.errors import NotFound
from ticketflow.services.intake import Caller
from ticketflow.settings import Settings
from ticketflow.wiring import Application


def dead_letters(settings: Settings, limit: int, include_redriven: bool, as_json: bool) -> int:
    async def run(app: Application) -> int:
        letters = await app.reads.dead_letters(limit=limit, include_redriven=include_redriven)
        if as_json:
            say_json([asdict(letter) for letter in letters])
            return 0
        columns = ["id", "when", "kind", "reason", "detail", "ticket"]
        rows = [
            [
                str(letter.id),
                moment(letter.created_at),
                letter.kind,
                one_line(letter.reason),
                one_line(letter.detail),
                str(letter.ticket_id or ""),
            ]
            for letter in letters
        ]
        if include_redriven:
            columns.insert(1, "redriven")
            for row, letter in zip(rows, letters, strict=True):
                row.insert(1, "yes" if letter.redriven_at else "no")
        show_table(columns, rows, flexible=("detail",), expendable=("ticket", "kind", "when"))
        return 0

    return with_application(settings, run)


def dead_letter(settings: Settings, letter_id: UUID) -> int:
    async def run(app: Application) -> int:
        letter = await app.reads.dead_letter(letter_id)
        if letter is None:
            raise NotFound("no dead letter has this id")
        say_json(asdict(letter))
        return 0

    return with_application(settings, run)


def redrive(settings: Settings, letter_id: UUID) -> int:
    async def run(app: Application) -> int:
        letter = await app.dead_letters.redrive(letter_id, Caller(uuid4().hex))
        if letter.ticket_id is None:
            out.print(f"{letter.id} closed: it names no ticket")
        elif letter.kind == "message":
            out.print(f"{letter.id} redriven: ticket {letter.ticket_id} is woken if it still needs a worker")
        else:
            out.print(f"{letter.id} redriven: ticket {letter.ticket_id} starts its next attempt")
        return 0

    return with_application(settings, run)
