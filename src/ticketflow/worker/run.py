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
    Refusal,
    Refused,
    Timer,
    TimerKind,
)
from ticketflow.domain.delivery import FailPermanently, RetryLater
from ticketflow.domain.errors import LeaseLost, Poison
from ticketflow.domain.events import Actor, EventType, NewEvent
from ticketflow.domain.tickets import Status, WaitingFor
from ticketflow.llm.port import Usage
from ticketflow.workflow.state import StepName, StepReport


class TicketRun:
    """What the graph's checkpointer and steps see of the worker: the lease, and how to commit under it."""

    def __init__(self, lease: Lease, commits: Commits) -> None:
        self.lease = lease
        self.finished = False
        self.ending = False
        """The commit that gives the lease back is on its way: a missing lease is no loss any more."""
        self.step: StepName | None = None
        self._commits = commits
        self._report: StepReport | None = None
        self._spent = Usage()
        """What model calls took since the last committed step."""
        self._last_saved: str | None = lease.checkpoint["checkpoint_id"] if lease.checkpoint else None

    @property
    def saved(self) -> Mapping[str, Any] | None:
        return self.lease.checkpoint

    def begin(self, step: StepName) -> None:
        self.step = step

    def spend(self, usage: Usage) -> None:
        self._spent += usage

    def record(self, report: StepReport) -> None:
        self._report = report

    async def commit_step(self, row: CheckpointRow) -> bool:
        """Commit the step's event, its checkpoint, and with the last step the result and the end of the lease.

        Raises ``LeaseLost`` when another worker has the ticket; nothing was changed then.
        """
        report, self._report = self._report, None
        if report is None:
            return False
        events = [self._step_event(report)]
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
            release=report.result is not None,
            checkpoint=replace(row, parent_id=self._last_saved),
        )
        self._last_saved = row.checkpoint_id
        self._spent = Usage()
        self.finished = report.result is not None
        return True

    async def put_aside(self, decision: RetryLater, message: str) -> None:
        """Let the ticket wait for its next attempt."""
        await self._commit(
            [
                self._error_event(decision.code, message, {"retry_in_seconds": decision.delay.total_seconds()}),
                self._event(
                    EventType.STATUS_CHANGE,
                    {"from": Status.PROCESSING, "to": Status.WAITING, "reason": decision.code},
                    {"status": Status.WAITING, "waiting_for": WaitingFor.RETRY},
                ),
            ],
            release=True,
            timers=[Timer(TimerKind.RETRY, max(decision.delay, timedelta()))],
        )

    async def give_up(self, decision: FailPermanently, message: str) -> None:
        """Fail the ticket for good, with a dead letter for a person to look at."""
        ticket = self.lease.ticket
        error = {"code": decision.code, "message": message, "step": self.step, "attempt": ticket.attempt}
        await self._commit(
            [
                self._error_event(decision.code, message, {}),
                self._event(
                    EventType.STATUS_CHANGE,
                    {"from": Status.PROCESSING, "to": Status.FAILED_PERMANENT, "reason": decision.code},
                    {"status": Status.FAILED_PERMANENT, "error": error},
                ),
            ],
            release=True,
            dead_letter=DeadLetter(decision.code, message, error),
        )

    async def _commit(
        self,
        events: Sequence[NewEvent],
        *,
        release: bool,
        checkpoint: CheckpointRow | None = None,
        timers: Sequence[Timer] = (),
        dead_letter: DeadLetter | None = None,
    ) -> None:
        self.ending = release
        outcome = await self._commits.apply(
            Change(
                ticket_id=self.lease.ticket.id,
                guard=HoldsLease(self.lease.token, release=release),
                events=events,
                checkpoint=checkpoint,
                timers=timers,
                dead_letter=dead_letter,
            )
        )
        match outcome:
            case Applied():
                return
            case Refused(reason=Refusal.LEASE):
                raise LeaseLost("another worker holds the ticket")
            case Refused(reason=reason):
                raise Poison(f"the store refused the step: {reason}")

    def _step_event(self, report: StepReport) -> NewEvent:
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
        step: StepName | None = None,
    ) -> NewEvent:
        return NewEvent(kind, Actor.PIPELINE, payload, changes, step_name=step, request_id=self.lease.request_id)
