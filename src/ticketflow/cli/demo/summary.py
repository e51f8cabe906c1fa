"""What every form of the demo says of its tickets at the end."""

from __future__ import annotations

from collections import Counter
from typing import Any

from ticketflow.cli.console import counted, out, plain
from ticketflow.domain.tickets import Ticket
from ticketflow.services.verify import Verdict


def summary(tickets: list[Ticket], seconds: float, verdict: Verdict) -> dict[str, Any]:
    """Counts over tickets that have ended, as JSON."""
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


def item(ticket: Ticket) -> dict[str, Any]:
    """What a reader of JSON wants to know of one ticket."""
    result = ticket.result or {}
    return {
        "subject": ticket.subject,
        "status": ticket.status,
        "category": ticket.category,
        "priority": ticket.priority,
        "team": ticket.team,
        **{name: result.get(name) for name in ("disposition", "reply", "sources")},
    }


def print_verdict(verdict: Verdict) -> None:
    """The audit's, with every violation."""
    for violation in verdict.violations:
        out.print(f"[red]violated[/] {violation.ticket_id} {plain(violation.rule)}: {plain(violation.found)}")
    if not verdict.violations:
        checked = f"{counted(verdict.tickets, 'ticket')}, {counted(verdict.events, 'event')}"
        out.print(f"[green]audit: {checked}, consistent[/]")
