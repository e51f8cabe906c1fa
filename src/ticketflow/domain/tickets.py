"""A ticket's vocabulary and the value that every other room passes around."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID


class Status(StrEnum):
    """Where the pipeline stands with a ticket."""

    PENDING = "pending"
    PROCESSING = "processing"
    WAITING = "waiting"
    COMPLETED = "completed"
    FAILED_PERMANENT = "failed_permanent"
    CANCELLED = "cancelled"


TERMINAL = frozenset({Status.COMPLETED, Status.FAILED_PERMANENT, Status.CANCELLED})
"""No worker picks up a ticket in one of these; only an explicit retry leaves them."""

CLAIMABLE = frozenset({Status.PENDING, Status.PROCESSING})
"""A worker may take a ticket in one of these; ``processing`` only once the former lease is void."""


class WaitingFor(StrEnum):
    """Who or what will wake a ticket whose status is ``waiting``."""

    RETRY = "retry"
    """A timer, for its next attempt."""
    PAUSED = "paused"
    """A person, who paused it and will resume, replay or cancel it."""


class Priority(StrEnum):
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    URGENT = "urgent"


class Category(StrEnum):
    BILLING = "billing"
    TECHNICAL = "technical"
    ACCOUNT = "account"
    GENERAL = "general"


class Channel(StrEnum):
    """How the ticket came in. A closed set, because it is a metric label."""

    API = "api"
    WEB = "web"
    EMAIL = "email"
    CHAT = "chat"
    PHONE = "phone"


class Disposition(StrEnum):
    """How the pipeline left a completed ticket: answered by itself, or handed to a team."""

    ANSWERED = "answered"
    ESCALATED = "escalated"


@dataclass(frozen=True, slots=True)
class Ticket:
    """The ticket row: the fold of its events. Times are aware UTC."""

    id: UUID
    customer_id: str
    subject: str
    body: str
    channel: Channel
    status: Status
    version: int
    attempt: int
    flow_version: str
    created_at: datetime
    updated_at: datetime
    customer_email: str | None = None
    waiting_for: WaitingFor | None = None
    category: Category | None = None
    priority: Priority | None = None
    vip: bool = False
    tags: tuple[str, ...] = ()
    team: str | None = None
    result: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    fingerprint: str = ""
    started_at: datetime | None = None
    completed_at: datetime | None = None
    excused_attempts: int = 0
    """Attempts that do not count against the limit: those before a person asked for another, and those in an outage."""
