"""A ticket as it should behave: a simple model of people, lease, messages and timers, without a database.

It says for each operation what the answer is and what the ticket is afterwards. Nothing here calls the code under test;
only names are taken from it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from tests.support.history.belongings import Columns, Done, Holder, Messages, Timer
from tests.support.history.standing import Standing
from ticketflow.domain.change import TimerKind
from ticketflow.domain.moves import Move
from ticketflow.domain.roles import PIPELINE
from ticketflow.domain.tickets import Disposition, Status, WaitingFor
from ticketflow.workflow.state import FLOW_VERSION, StepName


@dataclass
class ModelTicket(Standing):
    id: UUID
    given: Columns
    """The columns as the sender left them."""
    status: Status = Status.PENDING
    waiting_for: WaitingFor | None = None
    version: int = 1
    attempt: int = 1
    excused: int = 0
    flow: str = FLOW_VERSION
    steps: list[Done] = field(default_factory=list)
    """Those that the present state rests on."""
    failed: str | None = None
    """The step that failed, while nothing else was completed since."""
    checkpoints: set[str] = field(default_factory=set)
    newest: str | None = None
    holder: Holder | None = None
    timers: dict[TimerKind, Timer] = field(default_factory=dict)
    messages: Messages = field(default_factory=lambda: Messages(1))
    letters: int = 0
    result: bool = False
    error: bool = False
    copies: int = 0

    @property
    def columns(self) -> Columns:
        return self.steps[-1].columns if self.steps else self.given

    # Leases ------------------------------------------------------------------------------------------------------

    def claim_answer(self, flows: Sequence[str], takeover: bool, token: UUID) -> str:
        if self.status not in (Status.PENDING, Status.PROCESSING):
            return "not_claimable"
        holder = self.holder
        if holder and holder.token != token and not holder.expired and not takeover:
            return "held"
        if self.steps and self.flow not in flows:
            return "other_flow"
        return "claimed"

    def leave_to_another_release(self) -> None:
        if self.messages.total < 2:
            self.messages.unseen += 1
        if self.holder:
            self.holder.expired = True

    def claim(self, worker: str, flows: Sequence[str], token: UUID, takes_up: bool) -> None:
        """``takes_up``: the worker knows of the lifecycle, and makes a new ticket its own."""
        lost: list[str] = []
        if self.holder:
            lost = [name for name in self.holder.lost if name != worker]
            if not self.holder.released and self.holder.worker != worker:
                lost = [name for name in lost if name != self.holder.worker] + [self.holder.worker]
        self.status = Status.PROCESSING
        self.holder = Holder(token, worker, lost, len(lost))
        self.version += 1
        if takes_up:
            self.version += self.take_up()
        if not self.steps:
            self.flow = flows[0]

    def holds(self, token: UUID) -> bool:
        return self.holder is not None and self.holder.token == token

    def extend(self, token: UUID) -> bool:
        """Returns whether the lease is still this token's. One that was given back is, but is not extended."""
        if self.holder is None or not self.holds(token):
            return False
        self.holder.expired = self.holder.released
        return True

    def seen(self, worker: str) -> bool:
        """A worker that had lost the ticket gives a sign of life. Returns whether it was taken to be lost."""
        if self.holder is None or worker not in self.holder.lost:
            return False
        self.holder.lost.remove(worker)
        return True

    def release(self, token: UUID) -> None:
        if self.holder and self.holds(token):
            self.holder.expired = self.holder.released = True
            self.messages.unseen += 1

    # What a run commits: each returns the name of the error that it raises, or None ---------------------------------

    def complete_step(self, token: UUID, done: Done, ends: Disposition | None) -> str | None:
        """``ends``: how the last step has it end, or None for one that is not the last."""
        stopped = self._stopped(token)
        if stopped is None or (stopped == "paused" and not ends):
            assert self.holder
            self.holder.takeovers = 0
            self.holder.lost = []
            self.version += 1
            self.steps.append(done)
            self.failed = None
            self.checkpoints.add(done.checkpoint)
            self.newest = done.checkpoint
            if stopped:
                self.holder = None
        if stopped is None and ends:
            self._speak(ends)
        return stopped

    def _speak(self, ends: Disposition) -> None:
        """To the customer, or where a person has the ticket to them."""
        self.error = False
        if (self.place, self.assignee) != ("in_progress", PIPELINE):
            self.version += self.suggest() if ends is not Disposition.ESCALATED else 0
            self._end(Status.COMPLETED)
            self.result = True
            return None
        self.version += self.answer(ends)
        if ends is Disposition.ASKED:
            return self._end(Status.WAITING, WaitingFor.CUSTOMER)
        self._end(Status.COMPLETED)
        self.result = True
        if ends is Disposition.ANSWERED:
            self.timers[TimerKind.CLOSE] = Timer(due=False)
        return None

    def put_aside(self, token: UUID, step: str | None, due: bool, counts: bool) -> str | None:
        stopped = self._fail(token, step)
        if stopped is None:
            self._end(Status.WAITING, WaitingFor.RETRY)
            self.timers[TimerKind.RETRY] = Timer(due)
            self.excused += not counts
        return stopped

    def give_up(self, token: UUID, step: str | None) -> str | None:
        stopped = self._fail(token, step)
        if stopped is None:
            self._end(Status.FAILED_PERMANENT)
            self.letters, self.error = 1, True
        return stopped

    def _stopped(self, token: UUID) -> str | None:
        if not self.holds(token):
            return "cancelled" if self.status is Status.CANCELLED else "lease_lost"
        return "paused" if self.waiting_for is WaitingFor.PAUSED else None

    def _fail(self, token: UUID, step: str | None) -> str | None:
        stopped = self._stopped(token)
        if stopped in (None, "paused"):
            self.version += 1
            self.failed = step
            self.holder = None
        return stopped

    def _end(self, status: Status, waiting_for: WaitingFor | None = None) -> None:
        self.version += 1
        self.status, self.waiting_for, self.holder = status, waiting_for, None

    # What people and time do -------------------------------------------------------------------------------------

    def open_moves(self) -> set[Move]:
        match self.waiting_for or self.status:
            case Status.PENDING | Status.PROCESSING:
                return {Move.PAUSE, Move.CANCEL}
            case WaitingFor.RETRY:
                return {Move.PAUSE, Move.CANCEL, Move.RETRY, Move.REPLAY}
            case WaitingFor.CUSTOMER:
                return {Move.CANCEL, Move.REPLAY}
            case WaitingFor.PAUSED:
                return {Move.RESUME, Move.CANCEL, Move.REPLAY}
            case Status.COMPLETED:
                return {Move.REPLAY}
            case _:
                return {Move.RETRY, Move.REPLAY}

    def pause(self) -> None:
        self.attempt += self.status is Status.WAITING
        self.status, self.waiting_for = Status.WAITING, WaitingFor.PAUSED
        self.timers.pop(TimerKind.RETRY, None)
        self.version += 1

    def resume(self) -> None:
        self._to_be_worked_on()

    def cancel(self) -> None:
        self._end(Status.CANCELLED)
        self.timers.pop(TimerKind.RETRY, None)

    def retry(self) -> None:
        self._ask_for_another_attempt()
        self._to_be_worked_on()

    def time_is_up(self, kind: TimerKind) -> None:
        if kind is TimerKind.CLOSE:
            return self.close()
        self.attempt += 1
        return self._to_be_worked_on()

    def can_replay_from(self, step: str) -> bool:
        known = step == self.failed or step in [done.step for done in self.steps]
        kept = self.before(step) if known else []
        return known and (not kept or kept[-1].checkpoint in self.checkpoints)

    def before(self, step: str) -> list[Done]:
        names = [done.step for done in self.steps]
        return self.steps[: names.index(StepName(step))] if step in names else list(self.steps)

    def replay(self, step: str) -> None:
        self._go_on_after(self.before(step))

    def _go_on_after(self, steps: list[Done]) -> None:
        self.steps = steps
        self._ask_for_another_attempt()
        self._to_be_worked_on()
        self.result, self.failed = False, None
        self.copies += 1
        self.newest = f"copy {self.copies}"
        self.checkpoints.add(self.newest)
        if not self.steps:
            self.flow = FLOW_VERSION

    def _ask_for_another_attempt(self) -> None:
        self.excused, self.error = self.attempt, False
        self.attempt += 1

    def _to_be_worked_on(self) -> None:
        self.status, self.waiting_for = Status.PENDING, None
        self.holder = None
        self.timers.pop(TimerKind.RETRY, None)
        self.letters = 0
        self.version += 1
        self.messages.unseen += 1

    # What people say and where they move it ----------------------------------------------------------------------

    def transition(self, move: str, role: str, subject: str, assignee: str | None, says: bool) -> None:
        was_with_pipeline = self.with_pipeline
        if says:
            self.hear("reply", "customer:cus_1" if move in ("customer_reply", "reopen") else f"{role}:{subject}")
            self.version += 1
        self.move(move, subject, assignee)
        self.version += 1
        if move == "close":
            self.timers.pop(TimerKind.CLOSE)
        if move in ("resolve", "resolve_escalated"):
            self.timers[TimerKind.CLOSE] = Timer(due=False)
        if move == "reopen" or (move == "customer_reply" and was_with_pipeline):
            self._begin_again()

    def close(self) -> None:
        self.move("close", "system")
        self.timers.pop(TimerKind.CLOSE)
        self.version += 1

    def say(self, kind: str, role: str, subject: str) -> None:
        self.hear(kind, f"{role}:{subject}")
        self.version += 1
        if kind == "reply" and role == "customer":
            self._answer_the_customer(subject)
        elif kind == "reply":
            self.version += self.take_on(subject)

    def _answer_the_customer(self, subject: str) -> None:
        again = self.with_pipeline or self.place in ("new", "resolved", "closed")
        if self.place == "resolved":
            self.close()
        if self.place == "closed":
            self.move("reopen", subject)
            self.version += 1
        elif self.place == "pending_customer":
            self.move("customer_reply", subject)
            self.version += 1
        if again:
            self._begin_again()

    def _begin_again(self) -> None:
        """With all that was said; whoever takes a ticket that waits for a worker reads it anyway."""
        if self.status is not Status.PENDING and self.waiting_for is not WaitingFor.PAUSED:
            self._go_on_after([])

    @property
    def with_a_person(self) -> bool:
        at_work = self.place in ("in_progress", "pending_customer") and self.assignee != PIPELINE
        return at_work or self.place in ("assigned", "escalated")

    @property
    def nothing_left_to_run(self) -> bool:
        """Its last step is done, with a question that somebody then put an end to."""
        return bool(self.steps) and self.steps[-1].step is StepName.FINALIZE

    def nobody_would_wake_it(self) -> bool:
        unfinished = self.status in (Status.PENDING, Status.PROCESSING)
        return unfinished and not self.messages.total and (self.holder is None or self.holder.expired)

    def keep_newest_checkpoint(self) -> None:
        self.checkpoints &= {self.newest}

    # What the database is asked ------------------------------------------------------------------------------------

    def refusal(self, guard: Mapping[str, Any]) -> str | None:
        """Why a Change that was not applied before is refused now, or None."""
        match guard["kind"]:
            case "create":
                return "exists"
            case "version":
                return "version" if guard["version"] != self.version else None
            case _:
                if not self.holds(UUID(guard["token"])):
                    return "lease"
                if guard.get("status", self.status) != self.status:
                    return "status"
                stands = (guard.get("lifecycle", self.place), guard.get("assignee", self.assignee))
                return "lifecycle" if stands != (self.place, self.assignee) else None

    def as_seen(self) -> dict[str, Any]:
        """What ``tests.support.history.site.seen`` makes of its rows."""
        holder = self.holder
        return {
            "status": self.status,
            "waiting_for": self.waiting_for,
            "version": self.version,
            "attempt": self.attempt,
            "excused_attempts": self.excused,
            "flow_version": self.flow,
            "lifecycle": self.place,
            "assignee": self.assignee,
            "messages": self.said,
            **self.columns,
            "result": self.result,
            "error": self.error,
            "events": self.version,
            "steps": [(done.step, done.round, done.mark) for done in self.steps],
            "checkpoints": len(self.checkpoints),
            "lease": holder and (str(holder.token), holder.worker, holder.takeovers, holder.expired, holder.released),
            "timers": sorted((str(kind), timer.due, timer.taken) for kind, timer in self.timers.items()),
            "outbox": (self.messages.total, self.messages.available),
            "open_dead_letters": self.letters,
        }
