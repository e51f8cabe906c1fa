"""A ticket as it should behave: a simple model of lifecycle, lease, messages and timers, without a database.

It says for each operation what the answer is and what the ticket is afterwards. Nothing here calls the code under test;
only names are taken from it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from ticketflow.domain.moves import Move
from ticketflow.domain.tickets import Status, WaitingFor
from ticketflow.workflow.state import FLOW_VERSION, StepName

Columns = Mapping[str, Any]
"""What steps set: category, priority, team, tags."""


@dataclass(frozen=True)
class Done:
    """A completed step. ``mark`` is its output, ``columns`` the ticket's after it."""

    step: StepName
    round: int
    mark: str
    checkpoint: str
    columns: Columns


@dataclass
class Holder:
    token: UUID
    worker: str
    lost: list[str] = field(default_factory=list)
    """Workers taken to be lost since a step was last completed, and not seen since."""
    takeovers: int = 0
    """How many these were at the claim."""
    expired: bool = False
    released: bool = False


@dataclass
class Timer:
    due: bool
    taken: bool = False


@dataclass
class Messages:
    """A ticket's outbox rows. Their ids are not known before a relay has taken them."""

    unseen: int = 0
    known: dict[int, bool] = field(default_factory=dict)
    """By id: whether the row is there to be taken."""

    @property
    def total(self) -> int:
        return self.unseen + len(self.known)

    @property
    def available(self) -> int:
        return self.unseen + sum(self.known.values())

    def take(self, row_id: int) -> None:
        if row_id in self.known:
            assert self.known[row_id], "a row was taken that another relay has"
        else:
            assert self.unseen, "a row was taken that nobody wrote"
            self.unseen -= 1
        self.known[row_id] = False

    def offer(self, row_ids: Iterable[int]) -> None:
        self.known |= {row_id: True for row_id in row_ids if row_id in self.known}

    def forget(self, row_ids: Iterable[int]) -> None:
        for row_id in row_ids:
            self.known.pop(row_id, None)


@dataclass
class ModelTicket:
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
    timer: Timer | None = None
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

    def claim(self, worker: str, flows: Sequence[str], token: UUID) -> None:
        lost: list[str] = []
        if self.holder:
            lost = [name for name in self.holder.lost if name != worker]
            if not self.holder.released and self.holder.worker != worker:
                lost = [name for name in lost if name != self.holder.worker] + [self.holder.worker]
        self.status = Status.PROCESSING
        self.holder = Holder(token, worker, lost, len(lost))
        self.version += 1
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

    def complete_step(self, token: UUID, done: Done, last: bool) -> str | None:
        stopped = self._stopped(token)
        if stopped is None or (stopped == "paused" and not last):
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
        if stopped is None and last:
            self._end(Status.COMPLETED)
            self.result, self.error = True, False
        return stopped

    def put_aside(self, token: UUID, step: str | None, due: bool, counts: bool) -> str | None:
        stopped = self._fail(token, step)
        if stopped is None:
            self._end(Status.WAITING, WaitingFor.RETRY)
            self.timer = Timer(due)
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
            case WaitingFor.PAUSED:
                return {Move.RESUME, Move.CANCEL, Move.REPLAY}
            case Status.COMPLETED:
                return {Move.REPLAY}
            case _:
                return {Move.RETRY, Move.REPLAY}

    def pause(self) -> None:
        self.attempt += self.status is Status.WAITING
        self.status, self.waiting_for, self.timer = Status.WAITING, WaitingFor.PAUSED, None
        self.version += 1

    def resume(self) -> None:
        self._to_be_worked_on()

    def cancel(self) -> None:
        self._end(Status.CANCELLED)
        self.timer = None

    def retry(self) -> None:
        self._ask_for_another_attempt()
        self._to_be_worked_on()

    def fire(self) -> None:
        self.attempt += 1
        self._to_be_worked_on()

    def can_replay_from(self, step: str) -> bool:
        known = step == self.failed or step in [done.step for done in self.steps]
        kept = self.before(step) if known else []
        return known and (not kept or kept[-1].checkpoint in self.checkpoints)

    def before(self, step: str) -> list[Done]:
        names = [done.step for done in self.steps]
        return self.steps[: names.index(StepName(step))] if step in names else list(self.steps)

    def replay(self, step: str) -> None:
        self.steps = self.before(step)
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
        self.holder = self.timer = None
        self.letters = 0
        self.version += 1
        self.messages.unseen += 1

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
                return "status" if guard.get("status", self.status) != self.status else None

    def as_seen(self) -> dict[str, Any]:
        """What ``tests.support.history.site.seen`` makes of its rows."""
        holder, timer = self.holder, self.timer
        return {
            "status": self.status,
            "waiting_for": self.waiting_for,
            "version": self.version,
            "attempt": self.attempt,
            "excused_attempts": self.excused,
            "flow_version": self.flow,
            **self.columns,
            "result": self.result,
            "error": self.error,
            "events": self.version,
            "steps": [(done.step, done.round, done.mark) for done in self.steps],
            "checkpoints": len(self.checkpoints),
            "lease": holder and (str(holder.token), holder.worker, holder.takeovers, holder.expired, holder.released),
            "timers": [("retry", timer.due, timer.taken)] if timer else [],
            "outbox": (self.messages.total, self.messages.available),
            "open_dead_letters": self.letters,
        }
