"""The trail: what an event is, and how a ticket follows from its events.

The ticket row is the fold of its events' ``changes``. The database folds while it commits; ``fold`` below does the
same from the trail alone, so that any past version can be rebuilt and the two can be compared.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from ticketflow.domain.lifecycle import Place
from ticketflow.domain.tickets import TERMINAL, Status


class EventType(StrEnum):
    CREATED = "created"
    STATUS_CHANGE = "status_change"
    STEP_COMPLETE = "step_complete"
    ERROR = "error"
    RETRY = "retry"
    PAUSED = "paused"
    RESUMED = "resumed"
    CANCELLED = "cancelled"
    REPLAYED = "replayed"
    LIFECYCLE = "lifecycle"
    MESSAGE = "message"


IMMUTABLE_COLUMNS = frozenset(
    {"customer_id", "customer_email", "subject", "body", "channel", "metadata", "fingerprint", "vip"}
)
"""Set by the ``created`` event and by no other."""

MUTABLE_COLUMNS = frozenset(
    {
        "status",
        "waiting_for",
        "category",
        "priority",
        "tags",
        "team",
        "lifecycle",
        "assignee",
        "result",
        "error",
        "attempt",
        "excused_attempts",
        "flow_version",
    }
)
"""Any event may set these."""

_SET_AT_BIRTH = MUTABLE_COLUMNS | IMMUTABLE_COLUMNS

DERIVED_COLUMNS = frozenset({"id", "version", "created_at", "updated_at", "started_at", "completed_at"})
"""Follow from the events' own position and time; no event may set them."""


@dataclass(frozen=True, slots=True)
class NewEvent:
    """An event about to be appended. ``changes`` holds the ticket columns that it sets, as JSON values; ``actor`` is a
    ``Principal.actor``, ``pipeline`` or ``system``."""

    event_type: EventType
    actor: str
    payload: Mapping[str, Any] = field(default_factory=dict)
    changes: Mapping[str, Any] = field(default_factory=dict)
    step_name: str | None = None
    request_id: str | None = None

    def __post_init__(self) -> None:
        allowed = _SET_AT_BIRTH if self.event_type is EventType.CREATED else MUTABLE_COLUMNS
        if unknown := self.changes.keys() - allowed:
            raise ValueError(f"a {self.event_type} event cannot set {sorted(unknown)}")


@dataclass(frozen=True, slots=True)
class Event:
    """An event as stored: ``seq`` counts from 1 without gaps within its ticket."""

    id: int
    ticket_id: UUID
    seq: int
    event_type: str
    step_name: str | None
    actor: str
    payload: dict[str, Any]
    changes: dict[str, Any]
    request_id: str | None
    created_at: datetime


def fold(events: Iterable[Event]) -> dict[str, Any]:
    """The ticket's columns after ``events`` (in ``seq`` order), as JSON values plus aware datetimes.

    An empty trail gives an empty dictionary. ``started_at`` is the time of the first ``processing``; ``completed_at``
    that of the latest terminal status, and empty again once a retry leaves it.
    """
    state: dict[str, Any] = {}
    for event in events:
        if not state:
            state = {
                "id": str(event.ticket_id),
                "created_at": event.created_at,
                "started_at": None,
                "completed_at": None,
                **dict.fromkeys(MUTABLE_COLUMNS | IMMUTABLE_COLUMNS),
                "lifecycle": Place.NEW,
            }
        state.update(event.changes)
        state["version"] = event.seq
        state["updated_at"] = event.created_at
        status = event.changes.get("status")
        if status == Status.PROCESSING and state["started_at"] is None:
            state["started_at"] = event.created_at
        if status is not None:
            state["completed_at"] = event.created_at if status in TERMINAL else None
    return state
