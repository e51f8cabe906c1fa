"""Tickets brought to any state by real Changes, without a worker."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg

from ticketflow.db.commits import Commits
from ticketflow.db.leases import Lease, Leases
from ticketflow.domain.change import (
    Applied,
    Change,
    CheckpointRow,
    Create,
    DeadLetter,
    ExpectVersion,
    HoldsLease,
    Outcome,
    Restart,
    Timer,
    TimerKind,
    WakeUp,
)
from ticketflow.domain.events import EventType, NewEvent
from ticketflow.domain.routing import Lane

TTL = timedelta(seconds=30)
WRITTEN = ("tickets", "events", "leases", "outbox", "timers", "intake_keys", "dead_letters", "checkpoints")
IMMUTABLE: Mapping[str, Any] = {
    "customer_id": "cus_1",
    "customer_email": None,
    "subject": "My lock",
    "body": "What now?",
    "channel": "api",
    "metadata": {},
    "fingerprint": "f" * 64,
    "vip": False,
}
FIRST: Mapping[str, Any] = {"status": "pending", "attempt": 1, "excused_attempts": 0, "flow_version": "1", "tags": []}


def everything(database_url: str) -> dict[str, list[Any]]:
    """Every row of every table that a Change may write."""
    with psycopg.connect(database_url) as connection:
        return {
            table: sorted(repr(row) for row in connection.execute(f"select to_jsonb(t) from {table} t").fetchall())
            for table in WRITTEN
        }


def tables_that_name(database_url: str, ticket_id: UUID) -> set[str]:
    """Every table, whatever it is, that still has the ticket's id somewhere in a row."""
    with psycopg.connect(database_url) as connection:
        names = connection.execute(
            "select quote_ident(relname) from pg_class where relkind = 'r' "
            "and relnamespace = current_schema()::regnamespace"
        ).fetchall()
        return {
            name
            for (name,) in names
            if connection.execute(
                f"select 1 from {name} t where to_jsonb(t)::text like %s limit 1", (f"%{ticket_id}%",)
            ).fetchone()
        }


def event(kind: EventType = EventType.STATUS_CHANGE, step: str | None = None, **changes: Any) -> NewEvent:
    return NewEvent(kind, "pipeline", changes=changes, step_name=step)


def step_done(step: str, *, attempt: int = 1, round: int = 0, output: Any = None, **changes: Any) -> NewEvent:
    """A ``step_complete`` event as the worker writes it."""
    usage = {"calls": 1, "input_tokens": 100, "output_tokens": 20, "cost_usd": 0.001}
    payload = {
        "output": output or {},
        "duration_ms": 12,
        "attempt": attempt,
        "round": round,
        "model": "test-model",
        "prompt_version": f"{step}-1",
        "usage": usage,
    }
    return NewEvent(EventType.STEP_COMPLETE, "pipeline", payload, changes, step_name=step)


def creation(ticket_id: UUID | None = None, *, wake: bool = True, guard: Create | None = None, **fields: Any) -> Change:
    """The Change that takes a ticket in; ``fields`` replace columns."""
    return Change(
        ticket_id=ticket_id or uuid4(),
        guard=guard or Create(),
        events=[NewEvent(EventType.CREATED, "customer", changes={**IMMUTABLE, **FIRST, **fields})],
        wake_ups=[WakeUp(Lane.NORMAL, "created")] if wake else [],
    )


def at_version(ticket_id: UUID, version: int, *events: NewEvent, **parts: Any) -> Change:
    return Change(ticket_id, ExpectVersion(version), events or [event()], **parts)


def under(lease: Lease, *events: NewEvent, release: bool = False, **parts: Any) -> Change:
    return Change(lease.ticket.id, HoldsLease(lease.token, release), events or [event()], **parts)


def with_everything(**guarded: Any) -> Change:
    """A Change with every part that a Change can have."""
    return Change(
        events=[event(status="waiting", waiting_for="retry"), event(team="l2")],
        wake_ups=[WakeUp(Lane.HIGH, "test", {"x-request-id": "r"})],
        timers=[Timer(TimerKind.RETRY, timedelta(hours=1))],
        checkpoint=CheckpointRow(str(guarded["ticket_id"]), "", "c1", None, {"v": 1}, {}, {"a": {"v": "1", "j": 1}}),
        dead_letter=DeadLetter("reason", "detail", {"a": 1}),
        redrive="someone",
        restart=Restart(None),
        revoke_lease=True,
        **guarded,
    )


async def applied(commits: Commits, change: Change) -> int:
    """Apply a Change that must not be refused; the ticket's new version."""
    outcome: Outcome = await commits.apply(change)
    assert isinstance(outcome, Applied), outcome
    return outcome.version


async def new_ticket(commits: Commits, **fields: Any) -> UUID:
    change = creation(**fields)
    await applied(commits, change)
    return change.ticket_id


async def claimed(leases: Leases, ticket_id: UUID, *, takeover: bool = False) -> Lease:
    lease = await leases.claim(ticket_id, takeover=takeover)
    assert isinstance(lease, Lease), lease
    return lease


async def fail(commits: Commits, leases: Leases, ticket_id: UUID, code: str = "model_refused") -> None:
    """Fail a claimable ticket for good, as a worker does: error, status, dead letter, lease returned."""
    lease = await claimed(leases, ticket_id)
    error = {"code": code, "message": "no", "step": "classify", "attempt": lease.ticket.attempt}
    await applied(
        commits,
        under(
            lease,
            NewEvent(EventType.ERROR, "pipeline", {"code": code}, step_name="classify"),
            event(status="failed_permanent", error=error),
            release=True,
            dead_letter=DeadLetter(code, "no", error),
        ),
    )


async def put_aside(commits: Commits, leases: Leases, ticket_id: UUID, wait: timedelta) -> None:
    """Let a claimable ticket wait for its retry, as a worker does."""
    lease = await claimed(leases, ticket_id)
    await applied(
        commits,
        under(
            lease,
            NewEvent(EventType.ERROR, "pipeline", {"code": "model_timeout"}, step_name="classify"),
            event(status="waiting", waiting_for="retry"),
            release=True,
            timers=[Timer(TimerKind.RETRY, wait)],
        ),
    )


RESULT: Mapping[str, Any] = {
    "category": "billing",
    "entities": {"order_id": None},
    "reply": "Here is how.",
    "sources": [],
    "review": None,
    "disposition": "answered",
    "model": "test-model",
    "usage": {"calls": 4, "input_tokens": 400, "output_tokens": 80, "cost_usd": 0.004},
}


async def complete(commits: Commits, leases: Leases, ticket_id: UUID) -> None:
    """Complete a claimable ticket."""
    lease = await claimed(leases, ticket_id)
    await applied(
        commits,
        under(
            lease,
            step_done("finalize"),
            event(status="completed", result=dict(RESULT), category="billing"),
            release=True,
        ),
    )
