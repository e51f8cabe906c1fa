"""Try again: a ticket that failed for good gets a new attempt, and its dead letters are closed by name."""

from __future__ import annotations

from uuid import UUID

from ticketflow.db.commits import Commits
from ticketflow.db.outbox import Outbox
from ticketflow.db.reads import DeadLetterRow, Reads
from ticketflow.domain.change import Applied, Change, ExpectVersion, Refusal, Refused, TimerKind, WakeUp
from ticketflow.domain.errors import Conflict, InvalidMove, NotFound, StaleVersion
from ticketflow.domain.events import Actor, EventType, NewEvent
from ticketflow.domain.routing import lane_for
from ticketflow.domain.tickets import Status, Ticket, WaitingFor
from ticketflow.services.intake import Caller

_CONFLICT_TRIES = 3


class Retry:
    def __init__(self, commits: Commits, reads: Reads, outbox: Outbox) -> None:
        self._commits = commits
        self._reads = reads
        self._outbox = outbox

    async def ticket(self, ticket_id: UUID, caller: Caller, expected_version: int | None = None) -> Ticket:
        """Start the next attempt of a failed ticket, or of one that waits for its retry, now.

        Completed steps are kept. Raises ``NotFound``, ``StaleVersion`` when ``expected_version`` is not the ticket's,
        and ``InvalidMove`` when its status leaves nothing to retry.
        """
        for _ in range(_CONFLICT_TRIES):
            ticket = await self._reads.ticket(ticket_id)
            if ticket is None:
                raise NotFound("no ticket has this id")
            if expected_version is not None and ticket.version != expected_version:
                raise StaleVersion(expected_version, ticket.version)
            if not _retriable(ticket):
                raise InvalidMove(f"a ticket that is {ticket.status} cannot be retried")
            match await self._commits.apply(_retry_change(ticket, caller)):
                case Applied():
                    changed = await self._reads.ticket(ticket_id)
                    assert changed is not None
                    return changed
                case Refused(reason=Refusal.VERSION):
                    continue
                case Refused(reason=reason):
                    raise Conflict(f"the ticket could not be retried: {reason}")
        raise Conflict("the ticket keeps changing; look at it and try again")

    async def dead_letter(self, letter_id: UUID, caller: Caller) -> DeadLetterRow:
        """Redrive one dead letter: its ticket's next attempt, or for a message a new wake-up where one is still needed.

        A message that names no ticket, or one that is done, is closed by it. Raises ``NotFound``, and ``InvalidMove``
        when there is nothing that could go on.
        """
        letter = await self._reads.dead_letter(letter_id)
        if letter is None:
            raise NotFound("no dead letter has this id")
        again = InvalidMove("this dead letter was redriven already")
        if letter.redriven_at is not None:
            raise again
        if letter.kind == "ticket" and letter.ticket_id is not None:
            await self.ticket(letter.ticket_id, caller)
        elif not await self._outbox.redrive_message(letter_id, Actor.OPERATOR, caller.headers()):
            raise again
        redriven = await self._reads.dead_letter(letter_id)
        assert redriven is not None
        return redriven


def _retriable(ticket: Ticket) -> bool:
    waits_for_retry = ticket.status is Status.WAITING and ticket.waiting_for is WaitingFor.RETRY
    return ticket.status is Status.FAILED_PERMANENT or waits_for_retry


def _retry_change(ticket: Ticket, caller: Caller) -> Change:
    return Change(
        ticket_id=ticket.id,
        guard=ExpectVersion(ticket.version),
        events=[
            NewEvent(
                EventType.RETRY,
                Actor.OPERATOR,
                payload={"reason": "manual", "from": ticket.status, "attempt": ticket.attempt + 1},
                changes={
                    "status": Status.PENDING,
                    "waiting_for": None,
                    "error": None,
                    "attempt": ticket.attempt + 1,
                },
                request_id=caller.request_id,
            )
        ],
        wake_ups=[WakeUp(lane_for(ticket.priority), "retry", caller.headers())],
        cancel_timers=[TimerKind.RETRY],
        redrive=Actor.OPERATOR,
    )
