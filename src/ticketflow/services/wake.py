"""Wake: what a due timer means for its ticket."""

from __future__ import annotations

import structlog

from ticketflow.db.commits import Commits
from ticketflow.db.outbox import DueTimer, Outbox
from ticketflow.domain.change import Applied, Change, ExpectVersion, TimerKind, WakeUp
from ticketflow.domain.events import EventType, NewEvent
from ticketflow.domain.firing import fired
from ticketflow.domain.lifecycle import Move, Place
from ticketflow.domain.roles import SYSTEM, THE_SYSTEM
from ticketflow.domain.routing import lane_for
from ticketflow.domain.tickets import Status, Ticket, WaitingFor

log = structlog.get_logger()


async def fire(timer: DueTimer, commits: Commits, outbox: Outbox) -> bool:
    """Act on one due timer. Guarded by the version that came with it, so that it fires once however many see it.

    Returns False, and changes nothing, when the ticket has moved on or is gone.
    """
    change = _change(timer)
    if change is None:
        log.info("timer.dropped", ticket_id=str(timer.ticket_id), kind=timer.kind)
        await outbox.drop_timer(timer.ticket_id, timer.kind)
        return False
    return isinstance(await commits.apply(change), Applied)


def _change(timer: DueTimer) -> Change | None:
    ticket = timer.ticket
    if ticket is None:
        return None
    match timer.kind:
        case TimerKind.RETRY if ticket.status is Status.WAITING and ticket.waiting_for is WaitingFor.RETRY:
            return _retried(ticket)
        case TimerKind.CLOSE if ticket.lifecycle is Place.RESOLVED:
            return _closed(ticket)
        case _:
            return None


def _retried(ticket: Ticket) -> Change:
    event = NewEvent(
        EventType.RETRY,
        SYSTEM,
        payload={"reason": "timer", "attempt": ticket.attempt + 1},
        changes={"status": Status.PENDING, "waiting_for": None, "attempt": ticket.attempt + 1},
    )
    return Change(
        ticket_id=ticket.id,
        guard=ExpectVersion(ticket.version),
        events=[event],
        wake_ups=[WakeUp(lane_for(ticket.priority), "retry")],
        cancel_timers=[TimerKind.RETRY],
    )


def _closed(ticket: Ticket) -> Change:
    settled = {"reason": "nobody answered"}
    return Change(
        ticket_id=ticket.id,
        guard=ExpectVersion(ticket.version),
        events=[fired(Move.CLOSE, ticket.lifecycle, ticket.assignee, THE_SYSTEM, settled)],
        cancel_timers=[TimerKind.CLOSE],
    )
