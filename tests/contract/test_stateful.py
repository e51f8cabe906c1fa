"""Lifecycle, conversation, lease, duplicates and timers together: random histories against a simple model.

The functions are the real ones. After every operation the database is what the model says it is; whatever was refused
changed nothing; and however a history went, every ticket in it can still be brought to an end, and the audit has
nothing to say.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
from hypothesis import Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, run_state_machine_as_test

from tests.chaos.forms import LONG
from tests.support.history.base import RARELY, playing
from tests.support.history.conversation import CUSTOMER, KAI, Conversations
from tests.support.history.model import ModelTicket
from tests.support.history.site import open_site
from tests.support.history.upkeep import Upkeep
from tests.support.history.workers import TURNS
from ticketflow.domain import lifecycle
from ticketflow.domain.conversation import MessageKind
from ticketflow.domain.moves import Move
from ticketflow.domain.tickets import TERMINAL, Status, WaitingFor
from ticketflow.services.verify import verify
from ticketflow.workflow.state import StepName


class Histories(Conversations, Upkeep):
    @initialize(
        steps=st.integers(0, 6),
        turn=TURNS,
        then=st.tuples(
            st.sampled_from(["nothing", "put_aside", "put_aside", "give_up", "take_over", Move.PAUSE, Move.CANCEL]),
            st.sampled_from(["nothing", "work", *Move]),
        ),
        worker=st.sampled_from([0, 1, 2, 3, 3]),
        due=RARELY,
        published=st.booleans(),
    )
    def begin_somewhere(
        self, steps: int, turn: str, then: Sequence[str], worker: int, due: bool, published: bool
    ) -> None:
        """The first ticket may have come a long way already."""
        self.take_in(0, False)
        self.work(0, False, True, [*["on"] * steps, turn][1:], worker)
        for what in then:
            match what:
                case "work":
                    self.work(0, False, True, ["on"])
                case "put_aside":
                    self.put_aside(0, False, True, due)
                case "take_over" if self.holders():
                    self.take_over(0, 1)
                case "give_up":
                    self.give_up(0, False, True)
                case Move.REPLAY:
                    self.replay(0, StepName.EXTRACT, "anything")
                case Move():
                    self.steer(0, what, "anything")
        if published:
            self.relay(100, "published")

    def teardown(self) -> None:
        if not self.checked:
            return  # A failure is on its way.
        self.keep_leases(former=True)
        self.keep_leases(former=False)
        self.send_again(1000)
        for number, ticket in enumerate(self.tickets):
            self.bring_to_an_end(number, ticket)
        self.audit()
        self.prune(whole=True)
        self.tickets = [
            ticket for ticket in self.tickets if ticket.status is Status.FAILED_PERMANENT or ticket.with_a_person
        ]
        self.check()
        for number in range(len(self.tickets)):
            self.bring_to_a_close(number)
        self.audit()

    def audit(self) -> None:
        verdict = self.do(verify(self.site.reads))
        assert (verdict.tickets, verdict.violations) == (len(self.tickets), ())

    def bring_to_an_end(self, number: int, ticket: ModelTicket) -> None:
        """Wherever a history left a ticket, something or somebody gets the pipeline's part of it to its end."""
        if ticket.holder:
            # Whoever is under way comes to the end of the step.
            self.work(number, False, True, ["on"])
        if ticket.waiting_for is WaitingFor.CUSTOMER:
            self.say(number, CUSTOMER, MessageKind.REPLY, None, "words")
        if Move.RESUME in ticket.open_moves():
            self.steer(number, Move.RESUME, "anything")
        if number == 0 and ticket.status is Status.FAILED_PERMANENT:
            self.steer(number, Move.RETRY, "anything")
        for kind in list(ticket.timers):
            self.take_due_timers(wait=True, at_once=False, then_fire=False)
            back = [(timer.ticket_id, timer.kind) for timer in reversed(self.due)].index((ticket.id, kind)) + 1
            self.fire_timer(back, at_once=True)
        if ticket.status in TERMINAL:
            return
        # A message was lost, and the worker with it.
        self.relay(100, "died")
        self.relay(100, "published")
        if ticket.holder:
            self.lease_runs_out(self.holders().index(ticket))
        self.sweep()
        # The first worker may be of a release that cannot go on with it; the other knows every flow.
        self.claim(number, 0, False)
        self.claim(number, 2, False)
        self.work(number, False, True, ["on"] * 8)
        assert ticket.status is Status.COMPLETED

    def bring_to_a_close(self, number: int) -> None:
        """And people the rest."""
        while (ticket := self.tickets[number]).place != "closed":
            who = CUSTOMER if ticket.place == "pending_customer" else KAI
            [*_, move] = ticket.open_to(who.role)
            self.transition(number, who, lifecycle.Move(move), None, False, "anything")
            assert ticket.status in TERMINAL


SEEDS = [random.getrandbits(32) for _ in range(300)] if LONG else range(10)
HISTORIES = settings(
    # Past the tenth example hypothesis mostly varies what it had: new seeds give more for the same time.
    max_examples=10,
    stateful_step_count=100 if LONG else 50,
    phases=(Phase.generate, Phase.shrink),
    deadline=None,
    database=None,
    report_multiple_bugs=False,
)


@pytest.mark.timeout(3600)  # To shrink a failure to a few lines takes its time, and so does the long form.
def test_every_history_is_as_the_model_says(database_url: str) -> None:
    machine = playing(Histories)
    with open_site(database_url) as site:
        for number in SEEDS:
            print(f"seed {number}")
            run_state_machine_as_test(seed(number)(lambda: machine(site)), settings=HISTORIES)  # type: ignore[arg-type]
