"""``tickets``: look at tickets and try them again, straight from the database."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from rich.table import Table

from ticketflow.api.render import ticket_json
from ticketflow.cli.console import counted, moment, one_line, out, plain, say_json, show_table, with_application
from ticketflow.domain.conversation import MessageKind
from ticketflow.domain.events import Event, EventType
from ticketflow.domain.moves import Move
from ticketflow.domain.roles import LOCAL_ADMIN
from ticketflow.domain.tickets import Ticket
from ticketflow.services.caller import Caller
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


MOST_MESSAGES = 200


def styled(status: str) -> str:
    return f"[{STATUS_STYLE.get(status, 'default')}]{status}[/]"


def list_tickets(settings: Settings, filters: dict[str, Any], limit: int, as_json: bool) -> int:
    async def run(app: Application) -> int:
        tickets = await app.reads.tickets(filters, sort="-created_at", limit=limit)
        if as_json:
            say_json([ticket_json(ticket, LOCAL_ADMIN) for ticket in tickets])
            return 0
        show_table(
            ("id", "status", "lifecycle", "assignee", "category", "priority", "team", "customer", "subject"),
            [
                (
                    str(ticket.id),
                    styled(ticket.status),
                    ticket.lifecycle,
                    one_line(ticket.assignee or ""),
                    ticket.category or "",
                    ticket.priority or "",
                    one_line(ticket.team or ""),
                    one_line(ticket.customer_id),
                    one_line(ticket.subject),
                )
                for ticket in tickets
            ],
            flexible=("customer", "subject"),
            expendable=("assignee", "team", "category", "priority", "lifecycle", "customer"),
        )
        return 0

    return with_application(settings, run)


def show(settings: Settings, ticket_id: UUID, as_json: bool) -> int:
    async def run(app: Application) -> int:
        ticket = await app.inspect.ticket(ticket_id, LOCAL_ADMIN)
        if as_json:
            say_json(ticket_json(ticket, LOCAL_ADMIN))
            return 0
        flow = await app.inspect.workflow(ticket_id, LOCAL_ADMIN)
        waits = f", waiting for {ticket.waiting_for}" if ticket.waiting_for else ""
        email = f" <{ticket.customer_email}>" if ticket.customer_email else ""
        team = f"{ticket.team} (rule {flow['route']['rule']})" if flow["route"] else ticket.team
        facts = {
            "id": str(ticket.id),
            "status": f"{styled(ticket.status)}{waits}, version {ticket.version}, attempt {ticket.attempt}",
            "stands": one_line(f"{ticket.lifecycle}, with {ticket.assignee or 'nobody'}"),
            "customer": one_line(f"{ticket.customer_id}{email}"),
            "category": ticket.category,
            "priority": ticket.priority,
            "team": team and one_line(team),
            "tags": one_line(", ".join(ticket.tags)),
            "created": moment(ticket.created_at),
            "updated": moment(ticket.updated_at),
        }
        out.print(f"[bold]{one_line(ticket.subject)}[/]\n")
        for name, value in facts.items():
            if value:
                out.print(f"{name:<9} {value}")
        out.print(f"\n[bold]Message[/]\n{plain(ticket.body.strip())}\n\n[bold]Steps[/]")
        for step in flow["steps"]:
            runs = " ".join(f"{run['duration_ms']} ms" for run in step["runs"])
            out.print(f"{step['step']:<9} {step['status']:<8} {runs}".rstrip())
        said = await app.conversation.messages(ticket_id, LOCAL_ADMIN, 1, MOST_MESSAGES)
        for message in said:
            what = "" if message.kind is MessageKind.REPLY else f", {message.kind}"
            out.print(f"\n[bold]{one_line(message.author)}{what}, {moment(message.created_at)}[/]")
            out.print(plain(message.body.strip()))
        if ticket.error:
            out.print(f"\n[bold]Error[/]\n[red]{plain(_trouble(ticket.error))}[/]")
        if ticket.result:
            # What was said stands above; where it does not, a worker of an earlier release has answered.
            print_answer(ticket.result, with_reply=not said)
            usage = ticket.result["usage"]
            out.print(
                f"\n{ticket.result['disposition']} by {plain(ticket.result['model'])}, "
                f"{counted(usage['calls'], 'call')}, "
                f"{usage['input_tokens']} + {usage['output_tokens']} tokens, ${usage['cost_usd']:.6f}",
                style="dim",
            )
        return 0

    return with_application(settings, run)


def print_answer(result: Mapping[str, Any], with_reply: bool = True) -> None:
    """The reply in full and the articles that it rests on."""
    if with_reply:
        out.print(f"\n[bold]Reply[/]\n{plain(result['reply'])}")
    if result["sources"]:
        out.print("\n[bold]Sources[/]")
    for source in result["sources"]:
        out.print(f"{one_line(source['article_id'])}: {one_line(source['title'])}")


def _trouble(error: Mapping[str, Any]) -> str:
    return ": ".join(str(error[name]) for name in ("code", "message") if error.get(name))


def events(settings: Settings, ticket_id: UUID, as_json: bool) -> int:
    async def run(app: Application) -> int:
        trail = await app.inspect.events(ticket_id, LOCAL_ADMIN)
        if as_json:
            say_json([asdict(event) for event in trail])
            return 0
        table = Table(*_TRAIL, box=None, pad_edge=False, padding=(0, 2, 0, 0))
        for column in table.columns[:-1]:
            column.no_wrap = True
        for event in trail:
            what = f"{event.event_type} {event.step_name or ''}".strip()
            table.add_row(str(event.seq), moment(event.created_at), event.actor, plain(what), one_line(_told(event)))
        out.print(table)
        return 0

    return with_application(settings, run)


def _told(event: Event) -> str:
    """What the event changed, or why it happened."""
    match event.event_type:
        case EventType.ERROR:
            return _trouble(event.payload)
        case EventType.LIFECYCLE:
            data: Mapping[str, str] = event.payload.get("data", {})
            why = [str(event.payload.get("transition", "")), *(f"{name}: {text};" for name, text in data.items())]
        case EventType.MESSAGE:
            why = [str(event.payload.get("kind", ""))]
        case EventType.REPLAYED:
            why = [f"from {event.payload['from_step']}", str(event.payload.get("reason", ""))]
        case EventType.RETRY | EventType.PAUSED | EventType.RESUMED | EventType.CANCELLED:
            why = [str(event.payload.get("reason", ""))]
        case _:
            why = []
    set_ = [f"{name}={event.changes[name]}" for name in _SHOWN if event.changes.get(name) is not None]
    return " ".join(filter(None, why + set_))


_TRAIL = ("seq", "time", "actor", "event", "what")
_SHOWN = ("status", "lifecycle", "assignee", "waiting_for", "category", "priority", "team", "attempt")


def state(settings: Settings, ticket_id: UUID, version: int | None, at: datetime | None) -> int:
    async def run(app: Application) -> int:
        was = await app.inspect.state(ticket_id, LOCAL_ADMIN, version, at)
        say_json({name: was[name] for name in _COLUMNS})
        return 0

    return with_application(settings, run)


_COLUMNS = tuple(column.name for column in fields(Ticket) if column.name != "fingerprint")
"""In the order of ``tickets show --json``."""


MAX_REASON = 500


def move(settings: Settings, move: Move, ticket_id: UUID, reason: str | None, from_step: str = "") -> int:
    """Make the move and say where the ticket stands then. ``from_step`` is for a replay alone."""

    async def run(app: Application) -> int:
        caller, steer = Caller(uuid4().hex), app.steer
        match move:
            case Move.PAUSE:
                ticket = await steer.pause(ticket_id, caller, reason=reason)
            case Move.RESUME:
                ticket = await steer.resume(ticket_id, caller, reason=reason)
            case Move.CANCEL:
                ticket = await steer.cancel(ticket_id, caller, reason=reason)
            case Move.RETRY:
                ticket = await steer.retry(ticket_id, caller)
            case Move.REPLAY:
                ticket = await steer.replay(ticket_id, from_step, caller, reason=reason)
        waits = f" for {ticket.waiting_for}" if ticket.waiting_for else ""
        out.print(f"{ticket.id} {styled(ticket.status)}{waits}, attempt {ticket.attempt}")
        return 0

    return with_application(settings, run)
