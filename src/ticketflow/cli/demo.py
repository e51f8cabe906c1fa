"""``demo``: the sample shop's tickets through the whole pipeline, in a database of their own that goes away again."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import textwrap
import time
from collections import Counter
from typing import Any
from uuid import UUID, uuid4

from pydantic import SecretStr
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from ticketflow import wiring
from ticketflow.api.models import NewTicketBody
from ticketflow.api.routes.tickets import new_ticket
from ticketflow.cli.console import counted, err, fail, one_line, out, plain, say_json, show_table
from ticketflow.cli.throwaway import throwaway_database
from ticketflow.cli.tickets import print_answer
from ticketflow.domain.errors import TicketflowError
from ticketflow.domain.events import Event, EventType
from ticketflow.domain.tickets import TERMINAL, Disposition, Ticket
from ticketflow.samples import articles
from ticketflow.samples import tickets as samples
from ticketflow.services.intake import Caller
from ticketflow.services.verify import Verdict
from ticketflow.services.verify import verify as audit
from ticketflow.settings import Settings
from ticketflow.telemetry import logs
from ticketflow.worker.service import working
from ticketflow.workflow.state import StepName

POLL_SECONDS = 0.1
PATIENCE_SECONDS = 600


def demo(settings: Settings, count: int, as_json: bool) -> int:
    """Run ``count`` sample tickets. Returns 1 when one did not end, or when the audit finds anything."""
    logs.configure("ERROR")
    try:
        return asyncio.run(_demo(settings, count, as_json))
    except TicketflowError as error:
        return fail(error)


async def _demo(settings: Settings, count: int, as_json: bool) -> int:
    async with wiring.database(settings) as (server, _), throwaway_database(server, "demo") as url:
        # Its own database needs its own queue too: a shared RabbitMQ would hand our messages to other workers.
        alone = settings.model_copy(
            update={"database_url": SecretStr(url), "rabbitmq_url": None, "worker_concurrency": min(count, 50)}
        )
        async with wiring.connected(alone, auto_migrate=True) as app, working(app) as work:
            await app.library.add(articles())
            err.print(f"{counted(count, 'ticket')}, {app.broker_label}, model {plain(work.model.name)}")
            running = asyncio.create_task(work.worker.run(5))
            started = time.monotonic()
            try:
                ids = await _take_in(app, count)
                tickets = await _follow(app, ids)
                seconds = time.monotonic() - started
                verdict = await audit(app.reads)
            finally:
                work.worker.stop()
                await running
    if as_json:
        say_json({**_summary(tickets, seconds, verdict), "items": [_item(ticket) for ticket in tickets]})
    else:
        _print_table(tickets)
        for ticket in _examples(tickets):
            _print_example(ticket)
        _print_totals(_summary(tickets, seconds, verdict), verdict)
    return 1 if verdict.violations or len(tickets) != len(ids) else 0


async def _take_in(app: wiring.Application, count: int) -> list[UUID]:
    shop = samples()
    ids = []
    for number in range(count):
        body = NewTicketBody.model_validate(shop[number % len(shop)])
        taken = await app.intake.take_in(new_ticket(body, f"demo-{number}"), Caller(uuid4().hex))
        ids.append(taken.ticket_id)
    return ids


async def _follow(app: wiring.Application, ids: list[UUID]) -> list[Ticket]:
    """Watch the trails until every ticket has ended; those that have."""
    trails: dict[UUID, list[Event]] = {ticket_id: [] for ticket_id in ids}
    deadline = time.monotonic() + PATIENCE_SECONDS
    live: contextlib.AbstractContextManager[Any] = (
        Live(console=err, refresh_per_second=10, transient=True) if sys.stderr.isatty() else contextlib.nullcontext()
    )
    with live as screen:
        while time.monotonic() < deadline:
            for event in await app.reads.events_of({ticket_id: len(trail) for ticket_id, trail in trails.items()}):
                trails[event.ticket_id].append(event)
            if screen is not None:
                screen.update(_progress(trails))
            if all(_ended(trail) for trail in trails.values()):
                break
            await asyncio.sleep(POLL_SECONDS)
    found = [await app.reads.ticket(ticket_id) for ticket_id in ids]
    return [ticket for ticket in found if ticket is not None and ticket.status in TERMINAL]


def _ended(trail: list[Event]) -> bool:
    return any(event.changes.get("status") in TERMINAL for event in trail)


def _progress(trails: dict[UUID, list[Event]]) -> Table:
    done = Counter(
        step
        for trail in trails.values()
        for step in {event.step_name for event in trail if event.event_type == EventType.STEP_COMPLETE}
    )
    table = Table(box=None, pad_edge=False, show_header=False)
    for step in StepName:
        table.add_row(step, ProgressBar(total=len(trails), completed=done[step], width=40), f"{done[step]}")
    ended = sum(map(_ended, trails.values()))
    table.add_row("ended", ProgressBar(total=len(trails), completed=ended, width=40), f"{ended}")
    return table


def _summary(tickets: list[Ticket], seconds: float, verdict: Verdict) -> dict[str, Any]:
    return {
        "tickets": len(tickets),
        "seconds": round(seconds, 3),
        "by_status": dict(Counter(ticket.status for ticket in tickets)),
        "by_category": dict(Counter(ticket.category for ticket in tickets)),
        "by_disposition": dict(Counter(ticket.result["disposition"] for ticket in tickets if ticket.result)),
        "cost_usd": sum(ticket.result["usage"]["cost_usd"] for ticket in tickets if ticket.result),
        "violations": len(verdict.violations),
        "events": verdict.events,
    }


def _item(ticket: Ticket) -> dict[str, Any]:
    result = ticket.result or {}
    return {
        "subject": ticket.subject,
        "status": ticket.status,
        "category": ticket.category,
        "priority": ticket.priority,
        "team": ticket.team,
        **{name: result.get(name) for name in ("disposition", "reply", "sources")},
    }


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


def _print_totals(totals: dict[str, Any], verdict: Verdict) -> None:
    out.print(
        f"\n{counted(totals['tickets'], 'ticket')} in {totals['seconds']:.1f} s: "
        + ", ".join(f"{number} {name}" for name, number in sorted(totals["by_disposition"].items()))
        + f"; cost ${totals['cost_usd']:.4f}"
    )
    for violation in verdict.violations:
        out.print(f"[red]violated[/] {violation.ticket_id} {plain(violation.rule)}: {plain(violation.found)}")
    if not verdict.violations:
        checked = f"{counted(verdict.tickets, 'ticket')}, {counted(verdict.events, 'event')}"
        out.print(f"[green]audit: {checked}, consistent[/]")
