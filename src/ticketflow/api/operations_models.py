"""The shapes of health, statistics and dead letters in the HTTP API."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from ticketflow.api.fields import LetterKind, LetterReason
from ticketflow.domain.tickets import Status


class RedriveBody(BaseModel):
    """Which dead letters to redrive, the oldest first: of a kind, of a reason, and at most how many."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"reason": "model_timeout", "limit": 100}]}
    )

    kind: LetterKind | None = None
    reason: LetterReason | None = None
    limit: Annotated[int, Field(ge=1, le=1000, strict=True)] = 100


class HealthOut(BaseModel):
    status: Literal["ok"]


class ReadyOut(BaseModel):
    """``checks``: ``ok`` or an error code for each part."""

    status: Literal["ready"]
    checks: dict[str, str]


class TokensOut(BaseModel):
    input: int
    output: int


class StatsOut(BaseModel):
    """Over all tickets there are, and over those completed within the last hour; times in seconds."""

    total: int
    by_status: dict[Status, int]
    by_category: dict[str, int]
    by_disposition: dict[str, int]
    completed_last_hour: int
    median_seconds_last_hour: float | None
    p95_seconds_last_hour: float | None
    tokens: TokensOut
    cost_usd: float
    dead_letters: int


class DeadLetterOut(BaseModel):
    id: UUID
    kind: str
    ticket_id: UUID | None
    reason: str
    detail: str
    payload: dict[str, Any]
    created_at: datetime
    redriven_at: datetime | None
    redriven_by: str | None


class HappenedOut(BaseModel):
    """`code` is an error's, or the reason of a status or a retry."""

    seq: int
    created_at: datetime
    event_type: str
    status: Status | None
    attempt: int
    step: str | None
    code: str | None
    message: str | None
    actor: str
    request_id: str | None


class DeadLetterStoryOut(DeadLetterOut):
    """A dead letter with the request that redrove it, and its ticket's history, oldest first."""

    redriven_request_id: str | None
    history: list[HappenedOut]


class RedrivenOut(BaseModel):
    """`items` are the ids of the redriven letters; `remaining` are still open of those that were asked for."""

    redriven: int
    skipped: int
    remaining: int
    items: list[UUID]


class DeadLetterList(BaseModel):
    items: list[DeadLetterOut]
    next_cursor: str | None
