"""Wake: what a due timer means for its ticket."""

from __future__ import annotations

import structlog

from ticketflow.db.commits import Commits
from ticketflow.db.outbox import DueTimer, Outbox
from ticketflow.domain.change import Applied, Change, ExpectVersion, TimerKind, WakeUp
from ticketflow.domain.events import EventType, NewEvent
from ticketflow.domain.roles import SYSTEM
from ticketflow.domain.routing import lane_for
from ticketflow.domain.tickets import Status, WaitingFor

log = structlog.get_logger()


async def fire(timer: DueTimer, commits: Commits, outbox: Outbox) -> bool:
    """Act on one due timer. Guarded by the version that came with it, so that it fires once however many see it.

    Returns False, and changes nothing, when the ticket has moved on or is gone.
    """
    ticket = timer.ticket
    waits = ticket is not None and ticket.status is Status.WAITING and ticket.waiting_for is WaitingFor.RETRY
    if ticket is None or timer.kind != TimerKind.RETRY or not waits:
        log.info("timer.dropped", ticket_id=str(timer.ticket_id), kind=timer.kind)
        await outbox.drop_timer(timer.ticket_id, timer.kind)
        return False
    outcome = await commits.apply(
        Change(
            ticket_id=ticket.id,
            guard=ExpectVersion(ticket.version),
            events=[
                NewEvent(
                    EventType.RETRY,
                    SYSTEM,
                    payload={"reason": "timer", "attempt": ticket.attempt + 1},
                    changes={"status": Status.PENDING, "waiting_for": None, "attempt": ticket.attempt + 1},
                )
            ],
            wake_ups=[WakeUp(lane_for(ticket.priority), "retry")],
            cancel_timers=[TimerKind.RETRY],
        )
    )
    return isinstance(outcome, Applied)
