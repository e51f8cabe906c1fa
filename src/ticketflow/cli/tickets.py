"""``tickets``: look at tickets and try them again, straight from the database."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from ticketflow.api.render import ticket_json
from ticketflow.cli.console import one_line, out, plain, say_json, show_table, with_application
from ticketflow.services.intake import Caller
from ticketflow.settings import Settings
from ticketflow.wiring import Application

STATUS_STYLE = {
    "completed": "green",
    "failed_permanent": "red",
    "waiting": "yellow",
    "processing": "cyan",
    "pending": "blue",
    "cancelled": "dim",
}


def styled(status: str) -> str:
    return f"[{STATUS_STYLE.get(status, 'default')}]{status}[/]"


def list_tickets(settings: Settings, filters: dict[str, Any], limit: int, as_json: bool) -> int:
    async def run(app: Application) -> int:
        tickets = await app.reads.tickets(filters, sort="-created_at", limit=limit)
        if as_json:
            say_json([ticket_json(ticket) for ticket in tickets])
            return 0
        show_table(
            ("id", "status", "category", "priority", "team", "customer", "subject"),
            [
                (
                    str(ticket.id),
                    styled(ticket.status),
                    ticket.category or "",
                    ticket.priority or "",
                    one_line(ticket.team or ""),
                    one_line(ticket.customer_id),
                    one_line(ticket.subject),
                )
                for ticket in tickets
            ],
            flexible=("customer", "subject"),
            expendable=("team", "category", "priority", "customer"),
        )
        return 0

    return with_application(settings, run)


def show(settings: Settings, ticket_id: UUID, as_json: bool) -> int:
    async def run(app: Application) -> int:
        ticket = await app.inspect.ticket(ticket_id)
        if as_json:
            say_json(ticket_json(ticket))
            return 0
        flow = await app.inspect.workflow(ticket_id)
        out.print(f"[bold]{plain(ticket.subject)}[/]  {styled(ticket.status)}  version {ticket.version}")
        facts = {
            "customer": ticket.customer_id,
            "category": ticket.category,
            "priority": ticket.priority,
            "team": f"{ticket.team} (rule {flow['route']['rule']})" if flow["route"] else ticket.team,
            "tags": ", ".join(ticket.tags) or None,
            "attempt": ticket.attempt,
        }
        out.print(
            "  ".join(f"{name} {plain(value)}" for name, value in facts.items() if value is not None), style="dim"
        )
        for step in flow["steps"]:
            runs = " ".join(f"{run['duration_ms']} ms" for run in step["runs"])
            out.print(f"  {step['step']:<9} {step['status']:<8} {runs}")
        if ticket.error:
            out.print(f"\n[red]{plain(ticket.error.get('message'))}[/]")
        if ticket.result:
            out.print(f"\n{plain(ticket.result['reply'])}\n")
            for source in ticket.result["sources"]:
                out.print(f"  {plain(source['article_id'])}: {plain(source['title'])}", style="dim")
            usage = ticket.result["usage"]
            out.print(
                f"  {ticket.result['disposition']} by {plain(ticket.result['model'])}, {usage['calls']} calls, "
                f"{usage['input_tokens']} + {usage['output_tokens']} tokens, ${usage['cost_usd']:.6f}",
                style="dim",
            )
        return 0

    return with_application(settings, run)


def events(settings: Settings, ticket_id: UUID, as_json: bool) -> int:
    async def run(app: Application) -> int:
        trail = await app.inspect.events(ticket_id)
        if as_json:
            say_json([asdict(event) for event in trail])
            return 0
        for event in trail:
            changed = ", ".join(f"{key}={_short(value)}" for key, value in event.changes.items() if key in _SHOWN)
            what = f"{event.event_type} {event.step_name or ''}".strip()
            moment = event.created_at.strftime("%H:%M:%S.%f")[:-3]
            out.print(f"{event.seq:>3}  {moment}  {event.actor:<9} {what:<22} {plain(changed)}")
        return 0

    return with_application(settings, run)


_SHOWN = frozenset({"status", "waiting_for", "category", "priority", "team", "attempt"})


def _short(value: object) -> str:
    return str(value)[:40]


def state(settings: Settings, ticket_id: UUID, version: int | None, at: datetime | None) -> int:
    async def run(app: Application) -> int:
        was = await app.inspect.state(ticket_id, version, at)
        was.pop("fingerprint", None)
        say_json(was)
        return 0

    return with_application(settings, run)


def retry(settings: Settings, ticket_id: UUID) -> int:
    async def run(app: Application) -> int:
        ticket = await app.retry.ticket(ticket_id, Caller(uuid4().hex))
        out.print(f"{ticket.id} {styled(ticket.status)}, attempt {ticket.attempt}")
        return 0

    return with_application(settings, run)
