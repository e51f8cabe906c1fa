"""What workers do: claim, complete steps, put aside, give up, give back and keep their leases, in and out of time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from hypothesis import strategies as st

from tests.support.history.base import NOBODY, RARELY, TICKETS, History, Running, act
from tests.support.history.belongings import Done
from tests.support.history.model import ModelTicket
from tests.support.history.site import LONG, OLD, WORKERS
from ticketflow.db.leases import Held, Lease, NotClaimable, OtherFlow
from ticketflow.domain.change import CheckpointRow
from ticketflow.domain.delivery import FailPermanently, RetryLater
from ticketflow.domain.errors import Cancelled, LeaseLost, Paused
from ticketflow.domain.tickets import CLAIMABLE, Category, Disposition, Priority, Status
from ticketflow.worker.run import TicketRun
from ticketflow.workflow.state import MAX_REVISIONS, StepName, StepReport

TURNS = st.sampled_from(["on", "on", "on", "revise", "escalate", "ask"])
"""Where the graph may turn: at the end ``escalate`` hands the ticket over, and ``ask`` asks the customer."""
ENDS = {"escalate": Disposition.ESCALATED, "ask": Disposition.ASKED}
LINE = (StepName.CLASSIFY, StepName.EXTRACT, StepName.RESEARCH, StepName.DRAFT, StepName.REVIEW, StepName.FINALIZE)
STOPS = (Paused, Cancelled, LeaseLost)


def next_step(done: Sequence[Sequence[Any]], turn: str) -> tuple[StepName, int]:
    """As the graph's edges have it: extract may escalate at once, and review may send a draft back."""
    step, round_ = done[-1][:2] if done else (None, 1)
    match step:
        case None:
            return StepName.CLASSIFY, 1
        case StepName.EXTRACT if turn == "escalate":
            return StepName.FINALIZE, 1
        case StepName.REVIEW if turn == "revise" and round_ <= MAX_REVISIONS:
            return StepName.DRAFT, round_ + 1
        case StepName.FINALIZE:
            return StepName.FINALIZE, round_
        case _:
            return LINE[LINE.index(step) + 1], round_


@dataclass(frozen=True)
class Step:
    """What a run is about to commit; ``ends``: how, if it is the last."""

    done: Done
    row: CheckpointRow
    ends: Disposition | None


class Workers(History):
    # Claims ------------------------------------------------------------------------------------------------------

    @act(2, number=TICKETS, worker=st.integers(0, len(WORKERS) - 1), takeover=st.booleans(), late=RARELY)
    def claim(self, number: int, worker: int, takeover: bool, late: bool = True) -> None:
        name, flows = list(WORKERS.items())[worker]

        def wanted(ticket: ModelTicket) -> bool:
            return late or ticket.claim_answer(flows, takeover, NOBODY, name != OLD) == "claimed"

        ticket = self.ticket(number, wanted)
        answer = self.do(self.site.workers[worker].claim(ticket.id, takeover=takeover))
        self.check(unchanged=not self.answered(ticket, worker, takeover, answer))

    @act(2, number=TICKETS, worker=st.integers(0, len(WORKERS) - 1))
    def take_over(self, number: int, worker: int) -> None:
        """The worker that had it shows no sign of life for too long."""
        ticket = self.ticket(number, lambda ticket: ticket.holder and ticket.status is Status.PROCESSING)
        assert ticket.holder
        if not ticket.holder.expired:
            self.lease_runs_out(self.holders().index(ticket))
        self.claim(self.tickets.index(ticket), worker, False)

    @act(number=TICKETS)
    def two_claim_at_once(self, number: int) -> None:
        ticket = self.ticket(number, lambda ticket: ticket.status in CLAIMABLE)

        async def both() -> list[Any]:
            claims = [self.site.workers[worker].claim(ticket.id, takeover=False) for worker in (0, 1)]
            return list(await asyncio.gather(*claims))

        answers = list(enumerate(self.do(both())))
        # Whoever got it was the first.
        answers.sort(key=lambda answer: not isinstance(answer[1], Lease))
        changes = [self.answered(ticket, worker, False, answer) for worker, answer in answers]
        self.check(unchanged=not any(changes))

    def answered(self, ticket: ModelTicket, worker: int, takeover: bool, answer: Any) -> bool:
        """Returns whether the claim changed anything."""
        name, flows = list(WORKERS.items())[worker]
        match ticket.claim_answer(flows, takeover, NOBODY, name != OLD):
            case "not_claimable":
                assert answer == NotClaimable(ticket.status)
                return False
            case "held":
                assert ticket.holder
                assert answer == Held(ticket.holder.worker)
                return False
            case "other_flow":
                assert answer == OtherFlow(ticket.flow)
                ticket.leave_to_another_release()
                self.site.flow_wait_over(ticket.id)
            case _:
                assert isinstance(answer, Lease)
                ticket.claim(name, flows, answer.token, takes_up=name != OLD)
                self.begin(ticket, name, answer)
        return True

    def begin(self, ticket: ModelTicket, worker: str, lease: Lease) -> None:
        assert ticket.holder
        assert (lease.takeovers, lease.ticket.version) == (ticket.holder.takeovers, ticket.version)
        done = [[each.step, each.round, each.mark] for each in ticket.steps]
        running = Running(TicketRun(lease, self.site.commits, LONG), worker, done)
        if lease.checkpoint is None:
            assert not done
        else:
            values = {channel: value["j"] for channel, value in lease.checkpoint["channels"].items()}
            assert values == {"done": done, **{step: [round_, mark] for step, round_, mark in done}}
            running.versions = lease.checkpoint["checkpoint"]["channel_versions"]
        self.runs.setdefault(ticket.id, []).append(running)

    # Runs --------------------------------------------------------------------------------------------------------

    def running(self, ticket: ModelTicket, former: bool) -> Running | None:
        """The newest run of the ticket, or with ``former`` the one before."""
        runs = self.runs.get(ticket.id, [])
        return runs[-2] if former and len(runs) > 1 else runs[-1] if runs else None

    @act(
        4,
        number=TICKETS,
        former=RARELY,
        late=RARELY,
        turns=st.lists(TURNS, min_size=1, max_size=3),
        worker=st.sampled_from([0, 0, 1, 2, 3]),
    )
    def work(self, number: int, former: bool, late: bool, turns: Sequence[str], worker: int = 0) -> None:
        """Go on with a run for a few steps; a ticket that waits for a worker gets one first."""
        ticket = self.ticket(number, lambda ticket: late or ticket.holder or ticket.status is Status.PENDING)
        if ticket.status is Status.PENDING and not former:
            self.claim(self.tickets.index(ticket), worker, False)
        for turn in turns:
            running = self.running(ticket, former)
            if running is None or running.run.status or not self.step(ticket, running, turn):
                break

    def step(self, ticket: ModelTicket, running: Running, turn: str) -> bool:
        """Complete the next step of a run. Returns whether the run may go on."""
        step = self.next_step(ticket, running, turn)
        raised = self.raised(running.run.commit_step(step.row), *STOPS)
        return self.stepped(ticket, running, step, raised)

    def next_step(self, ticket: ModelTicket, running: Running, turn: str) -> Step:
        """What the run will commit next; it is recorded there."""
        step, round_ = next_step(running.done, turn)
        self.marks += 1
        mark, last = f"m{self.marks}", step is StepName.FINALIZE
        columns = dict(ticket.columns)
        if step is StepName.CLASSIFY:
            columns |= {"category": list(Category)[self.marks % 4], "priority": list(Priority)[self.marks % 4]}
        if step is StepName.EXTRACT:
            columns |= {"team": mark, "tags": [mark]}
        changes = {name: value for name, value in columns.items() if value != ticket.columns[name]}
        row = self.checkpoint(ticket, running, [step, round_, mark])
        ends = ENDS.get(turn, Disposition.ANSWERED) if last else None
        running.run.begin(step)
        result = {"reply": mark, "disposition": ends} if ends else None
        running.run.record(StepReport(step, {"mark": mark}, 1, round_, changes=changes, result=result))
        return Step(Done(step, round_, mark, row.checkpoint_id, columns), row, ends)

    def stepped(self, ticket: ModelTicket, running: Running, step: Step, raised: Any) -> bool:
        before, done = ticket.version, step.done
        stopped = ticket.complete_step(running.token, done, step.ends)
        self.stopped(ticket, before, stopped, raised)
        if stopped is None:
            running.done.append([done.step, done.round, done.mark])
            running.versions = dict(step.row.checkpoint["channel_versions"])
            assert running.run.status == (ticket.status if step.ends else None)
        return stopped is None and not step.ends

    def checkpoint(self, ticket: ModelTicket, running: Running, done: list[Any]) -> CheckpointRow:
        step, round_, mark = done
        new = {
            "done": {"v": f"{mark} done", "j": [*running.done, done]},
            str(step): {"v": f"{mark} step", "j": [round_, mark]},
        }
        versions = {**running.versions, **{channel: value["v"] for channel, value in new.items()}}
        # The clock of the second worker is far behind that of the others: its ids come before theirs.
        clock = 1 if running.worker == "w-2" else 2
        checkpoint_id = str(UUID(int=clock << 64 | self.marks))
        body = {"v": 2, "id": checkpoint_id, "channel_versions": versions}
        return CheckpointRow(str(ticket.id), "", checkpoint_id, None, body, {"source": "loop"}, new)

    def stopped(self, ticket: ModelTicket, before: int, expected: str | None, raised: Any) -> None:
        assert (raised and raised.code) == expected
        self.check(unchanged=ticket.version == before)

    @act(3, number=TICKETS, former=RARELY, late=RARELY, due=RARELY, counts=st.booleans())
    def put_aside(self, number: int, former: bool, late: bool, due: bool, counts: bool = True) -> None:
        """``counts``: the attempt was one of the few that a ticket has, and not lost to an outage."""
        ticket = self.ticket(number, lambda ticket: late or ticket.holder)
        if running := self.running(ticket, former):
            later = RetryLater(timedelta() if due else LONG, "model_timeout", counts)
            raised = self.raised(running.run.put_aside(later, "no answer"), *STOPS)
            before = ticket.version
            self.stopped(ticket, before, ticket.put_aside(running.token, running.run.step, due, counts), raised)

    @act(number=TICKETS, former=RARELY, late=RARELY)
    def give_up(self, number: int, former: bool, late: bool) -> None:
        ticket = self.ticket(number, lambda ticket: late or ticket.holder)
        if running := self.running(ticket, former):
            raised = self.raised(running.run.give_up(FailPermanently("model_refused"), "no"), *STOPS)
            before = ticket.version
            self.stopped(ticket, before, ticket.give_up(running.token, running.run.step), raised)

    # Leases ------------------------------------------------------------------------------------------------------

    @act(2, number=TICKETS, former=RARELY, late=RARELY, beat=st.booleans())
    def release(self, number: int, former: bool, late: bool, beat: bool) -> None:
        """``beat``: a heartbeat that was on its way at the same time arrives after it."""
        ticket = self.ticket(number, lambda ticket: late or ticket.holder)
        if running := self.running(ticket, former):
            self.do(self.site.workers[0].release(running.run.lease))
            held = ticket.holds(running.token)
            ticket.release(running.token)
            self.check(unchanged=not held)
            if beat:
                self.keep_leases(former)

    @act(former=st.booleans())
    def keep_leases(self, former: bool) -> None:
        leases = [(ticket, running) for ticket in self.tickets if (running := self.running(ticket, former))]
        lost = self.do(self.site.workers[0].extend([running.run.lease for _, running in leases]))
        ours = {ticket.id: ticket.extend(running.token) for ticket, running in leases}
        assert lost == {ticket.id: ticket.status for ticket, _ in leases if not ours[ticket.id]}
        back = [ticket.seen(next(iter(WORKERS))) for ticket, _ in leases if not ours[ticket.id]]
        self.check(unchanged=not any(ours.values()) and not any(back))

    @act(2, number=TICKETS)
    def lease_runs_out(self, number: int) -> None:
        ticket = self.ticket(number, lambda ticket: ticket.holder)
        self.site.expire_lease(ticket.id)
        assert ticket.holder
        ticket.holder.expired = True
        self.check()
