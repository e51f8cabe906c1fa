"""The way of every change that a person makes to a ticket: look, decide, commit, and look again if it has changed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from uuid import UUID

from ticketflow.db.commits import Commits
from ticketflow.db.reads import Reads
from ticketflow.domain.change import Applied, Change, Refusal, Refused
from ticketflow.domain.errors import Conflict, FieldProblem, Invalid, NotFound, StaleVersion
from ticketflow.domain.roles import Principal
from ticketflow.domain.tickets import Ticket

_CONFLICT_TRIES = 20
"""A ticket whose steps take milliseconds changes between a look at it and the move, but not that often."""

Decide = Callable[[Ticket], Awaitable[Change | None]]
"""What to change about a ticket as it is now, guarded by its version; None: nothing, after all."""


class Changing:
    def __init__(self, commits: Commits, reads: Reads) -> None:
        self._commits = commits
        self._reads = reads

    async def seen(self, ticket_id: UUID, who: Principal) -> Ticket:
        """Raises ``NotFound`` for a ticket that is not there, or not there for the caller."""
        ticket = await self._reads.ticket(ticket_id)
        if ticket is None or not who.may_see(ticket.customer_id):
            raise NotFound("no ticket has this id")
        return ticket

    async def change(self, ticket_id: UUID, who: Principal, expected_version: int | None, decide: Decide) -> Ticket:
        """The ticket as it is afterwards.

        ``decide`` is asked anew, with the ticket as it then is, when something else changed it first; what it raises
        goes through. Raises ``NotFound``, ``StaleVersion`` when ``expected_version`` is given and not the ticket's, and
        ``Conflict`` when the ticket never stands still.
        """
        for _ in range(_CONFLICT_TRIES):
            ticket = await self.seen(ticket_id, who)
            if expected_version is not None and ticket.version != expected_version:
                raise StaleVersion(expected_version, ticket.version)
            change = await decide(ticket)
            if change is None:
                return ticket
            match await self._commits.apply(change):
                case Applied():
                    return await self.seen(ticket_id, who)
                case Refused(reason=Refusal.VERSION):
                    continue
                case Refused(reason=Refusal.NO_CHECKPOINT):
                    raise Invalid(
                        "the checkpoint before this step is gone",
                        [FieldProblem("from_step", "its checkpoint was pruned; the first step needs none")],
                    )
                case Refused(reason=reason):
                    raise Conflict(f"the ticket could not be changed: {reason}")
        raise Conflict("the ticket keeps changing; look at it and try again")
