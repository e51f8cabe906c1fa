"""A ticket of the model as far as workers go: who holds it, and what a run that holds it commits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

from tests.support.history.belongings import Columns, Done, Holder, Messages, Timer
from tests.support.history.standing import Standing
from ticketflow.domain.change import TimerKind
from ticketflow.domain.roles import PIPELINE
from ticketflow.domain.tickets import Disposition, Status, WaitingFor
from ticketflow.workflow.state import FLOW_VERSION


@dataclass
class Worked(Standing):
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
    started: bool = False
    """A worker has had it once."""

    @property
    def columns(self) -> Columns:
        return self.steps[-1].columns if self.steps else self.given

    # Leases ------------------------------------------------------------------------------------------------------

    def claim_answer(self, flows: Sequence[str], takeover: bool, token: UUID, takes_up: bool = True) -> str:
        """``takes_up``: the worker knows of the lifecycle; to one that does not, no ticket of a person is given."""
        if self.status not in (Status.PENDING, Status.PROCESSING):
            return "not_claimable"
        holder = self.holder
        if holder and holder.token != token and not holder.expired and not takeover:
            return "held"
        with_person = self.place != "new" and not self.with_pipeline
        if (self.steps and self.flow not in flows) or (with_person and not takes_up):
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
        self.status, self.started = Status.PROCESSING, True
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
