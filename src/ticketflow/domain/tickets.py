"""A ticket's vocabulary and the value that every other room passes around."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from ticketflow.domain.lifecycle import Place
from ticketflow.domain.roles import PIPELINE


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
    CUSTOMER = "customer"
    """The customer, whom the pipeline has asked something."""


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
    """How a run of the pipeline ended."""

    ANSWERED = "answered"
    ESCALATED = "escalated"
    """Handed to a team."""
    ASKED = "asked"
    """With a question to the customer."""
    SUGGESTED = "suggested"
    """A person had taken the ticket on: what the pipeline would have said is for them, and went to nobody else."""


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
    lifecycle: Place = Place.NEW
    assignee: str | None = None
    result: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    fingerprint: str = ""
    started_at: datetime | None = None
    completed_at: datetime | None = None
    excused_attempts: int = 0
    """Attempts that do not count against the limit: those before a person asked for another, and those in an outage."""

    @property
    def with_pipeline(self) -> bool:
        """Whether the pipeline is the one who works on it; whatever it has to say is otherwise only a suggestion."""
        return self.lifecycle in AT_WORK and self.assignee == PIPELINE

    @property
    def listens(self) -> bool:
        """Whether the pipeline goes on with what the customer says next."""
        return self.with_pipeline or self.waiting_for is WaitingFor.CUSTOMER

    @property
    def at_rest(self) -> bool:
        """Whether the pipeline has nothing to do until somebody comes."""
        return self.status in TERMINAL or self.waiting_for is WaitingFor.CUSTOMER


AT_WORK = frozenset({Place.IN_PROGRESS, Place.PENDING_CUSTOMER})
"""Where a ticket belongs to whoever is its assignee."""
