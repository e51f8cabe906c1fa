"""What people do: hand tickets in, also twice, and pause, resume, cancel, retry and replay them; and lost answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

from hypothesis import strategies as st

from tests.support.history.base import CALLER, NOBODY, RARELY, TICKETS, History, act
from tests.support.history.model import ModelTicket
from ticketflow.db.leases import Unknown
from ticketflow.domain.errors import Invalid, InvalidMove, NotFound, StaleVersion
from ticketflow.domain.moves import Move
from ticketflow.domain.tickets import Category, Priority
from ticketflow.services.intake import NewTicket
from ticketflow.workflow.state import StepName

REQUESTS = (
    NewTicket("cus_1", "My lock", "It is stuck.", idempotency_key="key-1"),
    NewTicket("cus_1", "My lock", "It is stuck.", idempotency_key="key-2", priority=Priority.URGENT, tags=("vip",)),
    NewTicket("cus_1", "My lock", "It is stuck.", category=Category.ACCOUNT, assignee="mia"),
)
"""One text three times: two under keys of their own, one known by its content, which somebody keeps."""
EXPECTED = st.sampled_from(["anything", "anything", "anything", "right", "stale"])


class People(History):
    # Intake ------------------------------------------------------------------------------------------------------

    @act(request=st.integers(0, len(REQUESTS) - 1), other_body=st.booleans())
    def take_in(self, request: int, other_body: bool) -> None:
        new, known = REQUESTS[request], self.by_request.get(request)
        if known is not None and new.idempotency_key and other_body:
            another = NewTicket(new.customer_id, "Another", "text", idempotency_key=new.idempotency_key)
            assert self.raised(self.site.intake.take_in(another, CALLER), Invalid)
            return self.check(unchanged=True)
        taken = self.do(self.site.intake.take_in(new, CALLER))
        assert taken.created == (known is None)
        if known is None:
            columns = {"category": new.category, "priority": new.priority, "team": None, "tags": list(new.tags)}
            known = self.by_request[request] = ModelTicket(taken.ticket_id, columns)
            if new.assignee:
                known.move("assign", "local", new.assignee)
                known.version += 1
            self.tickets.append(known)
        assert (taken.ticket_id, taken.status) == (known.id, known.status)
        return self.check(unchanged=not taken.created)

    # Moves -------------------------------------------------------------------------------------------------------

    @act(
        4,
        number=TICKETS,
        move=st.sampled_from([Move.PAUSE, Move.RESUME] * 3 + [Move.RETRY, Move.CANCEL] * 2),
        expected=EXPECTED,
        late=RARELY,
    )
    def steer(self, number: int, move: Move, expected: str, late: bool = True) -> None:
        ticket = self.ticket(number, lambda ticket: late or move in ticket.open_moves())
        version = self.version(ticket, expected)
        raised = self.raised(getattr(self.site.steer, move)(ticket.id, CALLER, version), StaleVersion, InvalidMove)
        self.steered(ticket, move, expected, raised, getattr(ticket, move))

    @act(
        2,
        number=TICKETS,
        step=st.sampled_from([*range(12), *StepName, "lunch"]),
        expected=EXPECTED,
        late=RARELY,
    )
    def replay(self, number: int, step: int | str, expected: str, late: bool = True) -> None:
        """``step``: by its name, or one of those that the ticket came to."""
        ticket = self.ticket(number, lambda ticket: late or (Move.REPLAY in ticket.open_moves() and ticket.steps))
        if isinstance(step, int):
            come_to = [*(done.step for done in ticket.steps), ticket.failed or StepName.CLASSIFY]
            step = come_to[step % len(come_to)]
        version = self.version(ticket, expected)
        work = self.site.steer.replay(ticket.id, step, CALLER, version)
        raised = self.raised(work, StaleVersion, InvalidMove, Invalid)
        possible = ticket.can_replay_from(step)
        if expected != "stale" and Move.REPLAY in ticket.open_moves() and not possible:
            assert isinstance(raised, Invalid)
            return self.check(unchanged=True)
        return self.steered(ticket, Move.REPLAY, expected, raised, lambda: ticket.replay(step))

    @staticmethod
    def version(ticket: ModelTicket, expected: str) -> int | None:
        return {"anything": None, "right": ticket.version, "stale": ticket.version - 1}[expected]

    def steered(self, ticket: ModelTicket, move: Move, expected: str, raised: Any, happens: Callable[[], None]) -> None:
        if expected == "stale":
            assert isinstance(raised, StaleVersion)
            return self.check(unchanged=True)
        if move not in ticket.open_moves():
            assert isinstance(raised, InvalidMove)
            assert set(raised.allowed) == ticket.open_moves()
            return self.check(unchanged=True)
        assert raised is None
        happens()
        return self.check()

    @act(when=lambda history: history.marks == 0, move=st.sampled_from(Move))
    def ask_for_a_ticket_that_is_not_there(self, move: Move) -> None:
        step = ["classify"] if move is Move.REPLAY else []
        assert self.raised(getattr(self.site.steer, move)(NOBODY, *step, CALLER), NotFound)
        assert self.do(self.site.workers[0].claim(NOBODY, takeover=True)) == Unknown()
        self.check(unchanged=True)

    # Lost answers ------------------------------------------------------------------------------------------------

    @act(2, back=st.sampled_from([1, 1, 2, 3, 5, 8, 1000]))
    def send_again(self, back: int) -> None:
        """Calls whose answers were lost: the last one at once, or all of them together long after."""
        sent = self.site.wire.sent[-back:]
        self.commit_again([pair for call in sent if call.function == "ticketflow_commit" for pair in call.pairs()])
        for call in sent[-3:]:
            if call.function == "ticketflow_claim" and call.answer[0]["status"] != "not_found":
                self.claim_again(call.args)

    def commit_again(self, sent: Sequence[tuple[Any, Any]]) -> None:
        expected = []
        for change, first in sent:
            if first["status"] == "applied":
                expected.append({"status": "applied", "version": first["version"], "repeated": True})
            else:
                ticket = self.named(first.get("existing", {}).get("id", change["ticket_id"]))
                reason = ticket.refusal(change["guard"]) or first["reason"]
                expected.append({"status": "refused", "reason": reason})
        answers = self.do(self.site.wire.again("ticketflow_commit", [change for change, _ in sent]))
        told = [{name: answer.get(name) for name in wanted} for answer, wanted in zip(answers, expected, strict=True)]
        assert told == expected
        self.check(unchanged=True)

    def claim_again(self, args: Any) -> None:
        [claim] = args["claims"]
        token, ticket = UUID(claim["token"]), self.named(claim["ticket_id"])
        expected = ticket.claim_answer(args["flows"], claim["takeover"], token, "take_up" in args)
        if expected == "other_flow" or (expected == "claimed" and not ticket.holds(token)):
            return  # No repetition, but a new claim.
        [answer] = self.do(self.site.wire.again("ticketflow_claim", args))
        assert answer["status"] == expected
        self.check(unchanged=True)
