"""What customers and those who look after them do: move tickets through the lifecycle, and talk about them."""

from __future__ import annotations

import asyncio
from typing import Any

from hypothesis import strategies as st

from tests.support.history.base import NOBODY, RARELY, TICKETS, NoSuchTicket, Running, act
from tests.support.history.model import ModelTicket
from tests.support.history.people import EXPECTED, People
from tests.support.history.standing import WAYS
from tests.support.history.workers import STOPS, Workers
from ticketflow.domain.conversation import MessageKind
from ticketflow.domain.errors import Forbidden, Invalid, InvalidMove, NotFound, StaleVersion
from ticketflow.domain.lifecycle import Move
from ticketflow.domain.roles import Principal, Role
from ticketflow.domain.tickets import Status
from ticketflow.services.caller import Caller
from ticketflow.services.transitions import SAYS
from ticketflow.workflow.state import StepName

CUSTOMER, STRANGER = Principal("cus_1", Role.CUSTOMER), Principal("cus_2", Role.CUSTOMER)
MIA, TOM = Principal("mia", Role.AGENT), Principal("tom", Role.AGENT)
KAI, ADA = Principal("kai", Role.SUPERVISOR), Principal("ada", Role.ADMIN)
WHO = st.sampled_from([CUSTOMER, CUSTOMER, MIA, MIA, TOM, KAI, KAI, ADA, STRANGER])
REFUSALS = (NotFound, Forbidden, Invalid, StaleVersion, InvalidMove)
FROM_IN_PROGRESS = (Move.RESOLVE, Move.ESCALATE, Move.REQUEST_INFO)


def by(who: Principal) -> Caller:
    return Caller("request-2", None, who)


class Conversations(Workers, People):
    # Transitions -------------------------------------------------------------------------------------------------

    @act(
        4,
        number=TICKETS,
        who=WHO,
        move=st.sampled_from([*range(3)] * 4 + [*Move]),
        assignee=st.sampled_from([None, None, "mia", "tom", "pipeline"]),
        says=st.booleans(),
        expected=EXPECTED,
        late=RARELY,
    )
    def transition(
        self,
        number: int,
        who: Principal,
        move: int | Move,
        assignee: str | None,
        says: bool,
        expected: str,
        late: bool = True,
    ) -> None:
        """``move``: by its name, or one of those that are open to this caller; ``says``: with a message."""
        ticket = self.ticket(number, lambda ticket: late or ticket.open_to(who.role))
        if isinstance(move, int):
            choice = ticket.open_to(who.role) or list(WAYS)
            move = Move(choice[move % len(choice)])
        data = {"assignee": assignee} if move is Move.ASSIGN and assignee else {}
        if says and move in SAYS:
            data[SAYS[move]] = "words"
        raised = self.raised(
            self.site.transitions.fire(ticket.id, move, data, by(who), self.version(ticket, expected)), *REFUSALS
        )
        refused = self.why_not(ticket, who, move, data.get("assignee"), expected)
        assert type(raised) is (refused or type(None))
        if isinstance(raised, InvalidMove):
            assert list(raised.allowed) == ticket.open_to(who.role)
        if refused is None:
            ticket.transition(move, who.role, who.subject, data.get("assignee"), SAYS.get(move) in data)
        self.check(unchanged=refused is not None)

    @staticmethod
    def why_not(
        ticket: ModelTicket, who: Principal, move: Move, assignee: str | None, expected: str
    ) -> type[Exception] | None:
        """Also who asks in a wrong way is told no more than they may know."""
        if who is STRANGER and (assignee != "pipeline" or who.role not in WAYS[move][2]):
            return NotFound
        if who.role not in WAYS[move][2]:
            return Forbidden
        if assignee == "pipeline":
            return Invalid
        if expected == "stale":
            return StaleVersion
        return None if move in ticket.open_to(who.role) else InvalidMove

    # Messages ----------------------------------------------------------------------------------------------------

    @act(
        3,
        number=TICKETS,
        who=WHO,
        kind=st.sampled_from([MessageKind.REPLY, MessageKind.REPLY, MessageKind.NOTE]),
        key=st.sampled_from([None, None, "key-1", "key-2"]),
        body=st.sampled_from(["words", "words", "words", "other words"]),
        expected=EXPECTED,
    )
    def say(
        self, number: int, who: Principal, kind: MessageKind, key: str | None, body: str, expected: str = "anything"
    ) -> None:
        ticket = self.ticket(number)
        work = self.site.conversation.say(ticket.id, kind, body, by(who), self.version(ticket, expected), key)
        raised = self.raised(work, *REFUSALS)
        known = ticket.keys.get((who.actor, key)) if key else None
        refused: type[Exception] | None = None
        if who is STRANGER:
            refused = NotFound
        elif who.is_customer and kind is not MessageKind.REPLY:
            refused = Forbidden
        elif known is not None:
            refused = Invalid if known != (kind, body) else None
        elif expected == "stale":
            refused = StaleVersion
        assert type(raised) is (refused or type(None))
        if refused is None and known is None:
            if key:
                ticket.keys[who.actor, key] = (kind, body)
            ticket.say(kind, who.role, who.subject)
        self.check(unchanged=refused is not None or known is not None)

    @act(when=lambda history: history.marks == 0, who=WHO)
    def ask_people_about_a_ticket_that_is_not_there(self, who: Principal) -> None:
        fired = self.site.transitions.fire(NOBODY, Move.REOPEN, {}, by(who))
        said = self.site.conversation.say(NOBODY, MessageKind.REPLY, "words", by(who))
        assert [type(self.raised(work, *REFUSALS)) for work in (fired, said)] == [NotFound, NotFound]
        self.check(unchanged=True)

    # While the pipeline ends ---------------------------------------------------------------------------------------

    @act(3, number=TICKETS, turn=st.sampled_from(["on", "escalate", "ask"]), move=st.sampled_from(FROM_IN_PROGRESS))
    def a_person_moves_it_while_the_pipeline_ends(self, number: int, turn: str, move: Move) -> None:
        """Whoever is first has it: the other's move is not possible any more, or the answer is a suggestion."""
        ticket, running = self.about_to_end(number)
        step = self.next_step(ticket, running, turn)
        fired, stopped = self.at_once(
            self.site.transitions.fire(ticket.id, move, {}, by(MIA)), running.run.commit_step(step.row)
        )
        assert fired is None or isinstance(fired, InvalidMove)
        if fired is None:
            ticket.transition(move, Role.AGENT, "mia", None, False)
        self.stepped(ticket, running, step, stopped)

    @act(3, number=TICKETS, turn=st.sampled_from(["on", "escalate", "ask"]))
    def the_customer_speaks_while_the_pipeline_ends(self, number: int, turn: str) -> None:
        """Before the last commit it is refused, because it would answer less than was said; after it the ticket begins
        again if it was answered or asked about."""
        ticket, running = self.about_to_end(number)
        step = self.next_step(ticket, running, turn)
        said, stopped = self.at_once(
            self.site.conversation.say(ticket.id, MessageKind.REPLY, "words", by(CUSTOMER)),
            running.run.commit_step(step.row),
        )
        assert said is None
        if stopped is not None:
            ticket.say("reply", Role.CUSTOMER, "cus_1")
            assert ticket.complete_step(running.token, step.done, step.ends) == getattr(stopped, "code", None)
            return self.check()
        assert ticket.complete_step(running.token, step.done, step.ends) is None
        ticket.say("reply", Role.CUSTOMER, "cus_1")
        return self.check()

    def about_to_end(self, number: int) -> tuple[ModelTicket, Running]:
        """A ticket that the pipeline works on, brought to before its last step."""
        at_work = (Status.PENDING, Status.PROCESSING)
        ticket = self.ticket(
            number, lambda ticket: ticket.status in at_work and (ticket.with_pipeline or ticket.place == "new")
        )
        if ticket.status is Status.PENDING:
            self.claim(self.tickets.index(ticket), 2, False)
        running = self.running(ticket, former=False)
        if not running or not ticket.holds(running.token) or ticket.place != "in_progress":
            raise NoSuchTicket
        while not running.done or running.done[-1][0] is not StepName.REVIEW:
            assert self.step(ticket, running, "on")
        return ticket, running

    def at_once(self, *works: Any) -> list[Exception | None]:
        """What each of them raised."""

        async def caught() -> list[Any]:
            return await asyncio.gather(*works, return_exceptions=True)

        raised = [each if isinstance(each, BaseException) else None for each in self.do(caught())]
        assert all(each is None or isinstance(each, (*REFUSALS, *STOPS)) for each in raised), raised
        return raised  # type: ignore[return-value]
