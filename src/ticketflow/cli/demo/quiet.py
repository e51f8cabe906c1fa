"""The demo as it runs without anything else asked for: one process, and what it answered."""

from __future__ import annotations

import asyncio
import textwrap
import time
from typing import Any
from uuid import UUID

from ticketflow import wiring
from ticketflow.cli.console import counted, err, one_line, out, plain, say_json, show_table
from ticketflow.cli.demo.screen import Screen, progress
from ticketflow.cli.demo.shop import take_in
from ticketflow.cli.demo.summary import item, print_verdict, summary
from ticketflow.cli.demo.trails import ended
from ticketflow.cli.tickets import print_answer
from ticketflow.domain.events import Event
from ticketflow.domain.tickets import Disposition, Ticket
from ticketflow.samples import articles
from ticketflow.services.verify import verify as audit
from ticketflow.settings import Settings
from ticketflow.worker.service import working

POLL_SECONDS = 0.1
PATIENCE_SECONDS = 600


async def quiet(alone: Settings, count: int, as_json: bool) -> int:
    """Run ``count`` sample tickets. Returns 1 when one did not end, or when the audit finds anything."""
    settings = alone.model_copy(update={"worker_concurrency": min(count, 50)})
    async with wiring.connected(settings, auto_migrate=True) as app, working(app) as work:
        await app.library.add(articles())
        err.print(f"{counted(count, 'ticket')}, {app.broker_label}, model {plain(work.model.name)}")
        running = asyncio.create_task(work.worker.run(5))
        started = time.monotonic()
        try:
            ids = await take_in(app, count)
            tickets = await _follow(app, ids)
            seconds = time.monotonic() - started
            verdict = await audit(app.reads)
        finally:
            work.worker.stop()
            await running
    totals = summary(tickets, seconds, verdict)
    if as_json:
        say_json({**totals, "items": [item(ticket) for ticket in tickets]})
    else:
        _print_table(tickets)
        for ticket in _examples(tickets):
            _print_example(ticket)
        _print_totals(totals)
        print_verdict(verdict)
    return 1 if verdict.violations or len(tickets) != len(ids) else 0


async def _follow(app: wiring.Application, ids: list[UUID]) -> list[Ticket]:
    """Watch the trails until every ticket has ended; those that have."""
    trails: dict[UUID, list[Event]] = {ticket_id: [] for ticket_id in ids}
    deadline = time.monotonic() + PATIENCE_SECONDS
    async with Screen(lambda: progress(trails)).shown():
        while time.monotonic() < deadline and not all(map(ended, trails.values())):
            for event in await app.reads.events_of({ticket_id: len(trail) for ticket_id, trail in trails.items()}):
                trails[event.ticket_id].append(event)
            await asyncio.sleep(POLL_SECONDS)
    found = [await app.reads.ticket(ticket_id) for ticket_id in ids]
    return [ticket for ticket in found if ticket is not None and ticket.at_rest]


def _print_table(tickets: list[Ticket]) -> None:
    rows = []
    for ticket in tickets:
        result = ticket.result or {"disposition": "", "sources": []}
        disposition = result["disposition"]
        rows.append(
            (
                one_line(ticket.subject),
                ticket.category or "",
                ticket.priority or "",
                one_line(ticket.team or ""),
                f"[green]{disposition}[/]"
                if disposition == "answered"
                else f"[yellow]{disposition or ticket.status}[/]",
                one_line(", ".join(source["article_id"] for source in result["sources"][:1])),
            )
        )
    columns = ("subject", "category", "priority", "team", "result", "source")
    show_table(columns, rows, flexible=("subject", "source"), expendable=("priority",))


def _examples(tickets: list[Ticket]) -> list[Ticket]:
    """The answer that the review liked best and the first ticket that went to people, as far as there are such."""

    def by(disposition: Disposition) -> list[Ticket]:
        return [ticket for ticket in tickets if ticket.result and ticket.result["disposition"] == disposition]

    def score(ticket: Ticket) -> float:
        review = (ticket.result or {})["review"]
        return sum(review["scores"].values()) if review else 0.0

    answered, escalated = by(Disposition.ANSWERED), by(Disposition.ESCALATED)
    return [*([max(answered, key=score)] if answered else []), *escalated[:1]]


def _print_example(ticket: Ticket) -> None:
    result = ticket.result or {}
    out.print(f"\n[bold]{result['disposition']}: {one_line(ticket.subject)}[/]\n")
    out.print(plain(textwrap.shorten(ticket.body, 300, placeholder=" …")), style="dim")
    print_answer(result)


def _print_totals(totals: dict[str, Any]) -> None:
    out.print(
        f"\n{counted(totals['tickets'], 'ticket')} in {totals['seconds']:.1f} s: "
        + ", ".join(f"{number} {name}" for name, number in sorted(totals["by_disposition"].items()))
        + f"; cost ${totals['cost_usd']:.4f}"
    )
