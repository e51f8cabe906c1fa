"""Again: the customer has said something, so the pipeline begins anew with all that was said."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from ticketflow.db.reads import Reads
from ticketflow.domain.change import Change, Restart, TimerKind, WakeUp
from ticketflow.domain.events import EventType, NewEvent, fold
from ticketflow.domain.lifecycle import Move
from ticketflow.domain.replay import lineage
from ticketflow.domain.routing import lane_for
from ticketflow.domain.tickets import Status, Ticket, WaitingFor
from ticketflow.services.caller import Caller
from ticketflow.workflow.state import FLOW_VERSION, StepName

SET_BY_STEPS = ("category", "priority", "team", "tags")
"""Beside the result. A step that runs again must not take its own former answer for what the sender said."""


class Again:
    """``settle``: how long the pipeline waits for more, so that several replies are answered together."""

    def __init__(self, reads: Reads, settle: timedelta) -> None:
        self._reads = reads
        self._settle = settle

    async def after(self, change: Change, ticket: Ticket, caller: Caller) -> Change:
        """``change``, and the pipeline's new beginning after its events.

        What a worker has in hand is dropped: it answers what the customer has gone beyond. A ticket that waits for a
        worker, or that a person has paused, goes on waiting; where no step of it is done or under way, it begins with
        all that was said anyway, and ``change`` stays as it is. A pause ends when the ticket is reopened: whoever
        paused it is done with it.
        """
        reopened = any(event.payload.get("transition") == Move.REOPEN for event in change.events)
        paused = ticket.waiting_for is WaitingFor.PAUSED and not reopened
        waits = ticket.status is Status.PENDING or paused
        events = await self._reads.events(ticket.id, **({} if waits else {"limit": 1})) or []
        # The first step of a paused ticket may be with a worker, who would keep what it makes of the older words.
        if waits and not (lineage(events) or (paused and ticket.started_at is not None)):
            return change
        first = fold(events[:1])
        restart = Restart(None)
        attempt = {"attempt": ticket.attempt + 1, "excused_attempts": ticket.attempt, "flow_version": FLOW_VERSION}
        status = {} if waits else {"status": Status.PENDING, "waiting_for": None}
        replayed = NewEvent(
            EventType.REPLAYED,
            caller.actor,
            {
                "from": ticket.status,
                "reason": "customer_reply",
                "from_step": StepName.CLASSIFY,
                "after_seq": 0,
                "checkpoint_id": str(restart.id),
                "attempt": ticket.attempt + 1,
            },
            {**status, "result": None, "error": None, **{column: first[column] for column in SET_BY_STEPS}, **attempt},
            request_id=caller.request_id,
        )
        wake_up = WakeUp(lane_for(first["priority"]), "customer_reply", caller.headers(), self._settle)
        return replace(
            change,
            events=[*change.events, replayed],
            restart=restart,
            revoke_lease=True,
            redrive=caller.actor,
            cancel_timers=[*change.cancel_timers, TimerKind.RETRY],
            wake_ups=[] if waits else [wake_up],
        )
