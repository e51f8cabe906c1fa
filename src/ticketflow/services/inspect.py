"""Look: where a ticket stands, how it got there, and how it was at any time before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from ticketflow.db.reads import Reads
from ticketflow.domain.errors import FieldProblem, Invalid, NotFound
from ticketflow.domain.events import Event, EventType, fold
from ticketflow.domain.replay import lineage
from ticketflow.domain.roles import Principal
from ticketflow.domain.tickets import TERMINAL, Status, Ticket
from ticketflow.domain.visibility import event_for, ticket_for
from ticketflow.workflow.state import FLOW_VERSION, StepName


class Inspect:
    def __init__(self, reads: Reads) -> None:
        self._reads = reads

    async def ticket(self, ticket_id: UUID, who: Principal) -> Ticket:
        """Raises ``NotFound`` for a ticket that is not there, or not there for the caller."""
        ticket = await self._reads.ticket(ticket_id)
        if ticket is None or not who.may_see(ticket.customer_id):
            raise NotFound("no ticket has this id")
        return ticket

    async def events(self, ticket_id: UUID, who: Principal, after: int = 0) -> list[Event]:
        """The trail from seq ``after`` + 1 on, as far as the caller may see it. Raises ``NotFound``."""
        if who.is_customer:
            await self.ticket(ticket_id, who)
        return [seen for event in await self._trail(ticket_id, after) if (seen := event_for(who, event)) is not None]

    async def state(
        self, ticket_id: UUID, who: Principal, version: int | None = None, at: datetime | None = None
    ) -> dict[str, Any]:
        """The ticket's columns after event ``version``, or at time ``at``, or now: the fold of the trail up to there.

        Raises ``NotFound``, and ``Invalid`` for a version or time that the ticket never had.
        """
        if who.is_customer:
            await self.ticket(ticket_id, who)
        events = await self._trail(ticket_id)
        if version is not None and not 1 <= version <= len(events):
            raise Invalid(f"the ticket has versions 1 to {len(events)}", [FieldProblem("version", "no such version")])
        last = len(events) if version is None else version
        if at is not None:
            # By position and not by time alone: where a clock was set back, times do not rise with it.
            last = max((event.seq for event in events[:last] if event.created_at <= at), default=0)
        if not last:
            raise Invalid("the ticket did not exist yet", [FieldProblem("at", "before the ticket was created")])
        return ticket_for(who, fold(events[:last]))

    async def workflow(self, ticket_id: UUID, who: Principal) -> dict[str, Any]:
        """Each step with its runs, where the ticket stands, and what will move it on. Raises ``NotFound``."""
        ticket = await self.ticket(ticket_id, who)
        events = await self._trail(ticket_id)
        wakers = await self._reads.wakers(ticket_id)
        steps, route = steps_of(events, ticket), _route(lineage(events))
        return {
            "ticket_id": str(ticket.id),
            "status": ticket.status,
            "attempt": ticket.attempt,
            "flow_version": ticket.flow_version,
            "route": route,
            "steps": steps,
            "current_step": next((step["step"] for step in steps if step["status"] in ("running", "next")), None),
            "waiting_for": ticket.waiting_for,
            "woken_by": wakers,
            "totals": _totals(steps, events),
        }

    async def _trail(self, ticket_id: UUID, after: int = 0) -> list[Event]:
        events = await self._reads.events(ticket_id, after)
        if events is None:
            raise NotFound("no ticket has this id")
        return events


def steps_of(events: Sequence[Event], ticket: Ticket) -> list[dict[str, Any]]:
    """The steps in order, each with status done, running, next, failed, skipped or open, and one entry a run.

    What a replay runs again is not done any more. Of a flow that is not the present one, the steps are known that ran.
    """
    ours = list(StepName) if ticket.flow_version == FLOW_VERSION else []
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in ours}
    failed: str | None = None
    for event in events:
        if event.event_type == EventType.STEP_COMPLETE and event.step_name is not None:
            payload = event.payload
            runs.setdefault(event.step_name, []).append(
                {
                    "round": payload.get("round"),
                    "attempt": payload.get("attempt"),
                    "duration_ms": payload.get("duration_ms"),
                    "model": payload.get("model"),
                    "prompt_version": payload.get("prompt_version"),
                    "usage": payload.get("usage"),
                    "completed_at": event.created_at,
                }
            )
        elif event.event_type == EventType.ERROR:
            failed = event.step_name
    in_force = lineage(events)
    done = {event.step_name for event in in_force}
    here = None if not ours or ticket.status in (Status.COMPLETED, Status.CANCELLED) else _here(in_force)
    over = ticket.status in TERMINAL or here is StepName.FINALIZE
    steps = []
    for name in runs:
        status = "done" if name in done else "skipped" if over else "open"
        if name == here:
            status = _status_here(ticket, failed == name)
        steps.append({"step": str(name), "status": status, "runs": runs[name]})
    return steps


def _here(in_force: Sequence[Event]) -> StepName | None:
    """The step that is next after those that are done."""
    if (route := _route(in_force)) and route["escalate"]:
        return StepName.FINALIZE
    last = in_force[-1] if in_force else None
    if last is not None and last.step_name == StepName.REVIEW and last.payload["output"]["verdict"] == "revise":
        return StepName.DRAFT
    if last is not None and last.step_name == StepName.DRAFT:
        return StepName.REVIEW
    done = {event.step_name for event in in_force}
    return next((name for name in StepName if name not in done), None)


def _route(events: Sequence[Event]) -> Mapping[str, Any] | None:
    """Where the routing rules sent the ticket, once they have been asked."""
    return next((event.payload["route"] for event in reversed(events) if "route" in event.payload), None)


def _status_here(ticket: Ticket, failed: bool) -> str:
    if ticket.status is Status.PROCESSING:
        return "running"
    if failed and ticket.status in (Status.FAILED_PERMANENT, Status.WAITING):
        return "failed"
    return "next"


def _totals(steps: Sequence[dict[str, Any]], events: Sequence[Event]) -> dict[str, Any]:
    """Failed attempts cost as well, and their events say how much."""
    usages = [run["usage"] or {} for step in steps for run in step["runs"]]
    usages += [event.payload.get("usage") or {} for event in events if event.event_type == EventType.ERROR]
    return {
        "duration_ms": sum(run["duration_ms"] or 0 for step in steps for run in step["runs"]),
        "calls": sum(usage.get("calls", 0) for usage in usages),
        "input_tokens": sum(usage.get("input_tokens", 0) for usage in usages),
        "output_tokens": sum(usage.get("output_tokens", 0) for usage in usages),
        "cost_usd": round(sum(usage.get("cost_usd", 0) for usage in usages), 6),
    }
