"""The shapes of tickets in the HTTP API: what is accepted, and what the OpenAPI document promises in return."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from ticketflow.api.fields import (
    Body,
    CustomerId,
    Email,
    IdempotencyKey,
    Metadata,
    PersonName,
    Reason,
    StepField,
    Subject,
    Tag,
)
from ticketflow.domain.lifecycle import Place
from ticketflow.domain.tickets import Category, Channel, Priority, Status, WaitingFor

MAX_BATCH = 1000


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
    assignee: PersonName | None = Field(
        None,
        description="who takes it in to keep it, such as an agent on the telephone; the pipeline then only suggests",
    )


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
    lifecycle: Place
    assignee: str | None
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


class CustomerResultOut(BaseModel):
    category: Category
    reply: str
    sources: list[SourceOut]
    disposition: str


class CustomerTicketOut(BaseModel):
    """A ticket as its customer sees it."""

    id: UUID
    customer_id: str
    customer_email: str | None
    subject: str
    body: str
    channel: Channel
    status: Status
    waiting_for: WaitingFor | None
    lifecycle: Place
    category: Category | None
    priority: Priority | None
    result: CustomerResultOut | None
    version: int
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    updated_at: datetime


class MoveBody(BaseModel):
    """Why; it stands in the trail."""

    model_config = ConfigDict(extra="forbid")

    reason: Reason | None = None


class ReplayBody(MoveBody):
    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"from_step": "draft"}]})

    from_step: StepField


class TicketList(BaseModel):
    items: list[TicketOut] | list[CustomerTicketOut]
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
