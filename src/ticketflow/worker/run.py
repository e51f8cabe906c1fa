"""One ticket's run: every step committed under the lease, the last one together with the result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from ticketflow.db.commits import Commits
from ticketflow.db.leases import Lease
from ticketflow.domain.change import (
    Applied,
    Change,
    CheckpointRow,
    DeadLetter,
    HoldsLease,
    Outcome,
    Refusal,
    Refused,
    Timer,
    TimerKind,
)
from ticketflow.domain.delivery import FailPermanently, RetryLater
from ticketflow.domain.errors import Cancelled, LeaseLost, Paused, Poison
from ticketflow.domain.events import EventType, NewEvent
from ticketflow.domain.roles import PIPELINE
from ticketflow.domain.tickets import Status, WaitingFor
from ticketflow.llm.port import Usage
from ticketflow.workflow.state import StepReport


class TicketRun:
    """What the graph's checkpointer and steps see of the worker: the lease, and how to commit under it."""

    def __init__(self, lease: Lease, commits: Commits) -> None:
        self.lease = lease
        self.finished = False
        self.ending = False
        """The commit that gives the lease back is on its way: a missing lease is no loss any more."""
        self.taken = False
        """Another worker has the ticket, or a person stopped it."""
        self.step: str | None = None
        self._commits = commits
        self._report: StepReport | None = None
        self._spent = Usage()
        """What model calls took since the last committed step."""
        self._last_saved: str | None = lease.checkpoint["checkpoint_id"] if lease.checkpoint else None

    @property
    def saved(self) -> Mapping[str, Any] | None:
        return self.lease.checkpoint

    @property
    def counted(self) -> int:
        """The number of this attempt, from 1, without the excused ones."""
        return self.lease.ticket.attempt - self.lease.ticket.excused_attempts

    def begin(self, step: str) -> None:
        self.step = step

    def spend(self, usage: Usage) -> None:
        self._spent += usage

    def record(self, report: StepReport) -> None:
        self._report = report

    async def commit_step(self, row: CheckpointRow) -> bool:
        """Commit the step's event, its checkpoint, and with the last step the result and the end of the lease.

        Raises ``LeaseLost`` or ``Cancelled`` when it is no longer ours; nothing was changed. Raises ``Paused`` when a
        person paused it meanwhile: the step is committed all the same, unless it is the last, which would end it.
        """
        report, self._report = self._report, None
        if report is None:
            return False
        events = [self._step_event(report, row.checkpoint_id)]
        if report.result is not None:
            events.append(
                self._event(
                    EventType.STATUS_CHANGE,
                    {"from": Status.PROCESSING, "to": Status.COMPLETED},
                    {"status": Status.COMPLETED, "result": dict(report.result), "error": None},
                )
            )
        # LangGraph names the checkpoint before as parent, also where that one was never worth storing.
        await self._commit(
            events,
            # A last step that is kept would give the ticket a result while everybody sees it paused.
            if_paused=events if report.result is None else (),
            release=report.result is not None,
            checkpoint=replace(row, parent_id=self._last_saved),
        )
        self._last_saved = row.checkpoint_id
        self._spent = Usage()
        self.finished = report.result is not None
        return True

    async def put_aside(self, decision: RetryLater, message: str) -> None:
        """Let the ticket wait for its next attempt. Raises as ``commit_step`` does; the error is recorded when it was
        paused."""
        error = self._error_event(decision.code, message, {"retry_in_seconds": decision.delay.total_seconds()})
        await self._commit(
            [
                error,
                self._event(
                    EventType.STATUS_CHANGE,
                    {"from": Status.PROCESSING, "to": Status.WAITING, "reason": decision.code},
                    {"status": Status.WAITING, "waiting_for": WaitingFor.RETRY, **self._excuse(decision)},
                ),
            ],
            if_paused=[error],
            release=True,
            timers=[Timer(TimerKind.RETRY, max(decision.delay, timedelta()))],
        )

    async def give_up(self, decision: FailPermanently, message: str) -> None:
        """Fail the ticket for good, with a dead letter for a person to look at. Raises as ``put_aside`` does."""
        ticket = self.lease.ticket
        error = {"code": decision.code, "message": message, "step": self.step, "attempt": ticket.attempt}
        failure = self._error_event(decision.code, message, {})
        await self._commit(
            [
                failure,
                self._event(
                    EventType.STATUS_CHANGE,
                    {"from": Status.PROCESSING, "to": Status.FAILED_PERMANENT, "reason": decision.code},
                    {"status": Status.FAILED_PERMANENT, "error": error},
                ),
            ],
            if_paused=[failure],
            release=True,
            dead_letter=DeadLetter(decision.code, message, error),
        )

    def _excuse(self, decision: RetryLater) -> dict[str, Any]:
        return {} if decision.counts else {"excused_attempts": self.lease.ticket.excused_attempts + 1}

    async def _commit(
        self,
        events: Sequence[NewEvent],
        *,
        if_paused: Sequence[NewEvent],
        release: bool,
        checkpoint: CheckpointRow | None = None,
        timers: Sequence[Timer] = (),
        dead_letter: DeadLetter | None = None,
    ) -> None:
        """``if_paused``: what is recorded all the same when a person has paused the ticket meanwhile."""
        self.ending = release
        outcome = await self._commits.apply(
            Change(
                ticket_id=self.lease.ticket.id,
                guard=HoldsLease(self.lease.token, release=release, status=Status.PROCESSING),
                events=events,
                checkpoint=checkpoint,
                timers=timers,
                dead_letter=dead_letter,
            )
        )
        if isinstance(outcome, Refused) and outcome.reason is Refusal.STATUS:
            if if_paused:
                self.ending = True
                done = HoldsLease(self.lease.token, release=True)
                outcome = await self._commits.apply(
                    Change(self.lease.ticket.id, done, if_paused, checkpoint=checkpoint)
                )
                _raise_if_refused(outcome)
            raise Paused("the ticket was paused")
        _raise_if_refused(outcome)

    def _step_event(self, report: StepReport, checkpoint_id: str) -> NewEvent:
        return self._event(
            EventType.STEP_COMPLETE,
            {
                "output": dict(report.output),
                "duration_ms": report.duration_ms,
                "attempt": self.lease.ticket.attempt,
                "round": report.round,
                "model": report.model,
                "prompt_version": report.prompt_version,
                "usage": report.usage.as_json(),
                "checkpoint_id": checkpoint_id,
                **({"route": dict(report.route)} if report.route is not None else {}),
            },
            report.changes,
            step=report.step,
        )

    def _error_event(self, code: str, message: str, extra: Mapping[str, Any]) -> NewEvent:
        payload = {
            "code": code,
            "message": message,
            "attempt": self.lease.ticket.attempt,
            "usage": self._spent.as_json(),
            **extra,
        }
        return self._event(EventType.ERROR, payload, {}, step=self.step)

    def _event(
        self,
        kind: EventType,
        payload: Mapping[str, Any],
        changes: Mapping[str, Any],
        step: str | None = None,
    ) -> NewEvent:
        return NewEvent(kind, PIPELINE, payload, changes, step_name=step, request_id=self.lease.request_id)


def _raise_if_refused(outcome: Outcome) -> None:
    match outcome:
        case Applied():
            return
        case Refused(reason=Refusal.LEASE, status=Status.CANCELLED):
            raise Cancelled("the ticket was cancelled")
        case Refused(reason=Refusal.LEASE):
            raise LeaseLost("another worker holds the ticket")
        case Refused(reason=reason):
            raise Poison(f"the store refused the step: {reason}")
