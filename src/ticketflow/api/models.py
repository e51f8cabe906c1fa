"""The shapes of the HTTP API: what is accepted, and what the OpenAPI document promises in return."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import orjson
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from ticketflow.domain.tickets import Category, Channel, Priority, Status, WaitingFor

MAX_METADATA_BYTES = 16_384
MAX_BATCH = 1000
_EMAIL = r"[^@\s\x00-\x1f]{1,64}@[^@\s\x00-\x1f]{1,255}"


def _storable(text: str) -> str:
    if "\x00" in text:
        raise ValueError("must not contain NUL characters")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("must not contain lone surrogates") from None
    return text


def _filled(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be blank")
    return text


def _email(text: str) -> str:
    if not re.fullmatch(_EMAIL, text):
        raise ValueError("must be an e-mail address")
    return text


def _storable_tree(value: dict[str, Any]) -> dict[str, Any]:
    _check_tree(value, depth=8)
    try:
        size = len(orjson.dumps(value))
    except TypeError:
        raise ValueError("must be plain JSON with numbers of at most 64 bits") from None
    if size > MAX_METADATA_BYTES:
        raise ValueError(f"must not take more than {MAX_METADATA_BYTES} bytes")
    return value


def _check_tree(value: Any, depth: int) -> None:
    if depth == 0:
        raise ValueError("must not be nested deeper than 8 levels")
    if isinstance(value, str):
        _storable(value)
    elif isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        raise ValueError("must not contain NaN or infinite numbers")
    elif isinstance(value, dict):
        for key, item in value.items():
            _storable(key)
            _check_tree(item, depth - 1)
    elif isinstance(value, list):
        for item in value:
            _check_tree(item, depth - 1)


_Storable = AfterValidator(_storable)
_Filled = AfterValidator(_filled)

Subject = Annotated[str, StringConstraints(min_length=1, max_length=500, strict=True), _Storable, _Filled]
Body = Annotated[str, StringConstraints(min_length=1, max_length=20_000, strict=True), _Storable, _Filled]
CustomerId = Annotated[str, StringConstraints(min_length=1, max_length=100, strict=True), _Storable, _Filled]
Tag = Annotated[str, StringConstraints(min_length=1, max_length=50, strict=True), _Storable, _Filled]
TeamName = Annotated[str, StringConstraints(min_length=1, max_length=100), _Storable]
SearchWords = Annotated[str, StringConstraints(min_length=1, max_length=200), _Storable]
IdempotencyKey = Annotated[str, StringConstraints(min_length=1, max_length=200, strict=True), _Storable, _Filled]
Email = Annotated[
    str,
    StringConstraints(max_length=254),
    _Storable,
    AfterValidator(_email),
    # For the document alone: as a constraint, its refusal would be the pattern itself.
    Field(json_schema_extra={"pattern": f"^{_EMAIL}$"}),
]
Metadata = Annotated[dict[str, Any], AfterValidator(_storable_tree)]


LetterKind = Literal["ticket", "message"]
LetterReason = Annotated[str, StringConstraints(min_length=1, max_length=100), _Storable]


class RedriveBody(BaseModel):
    """Which dead letters to redrive, the oldest first: of a kind, of a reason, and at most how many."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"reason": "model_timeout", "limit": 100}]}
    )

    kind: LetterKind | None = None
    reason: LetterReason | None = None
    limit: Annotated[int, Field(ge=1, le=1000, strict=True)] = 100


class NewTicketBody(BaseModel):
    """A ticket as a customer, a form or another program sends it."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "subject": "My Badger lock ignores its keypad",
                    "body": "Since this morning the keypad stays dark. New batteries did not help. What now?",
                    "customer_id": "cus_mirela",
                    "customer_email": "mirela@example.com",
                    "channel": "web",
                }
            ]
        },
    )

    subject: Subject
    body: Body
    customer_id: CustomerId
    customer_email: Email | None = None
    priority: Priority | None = Field(None, description="stands when given; otherwise the pipeline judges")
    category: Category | None = Field(None, description="stands when given; otherwise the pipeline judges")
    vip: Annotated[bool, Field(strict=True)] = False
    tags: Annotated[list[Tag], Field(max_length=20)] = []
    channel: Channel = Channel.API
    metadata: Metadata = {}


class BatchItem(NewTicketBody):
    idempotency_key: IdempotencyKey | None = Field(
        None, description="what the Idempotency-Key header is for one ticket"
    )


class BatchBody(BaseModel):
    model_config = ConfigDict(extra="forbid")

    tickets: Annotated[list[BatchItem], Field(min_length=1, max_length=MAX_BATCH)]


class TakenIn(BaseModel):
    ticket_id: UUID
    status: Status


class FieldError(BaseModel):
    field: str
    message: str


class Problem(BaseModel):
    """RFC 9457."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str
    errors: list[FieldError] | None = None


class BatchItemResult(BaseModel):
    index: int
    ticket_id: UUID | None = None
    status: str
    created: bool = False
    error: str | None = None


class BatchResult(BaseModel):
    items: list[BatchItemResult]


class UsageOut(BaseModel):
    calls: int
    input_tokens: int
    output_tokens: int
    cost_usd: float


class SourceOut(BaseModel):
    article_id: str
    title: str


class ResultOut(BaseModel):
    category: Category
    entities: dict[str, Any]
    reply: str
    sources: list[SourceOut]
    review: dict[str, Any] | None
    disposition: str
    model: str
    usage: UsageOut


class TicketOut(BaseModel):
    """A ticket and, once it has one, its result."""

    id: UUID
    customer_id: str
    customer_email: str | None
    subject: str
    body: str
    channel: Channel
    status: Status
    waiting_for: WaitingFor | None
    category: Category | None
    priority: Priority | None
    vip: bool
    tags: list[str]
    team: str | None
    result: ResultOut | None
    error: dict[str, Any] | None
    metadata: dict[str, Any]
    version: int
    attempt: int
    excused_attempts: int = Field(
        description="attempts that do not count against the limit: before a person asked for another, or in an outage"
    )
    flow_version: str
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    updated_at: datetime


Reason = Annotated[str, StringConstraints(min_length=1, max_length=500, strict=True), _Storable, _Filled]


class MoveBody(BaseModel):
    """Why; it stands in the trail."""

    model_config = ConfigDict(extra="forbid")

    reason: Reason | None = None


class ReplayBody(MoveBody):
    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"from_step": "draft"}]})

    from_step: Annotated[str, StringConstraints(min_length=1, max_length=50, strict=True), _Storable]


class TicketList(BaseModel):
    items: list[TicketOut]
    next_cursor: str | None


class EventOut(BaseModel):
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


class EventList(BaseModel):
    items: list[EventOut]


class WorkflowOut(BaseModel):
    ticket_id: UUID
    status: Status
    attempt: int
    flow_version: str
    route: dict[str, Any] | None
    steps: list[dict[str, Any]]
    current_step: str | None
    waiting_for: WaitingFor | None
    woken_by: dict[str, Any]
    totals: dict[str, Any]


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
