"""``dead-letters``: what stopped moving, why, and on with it."""

from __future__ import annotations

from dataclasses import asdict
from uuid import UUID, uuid4

from rich.table import Table

from ticketflow.cli.console import out, plain, say_json, with_application
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
        table = Table("id", "when", "kind", "ticket", "reason", "detail", box=None, pad_edge=False)
        for letter in letters:
            table.add_row(
                str(letter.id),
                letter.created_at.strftime("%Y-%m-%d %H:%M:%S"),
                letter.kind,
                str(letter.ticket_id or ""),
                plain(letter.reason),
                plain(letter.detail[:80]),
            )
        out.print(table)
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
        letter = await app.retry.dead_letter(letter_id, Caller(uuid4().hex))
        out.print(f"{letter.id} redriven: ticket {letter.ticket_id} starts its next attempt")
        return 0

    return with_application(settings, run)
