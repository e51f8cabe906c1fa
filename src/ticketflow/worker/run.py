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
from ticketflow.worker.ending import Ending, answer, suggestion
from ticketflow.workflow.state import StepReport


class TicketRun:
    """What the graph's checkpointer and steps see of the worker: the lease, and how to commit under it."""

    def __init__(self, lease: Lease, commits: Commits, close_after: timedelta | None = None) -> None:
        """``close_after``: when an answered ticket closes by itself, or None for never."""
        self.lease = lease
        self.status: Status | None = None
        """The one that the run has led to, once its last step is committed."""
        self.ending = False
        """The commit that gives the lease back is on its way: a missing lease is no loss any more."""
        self.taken = False
        """Another worker has the ticket, or a person stopped it."""
        self.step: str | None = None
        self._commits = commits
        self._close_after = close_after
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
        step = self._step_event(report, row.checkpoint_id)
        # LangGraph names the checkpoint before as parent, also where that one was never worth storing.
        saved = replace(row, parent_id=self._last_saved)
        if report.result is None:
            await self._commit(Ending(Status.PROCESSING, [step]), if_paused=[step], release=False, checkpoint=saved)
        else:
            self.status = await self._settle(step, report.result, saved)
        self._last_saved = row.checkpoint_id
        self._spent = Usage()
        return True

    async def _settle(self, step: NewEvent, result: Mapping[str, Any], checkpoint: CheckpointRow) -> Status:
        """The last step. Its result goes out as far as the ticket is still the pipeline's; otherwise it is a
        suggestion to the person who took it on."""
        ticket, request_id = self.lease.ticket, self.lease.request_id
        # A last step that is kept would give the ticket a result while everybody sees it paused.
        if ticket.with_pipeline:
            try:
                ending = answer(step, result, self._close_after, request_id)
                await self._commit(ending, if_paused=(), release=True, checkpoint=checkpoint)
                return ending.status
            except _TakenOn:
                pass
        ending = suggestion(step, result, request_id)
        await self._commit(ending, if_paused=(), release=True, checkpoint=checkpoint)
        return ending.status

    async def put_aside(self, decision: RetryLater, message: str) -> None:
        """Let the ticket wait for its next attempt. Raises as ``commit_step`` does; the error is recorded when it was
        paused."""
        error = self._error_event(decision.code, message, {"retry_in_seconds": decision.delay.total_seconds()})
        waits = self._event(
            EventType.STATUS_CHANGE,
            {"from": Status.PROCESSING, "to": Status.WAITING, "reason": decision.code},
            {"status": Status.WAITING, "waiting_for": WaitingFor.RETRY, **self._excuse(decision)},
        )
        timer = Timer(TimerKind.RETRY, max(decision.delay, timedelta()))
        await self._commit(Ending(Status.WAITING, [error, waits], timers=[timer]), if_paused=[error], release=True)

    async def give_up(self, decision: FailPermanently, message: str) -> None:
        """Fail the ticket for good, with a dead letter for a person to look at. Raises as ``put_aside`` does."""
        ticket = self.lease.ticket
        error = {"code": decision.code, "message": message, "step": self.step, "attempt": ticket.attempt}
        failure = self._error_event(decision.code, message, {})
        failed = self._event(
            EventType.STATUS_CHANGE,
            {"from": Status.PROCESSING, "to": Status.FAILED_PERMANENT, "reason": decision.code},
            {"status": Status.FAILED_PERMANENT, "error": error},
        )
        letter = DeadLetter(decision.code, message, error)
        ending = Ending(Status.FAILED_PERMANENT, [failure, failed], dead_letter=letter)
        await self._commit(ending, if_paused=[failure], release=True)

    def _excuse(self, decision: RetryLater) -> dict[str, Any]:
        return {} if decision.counts else {"excused_attempts": self.lease.ticket.excused_attempts + 1}

    async def _commit(
        self,
        ending: Ending,
        *,
        if_paused: Sequence[NewEvent],
        release: bool,
        checkpoint: CheckpointRow | None = None,
    ) -> None:
        """``if_paused``: what is recorded all the same when a person has paused the ticket meanwhile."""
        self.ending = release
        guard = HoldsLease(self.lease.token, release, Status.PROCESSING, ending.with_pipeline)
        outcome = await self._commits.apply(
            Change(
                ticket_id=self.lease.ticket.id,
                guard=guard,
                events=ending.events,
                checkpoint=checkpoint,
                timers=ending.timers,
                dead_letter=ending.dead_letter,
                message=ending.message,
            )
        )
        if isinstance(outcome, Refused) and outcome.reason is Refusal.LIFECYCLE:
            raise _TakenOn
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


class _TakenOn(Exception):
    """A person has moved the ticket meanwhile."""


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
