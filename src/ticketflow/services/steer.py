"""Steer: what people do with a ticket under way: pause, resume, cancel, try again, replay."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol
from uuid import UUID

from ticketflow.db.commits import Commits
from ticketflow.db.reads import Reads
from ticketflow.domain.change import Change, ExpectVersion, Restart, TimerKind, WakeUp
from ticketflow.domain.errors import FieldProblem, Invalid, InvalidMove
from ticketflow.domain.events import EventType, NewEvent, fold
from ticketflow.domain.lifecycle import Place
from ticketflow.domain.moves import Move, allowed
from ticketflow.domain.replay import BEGINNING, points
from ticketflow.domain.routing import lane_for
from ticketflow.domain.tickets import Status, Ticket, WaitingFor
from ticketflow.services.again import SET_BY_STEPS
from ticketflow.services.caller import Caller
from ticketflow.services.changing import Changing
from ticketflow.workflow.state import FLOW_VERSION


class SteerObserver(Protocol):
    def processed(self, status: Status, seconds: float) -> None: ...


class Steer:
    """Each move is guarded by the version that it was decided on, and decided anew when the ticket has changed.

    All raise ``NotFound``, ``StaleVersion`` when ``expected_version`` is given and not the ticket's, and
    ``InvalidMove``, with the moves that are open, when the ticket's status does not allow it.
    """

    def __init__(self, commits: Commits, reads: Reads, observer: SteerObserver) -> None:
        self._reads = reads
        self._changing = Changing(commits, reads)
        self._observer = observer

    async def pause(
        self, ticket_id: UUID, caller: Caller, expected_version: int | None = None, reason: str | None = None
    ) -> Ticket:
        """Stop at the next step boundary. A step that runs is finished and kept; then nothing is held or spent until
        somebody resumes, replays or cancels."""

        async def change(ticket: Ticket) -> Change:
            waits = {"status": Status.WAITING, "waiting_for": WaitingFor.PAUSED}
            # A wait for the next attempt ends here: resuming starts that attempt.
            changes = {**waits, **_next_attempt(ticket)} if ticket.status is Status.WAITING else waits
            event = _event(EventType.PAUSED, ticket, caller, changes, reason=reason)
            return Change(ticket.id, ExpectVersion(ticket.version), [event], cancel_timers=[TimerKind.RETRY])

        return await self._move(Move.PAUSE, ticket_id, caller, expected_version, change)

    async def resume(
        self, ticket_id: UUID, caller: Caller, expected_version: int | None = None, reason: str | None = None
    ) -> Ticket:
        """Go on from where it was paused."""

        async def change(ticket: Ticket) -> Change:
            changes = {"status": Status.PENDING, "waiting_for": None}
            event = _event(EventType.RESUMED, ticket, caller, changes, reason=reason)
            return _waking(ticket, event, caller, Move.RESUME)

        return await self._move(Move.RESUME, ticket_id, caller, expected_version, change)

    async def cancel(
        self, ticket_id: UUID, caller: Caller, expected_version: int | None = None, reason: str | None = None
    ) -> Ticket:
        """End it now. Whoever works on it has lost it, and a late step result is refused."""

        async def change(ticket: Ticket) -> Change:
            changes = {"status": Status.CANCELLED, "waiting_for": None}
            event = _event(EventType.CANCELLED, ticket, caller, changes, reason=reason)
            return Change(
                ticket.id,
                ExpectVersion(ticket.version),
                [event],
                cancel_timers=[TimerKind.RETRY],
                revoke_lease=True,
            )

        ticket = await self._move(Move.CANCEL, ticket_id, caller, expected_version, change)
        self._observer.processed(Status.CANCELLED, (ticket.updated_at - ticket.created_at).total_seconds())
        return ticket

    async def retry(
        self, ticket_id: UUID, caller: Caller, expected_version: int | None = None, letter_id: UUID | None = None
    ) -> Ticket:
        """Start the next attempt of a ticket that failed, was cancelled or waits for its retry. Completed steps are
        kept, and it gets as many attempts as a new one. ``letter_id``: the dead letter that is redriven by it."""

        async def change(ticket: Ticket) -> Change:
            return retry_change(ticket, caller, letter_id)

        return await self._move(Move.RETRY, ticket_id, caller, expected_version, change)

    async def replay(
        self,
        ticket_id: UUID,
        from_step: str,
        caller: Caller,
        expected_version: int | None = None,
        reason: str | None = None,
    ) -> Ticket:
        """Run it again from before ``from_step``, as a new attempt; the steps before are kept.

        Raises ``Invalid`` for a step that the ticket never came to, or whose checkpoint is gone.
        """

        async def change(ticket: Ticket) -> Change:
            events = await self._reads.events(ticket.id) or []
            known = points([event for event in events if event.seq <= ticket.version])
            point = known.get(from_step)
            if point is None:
                steps = ", ".join(known) or "no step yet"
                raise Invalid(
                    f"the ticket cannot be replayed from {from_step!r}",
                    [FieldProblem("from_step", f"it came to: {steps}")],
                )
            was = fold(event for event in events if event.seq <= max(point.after_seq, 1))
            changes: dict[str, Any] = {
                "status": Status.PENDING,
                "waiting_for": None,
                "result": None,
                "error": None,
                **{column: was[column] for column in SET_BY_STEPS},
                **_next_attempt(ticket),
                "excused_attempts": ticket.attempt,
            }
            restart = Restart(point.checkpoint_id)
            if point == BEGINNING:
                changes["flow_version"] = FLOW_VERSION
            event = _event(
                EventType.REPLAYED,
                ticket,
                caller,
                changes,
                reason=reason,
                from_step=from_step,
                after_seq=point.after_seq,
                checkpoint_id=str(restart.id),
                attempt=ticket.attempt + 1,
            )
            return _waking(ticket, event, caller, Move.REPLAY, restart)

        return await self._move(Move.REPLAY, ticket_id, caller, expected_version, change)

    async def _move(
        self,
        move: Move,
        ticket_id: UUID,
        caller: Caller,
        expected_version: int | None,
        change: Callable[[Ticket], Awaitable[Change]],
    ) -> Ticket:
        async def decide(ticket: Ticket) -> Change:
            require(move, ticket)
            return await change(ticket)

        return await self._changing.change(ticket_id, caller.principal, expected_version, decide)


def require(move: Move, ticket: Ticket) -> None:
    """Raises ``InvalidMove`` unless the move is open to the ticket."""
    moves = allowed(ticket.status, ticket.waiting_for)
    if move not in moves:
        stands = f"{ticket.status} for {ticket.waiting_for}" if ticket.waiting_for else ticket.status
        raise InvalidMove(f"{move} is not open to a ticket that is {stands}, only {' and '.join(moves)}", moves)


def retry_change(ticket: Ticket, caller: Caller, letter_id: UUID | None = None) -> Change:
    """The next attempt, from where the last one stopped, which may be a question that the customer has not answered
    yet. ``letter_id``: the dead letter that is redriven by it."""
    asked = ticket.lifecycle is Place.PENDING_CUSTOMER and ticket.status is Status.CANCELLED
    changes = {
        "status": Status.WAITING if asked else Status.PENDING,
        "waiting_for": WaitingFor.CUSTOMER if asked else None,
        "error": None,
        **_next_attempt(ticket),
        "excused_attempts": ticket.attempt,
    }
    redriven = {"dead_letter": str(letter_id)} if letter_id else {}
    event = _event(EventType.RETRY, ticket, caller, changes, reason="manual", attempt=ticket.attempt + 1, **redriven)
    return (
        Change(ticket.id, ExpectVersion(ticket.version), [event])
        if asked
        else _waking(ticket, event, caller, Move.RETRY)
    )


def _next_attempt(ticket: Ticket) -> dict[str, int]:
    return {"attempt": ticket.attempt + 1}


def _event(kind: EventType, ticket: Ticket, caller: Caller, changes: Mapping[str, Any], **payload: Any) -> NewEvent:
    """What the caller did. ``payload`` without what is None."""
    told = {name: value for name, value in payload.items() if value is not None}
    return NewEvent(kind, caller.actor, {"from": ticket.status, **told}, changes, request_id=caller.request_id)


def _waking(ticket: Ticket, event: NewEvent, caller: Caller, move: Move, restart: Restart | None = None) -> Change:
    """A Change after which a worker is to take the ticket, whoever may still believe to have it."""
    return Change(
        ticket_id=ticket.id,
        guard=ExpectVersion(ticket.version),
        events=[event],
        wake_ups=[WakeUp(lane_for(ticket.priority), move, caller.headers())],
        cancel_timers=[TimerKind.RETRY],
        redrive=caller.actor,
        revoke_lease=True,
        restart=restart,
    )
