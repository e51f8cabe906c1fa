"""The Change: the one way in which anything about a ticket becomes different.

A Change is applied whole or refused whole. It names the ticket, the guard under which it may be applied, the events to
append, and whatever must happen in the same transaction. Its ``id`` makes it safe to send again after a lost answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID, uuid4

from ticketflow.domain.conversation import NewMessage
from ticketflow.domain.events import NewEvent
from ticketflow.domain.routing import Lane
from ticketflow.domain.tickets import Status


@dataclass(frozen=True, slots=True)
class Create:
    """The ticket must not exist yet.

    With ``window_key``, a ticket that was created under the same key within ``window`` counts as the same ticket, so
    that identical texts are taken in once a day and not once for ever.
    """

    window_key: UUID | None = None
    window: timedelta | None = None


@dataclass(frozen=True, slots=True)
class ExpectVersion:
    """The ticket must still be at this version."""

    version: int


@dataclass(frozen=True, slots=True)
class HoldsLease:
    """The ticket's lease must still carry this fencing token."""

    token: UUID
    release: bool = False
    """Give the lease back in the same transaction."""
    status: Status | None = None
    """The ticket must also still be in this status, or None where that does not matter."""
    with_pipeline: bool = False
    """The pipeline must still be the one who works on it: no person has moved it meanwhile."""


Guard = Create | ExpectVersion | HoldsLease


@dataclass(frozen=True, slots=True)
class WakeUp:
    """A message to the workers, written to the outbox. ``headers`` carry ``traceparent`` and ``x-request-id``."""

    lane: Lane
    reason: str
    headers: Mapping[str, str] = field(default_factory=dict)
    delay: timedelta = timedelta()


class TimerKind(StrEnum):
    RETRY = "retry"
    """The ticket's next attempt."""
    CLOSE = "close"
    """A resolved ticket that nobody objected to is closed."""


@dataclass(frozen=True, slots=True)
class Timer:
    kind: TimerKind
    due_in: timedelta


@dataclass(frozen=True, slots=True)
class CheckpointRow:
    """One LangGraph checkpoint as stored; ``channels`` holds only the values that changed since the parent."""

    thread_id: str
    checkpoint_ns: str
    checkpoint_id: str
    parent_id: str | None
    checkpoint: Mapping[str, Any]
    metadata: Mapping[str, Any]
    channels: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """Something that stopped moving and needs a person. ``payload`` is kept as it was, for the one who looks."""

    reason: str
    detail: str
    payload: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Restart:
    """The ticket's thread goes on from a copy of one of its checkpoints, or with None from the very beginning."""

    checkpoint_id: str | None
    id: UUID = field(default_factory=uuid4)


@dataclass(frozen=True, slots=True)
class Change:
    ticket_id: UUID
    guard: Guard
    events: Sequence[NewEvent]
    wake_ups: Sequence[WakeUp] = ()
    timers: Sequence[Timer] = ()
    cancel_timers: Sequence[TimerKind] = ()
    checkpoint: CheckpointRow | None = None
    dead_letter: DeadLetter | None = None
    redrive: str | None = None
    """Close the ticket's open dead letters in the name of this actor."""
    revoke_lease: bool = False
    """Whoever works on the ticket has lost it: what they still commit is refused."""
    restart: Restart | None = None
    message: NewMessage | None = None
    """Kept in the conversation; one of the events names it, see ``firing.said``."""
    id: UUID = field(default_factory=uuid4)

    def __post_init__(self) -> None:
        if not self.events:
            raise ValueError("a Change appends at least one event: what happens without a trace cannot be explained")


class Refusal(StrEnum):
    """Why a Change was refused."""

    VERSION = "version"
    LEASE = "lease"
    STATUS = "status"
    LIFECYCLE = "lifecycle"
    NO_CHECKPOINT = "no_checkpoint"
    EXISTS = "exists"
    NOT_FOUND = "not_found"


@dataclass(frozen=True, slots=True)
class Applied:
    """The ticket is now at ``version``. ``repeated``: this Change had been applied before and did nothing now."""

    version: int
    repeated: bool = False


@dataclass(frozen=True, slots=True)
class ExistingTicket:
    """What a duplicate needs to know about the ticket that was there first."""

    id: UUID
    status: str
    fingerprint: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Refused:
    """Nothing changed. ``version`` is the ticket's own, where it exists; ``status`` too where a lease was the guard."""

    reason: Refusal
    version: int | None = None
    existing: ExistingTicket | None = None
    status: Status | None = None


Outcome = Applied | Refused
