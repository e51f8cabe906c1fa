"""Transitions: people move a ticket through its lifecycle, by the net's rules and their role."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from ticketflow.db.commits import Commits
from ticketflow.db.reads import Reads
from ticketflow.domain.change import Change, ExpectVersion, Timer, TimerKind
from ticketflow.domain.conversation import MessageKind, NewMessage
from ticketflow.domain.errors import FieldProblem, Forbidden, Invalid, InvalidMove
from ticketflow.domain.events import NewEvent
from ticketflow.domain.firing import fired, said
from ticketflow.domain.lifecycle import NET, Move, enabled, marking, permitted
from ticketflow.domain.roles import RESERVED_SUBJECTS, Principal
from ticketflow.domain.tickets import Ticket
from ticketflow.services.again import Again
from ticketflow.services.caller import Caller
from ticketflow.services.changing import Changing

_TO_THE_CUSTOMER = {
    Move.REQUEST_INFO: "question",
    Move.RESOLVE: "reply",
    Move.RESOLVE_ESCALATED: "reply",
}
_BY_THE_CUSTOMER = {Move.CUSTOMER_REPLY: "message", Move.REOPEN: "message"}
SAYS: Mapping[Move, str] = {**_TO_THE_CUSTOMER, **_BY_THE_CUSTOMER}
"""Which field of a transition's data is a public message; its text is kept in the conversation and not in the event."""


@dataclass(frozen=True, slots=True)
class Options:
    """What a caller may do with a ticket now; ``others``: why each of the rest is not possible."""

    ticket: Ticket
    enabled: tuple[Move, ...]
    others: Mapping[Move, str]


def options(ticket: Ticket, who: Principal) -> Options:
    """By the net and the caller's role alone."""
    here = enabled(marking(ticket.lifecycle))
    others = {}
    for move, transition in NET.transitions.items():
        if not permitted(move, [who.role]):
            others[move] = f"takes the role {' or '.join(sorted(transition.roles))}"
        elif move not in here:
            others[move] = f"only from {' and '.join(transition.takes)}; the ticket is {ticket.lifecycle}"
    return Options(ticket, tuple(move for move in NET.transitions if move not in others), others)


class Transitions:
    """``close_after``: when a resolved ticket closes by itself, or None for never."""

    def __init__(self, commits: Commits, reads: Reads, again: Again, close_after: timedelta | None) -> None:
        self._changing = Changing(commits, reads)
        self._again = again
        self._close_after = close_after

    async def options(self, ticket_id: UUID, who: Principal) -> Options:
        """Raises ``NotFound``."""
        return options(await self._changing.seen(ticket_id, who), who)

    async def fire(
        self,
        ticket_id: UUID,
        move: Move,
        data: Mapping[str, str],
        caller: Caller,
        expected_version: int | None = None,
    ) -> Ticket:
        """Fire one transition; its data is kept in the event.

        Raises ``NotFound``, ``Forbidden`` for a role that may never do it, ``Invalid``, ``StaleVersion``, and
        ``InvalidMove`` with the transitions that the caller can fire instead.
        """
        who = caller.principal
        if not permitted(move, [who.role]):
            # A foreign ticket is as unknown as one that does not exist, whatever is asked of it.
            await self._changing.seen(ticket_id, who)
            raise Forbidden(f"{move} takes the role {' or '.join(sorted(NET.transitions[move].roles))}")
        if data.get("assignee") in RESERVED_SUBJECTS:
            raise Invalid("this assignee is no person", [FieldProblem("data.assignee", "is a reserved name")])

        async def decide(ticket: Ticket) -> Change:
            now = options(ticket, who)
            if move not in now.enabled:
                can = f"you can {', '.join(now.enabled)}" if now.enabled else "there is nothing that you can do"
                raise InvalidMove(f"{move} is possible {now.others[move]}; {can}", now.enabled)
            return await self._change(ticket, move, data, caller)

        return await self._changing.change(ticket_id, who, expected_version, decide)

    async def _change(self, ticket: Ticket, move: Move, data: Mapping[str, str], caller: Caller) -> Change:
        message = _message(ticket, move, data, caller)
        kept = {name: text for name, text in data.items() if name != SAYS.get(move)}
        firing = fired(move, ticket.lifecycle, ticket.assignee, caller.principal, kept, caller.request_id)
        events: list[NewEvent] = [firing] if message is None else [said(message, caller.request_id), firing]
        resolves = move in (Move.RESOLVE, Move.RESOLVE_ESCALATED)
        change = Change(
            ticket_id=ticket.id,
            guard=ExpectVersion(ticket.version),
            events=events,
            message=message,
            timers=[Timer(TimerKind.CLOSE, self._close_after)] if resolves and self._close_after is not None else [],
            cancel_timers=[TimerKind.CLOSE] if move is Move.CLOSE else [],
        )
        wakes = move is Move.REOPEN or (move is Move.CUSTOMER_REPLY and ticket.listens)
        return await self._again.after(change, ticket, caller) if wakes else change


def _message(ticket: Ticket, move: Move, data: Mapping[str, str], caller: Caller) -> NewMessage | None:
    text = data.get(SAYS.get(move, ""))
    if text is None:
        return None
    # An admin who replies on a customer's behalf passes on the customer's words; the event says who did it.
    author = f"customer:{ticket.customer_id}" if move in _BY_THE_CUSTOMER else caller.actor
    return NewMessage(MessageKind.REPLY, author, text)
