"""Converse: what is said about a ticket, and what follows from it."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID, uuid4, uuid5

from ticketflow.db.commits import Commits
from ticketflow.db.reads import Reads
from ticketflow.domain.change import Change, ExpectVersion, TimerKind
from ticketflow.domain.conversation import PUBLIC, Message, MessageKind, NewMessage
from ticketflow.domain.errors import FieldProblem, Invalid, beyond_role
from ticketflow.domain.events import NewEvent
from ticketflow.domain.firing import fired, said
from ticketflow.domain.ids import NAMESPACE, joined
from ticketflow.domain.lifecycle import Move, Place, after
from ticketflow.domain.roles import THE_SYSTEM, Principal, Role
from ticketflow.domain.tickets import Ticket
from ticketflow.services.again import Again
from ticketflow.services.caller import Caller
from ticketflow.services.changing import Changing


class Conversation:
    def __init__(self, commits: Commits, reads: Reads, again: Again) -> None:
        self._reads = reads
        self._changing = Changing(commits, reads)
        self._again = again

    async def messages(self, ticket_id: UUID, who: Principal, after_seq: int, limit: int) -> Sequence[Message]:
        """A page of the conversation, oldest first, which begins with the ticket's own text. A customer sees what is
        public.

        Raises ``NotFound``.
        """
        ticket = await self._changing.seen(ticket_id, who)
        kinds = PUBLIC if who.is_customer else frozenset(MessageKind)
        first = [_opening(ticket)] if after_seq < 1 else []
        return [*first, *await self._reads.messages(ticket_id, kinds, after=after_seq, limit=limit - len(first))]

    async def say(
        self,
        ticket_id: UUID,
        kind: MessageKind,
        body: str,
        caller: Caller,
        expected_version: int | None = None,
        idempotency_key: str | None = None,
    ) -> tuple[Message, Ticket]:
        """Keep a message, and do what follows from it. With an ``idempotency_key`` the same message is kept once.

        A customer's reply wakes the ticket: one that waits for it goes on, one that was resolved or closed is
        reopened, and what the pipeline is just answering is answered anew. A person of ours who replies has a ticket
        from then on that is new, with the pipeline, or escalated and nobody's. Raises ``NotFound``,
        ``Forbidden``, ``Invalid`` for a key that comes back with another text, and ``StaleVersion``.
        """
        who = caller.principal
        if who.is_customer and kind is not MessageKind.REPLY:
            await self._changing.seen(ticket_id, who)
            raise beyond_role("kind", "a customer writes replies")
        message_id = uuid4()
        if idempotency_key is not None:
            message_id = uuid5(NAMESPACE, joined(["message", str(ticket_id), who.actor, idempotency_key]))
        message = NewMessage(kind, who.actor, body, message_id)
        # Before the version is compared: whoever repeats a request whose answer was lost saw the version before it.
        if idempotency_key is not None:
            seen = await self._changing.seen(ticket_id, who)
            if (earlier := await self._said_before(message)) is not None:
                return earlier, seen

        async def decide(ticket: Ticket) -> Change | None:
            if idempotency_key is not None and await self._said_before(message) is not None:
                return None
            return await self._change(ticket, message, caller)

        ticket = await self._changing.change(ticket_id, who, expected_version, decide)
        kept = await self._reads.message(message_id)
        assert kept is not None
        return kept, ticket

    async def _said_before(self, message: NewMessage) -> Message | None:
        earlier = await self._reads.message(message.id)
        if earlier is not None and (earlier.kind, earlier.body) != (message.kind, message.body):
            raise Invalid(
                "this Idempotency-Key was used for another message",
                [FieldProblem("Idempotency-Key", "was used with another body")],
            )
        return earlier

    async def _change(self, ticket: Ticket, message: NewMessage, caller: Caller) -> Change:
        reply, by_customer = message.kind is MessageKind.REPLY, caller.principal.is_customer
        firings: list[NewEvent] = []
        if reply:
            firings = _woken(ticket, caller) if by_customer else _taken_on(ticket, caller)
        event = said(message, caller.request_id, _taken_by(ticket, message.kind, caller.principal))
        change = Change(
            ticket_id=ticket.id,
            guard=ExpectVersion(ticket.version),
            events=[event, *firings],
            message=message,
            cancel_timers=[TimerKind.CLOSE] if ticket.lifecycle is Place.RESOLVED and firings else [],
        )
        return await self._again.after(change, ticket, caller) if reply and by_customer and wakes(ticket) else change


def wakes(ticket: Ticket) -> bool:
    """Whether the pipeline works on what the customer says now. Not while a person has the ticket or is to have it, but
    for the answer to its own question: of that it makes a suggestion."""
    return ticket.lifecycle in (Place.NEW, Place.RESOLVED, Place.CLOSED) or ticket.listens


def _woken(ticket: Ticket, caller: Caller) -> list[NewEvent]:
    """What a customer's words fire. One that was only resolved is closed by it first: the net reopens closed
    tickets."""
    firings: list[NewEvent] = []
    place, assignee = ticket.lifecycle, ticket.assignee
    if place is Place.RESOLVED:
        answered = {"reason": "the customer answered"}
        firings.append(fired(Move.CLOSE, place, assignee, THE_SYSTEM, answered, caller.request_id))
        place = after(place, Move.CLOSE)
    move = {Place.PENDING_CUSTOMER: Move.CUSTOMER_REPLY, Place.CLOSED: Move.REOPEN}.get(place)
    if move is not None:
        firings.append(fired(move, place, assignee, caller.principal, None, caller.request_id))
    return firings


def _taken_on(ticket: Ticket, caller: Caller) -> list[NewEvent]:
    """Whoever answers a ticket that nobody works on has begun to."""
    who, request_id = caller.principal, caller.request_id
    begun = fired(Move.START_WORK, Place.ASSIGNED, who.subject, who, None, request_id)
    if ticket.lifecycle is Place.NEW and who.has(Role.AGENT):
        return [fired(Move.ASSIGN, Place.NEW, ticket.assignee, who, None, request_id), begun]
    return [begun] if ticket.lifecycle is Place.ASSIGNED and ticket.assignee == who.subject else []


def _taken_by(ticket: Ticket, kind: MessageKind, who: Principal) -> str | None:
    """A reply by one of us takes a ticket from the pipeline, and one that waits for a supervisor and is nobody's."""
    ours = kind is MessageKind.REPLY and not who.is_customer
    free = ticket.with_pipeline or (ticket.lifecycle, ticket.assignee) == (Place.ESCALATED, None)
    return who.subject if ours and free else None


def _opening(ticket: Ticket) -> Message:
    """What the customer wrote first stands in the ticket itself."""
    return Message(
        id=ticket.id,
        ticket_id=ticket.id,
        seq=1,
        kind=MessageKind.REPLY,
        author=f"customer:{ticket.customer_id}",
        body=ticket.body,
        created_at=ticket.created_at,
    )
