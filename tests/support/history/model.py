"""A ticket as it should behave: a simple model of people, lease, messages and timers, without a database.

It says for each operation what the answer is and what the ticket is afterwards. Nothing here calls the code under test;
only names are taken from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from tests.support.history.belongings import Done, Timer
from tests.support.history.worked import Worked
from ticketflow.domain.change import TimerKind
from ticketflow.domain.moves import Move
from ticketflow.domain.roles import PIPELINE
from ticketflow.domain.tickets import Status, WaitingFor
from ticketflow.workflow.state import FLOW_VERSION, StepName


@dataclass
class ModelTicket(Worked):
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
        if self.status is Status.CANCELLED and self.place == "pending_customer":
            # The question still stands.
            self.status, self.waiting_for = Status.WAITING, WaitingFor.CUSTOMER
            self.version += 1
        else:
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
        self._to_be_worked_on()
        self._set_back(steps)

    def _set_back(self, steps: list[Done]) -> None:
        self.steps = steps
        self._ask_for_another_attempt()
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
        listened = self.listens
        if says:
            self.hear("reply", "customer:cus_1" if move in ("customer_reply", "reopen") else f"{role}:{subject}")
            self.version += 1
        self.move(move, subject, assignee)
        self.version += 1
        if move == "close":
            self.timers.pop(TimerKind.CLOSE)
        if move in ("resolve", "resolve_escalated"):
            self.timers[TimerKind.CLOSE] = Timer(due=False)
        if move == "reopen" or (move == "customer_reply" and listened):
            self._begin_again(reopened=move == "reopen")

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
        again = self.listens or self.place in ("new", "resolved", "closed")
        if self.place == "resolved":
            self.close()
        reopened = self.place == "closed"
        if reopened:
            self.move("reopen", subject)
            self.version += 1
        elif self.place == "pending_customer":
            self.move("customer_reply", subject)
            self.version += 1
        if again:
            self._begin_again(reopened)

    def _begin_again(self, reopened: bool) -> None:
        """With all that was said; a ticket that waits, and of which no step is done or under way, does so anyway."""
        if self.status is not Status.PENDING and (reopened or self.waiting_for is not WaitingFor.PAUSED):
            self._go_on_after([])
        elif self.steps or (self.started and self.waiting_for is WaitingFor.PAUSED):
            self._set_back([])
            self.holder, self.letters = None, 0
            self.version += 1

    @property
    def listens(self) -> bool:
        return self.with_pipeline or self.waiting_for is WaitingFor.CUSTOMER

    @property
    def with_a_person(self) -> bool:
        at_work = self.place in ("in_progress", "pending_customer") and self.assignee != PIPELINE
        return at_work or self.place in ("assigned", "escalated")

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
