"""The shapes of transitions and messages in the HTTP API."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model, model_validator

from ticketflow.api.fields import Body, PersonName, Reason, TeamName
from ticketflow.api.models import NewTicketBody
from ticketflow.api.problems import field_problems
from ticketflow.domain.conversation import MessageKind
from ticketflow.domain.errors import Invalid
from ticketflow.domain.lifecycle import Move, Place

_DATA: Mapping[Move, dict[str, Any]] = {
    Move.ASSIGN: {"assignee": (PersonName, "whose it is; left out: yours")},
    Move.START_WORK: {},
    Move.ESCALATE: {"team": (TeamName, "whom it is for")},
    Move.REQUEST_INFO: {"question": (Body, "sent to the customer")},
    Move.CUSTOMER_REPLY: {"message": (Body, "the customer's words")},
    Move.RESOLVE: {"resolution": (Reason, "what solved it, for the trail"), "reply": (Body, "sent to the customer")},
    Move.RESOLVE_ESCALATED: {
        "resolution": (Reason, "what solved it, for the trail"),
        "reply": (Body, "sent to the customer"),
    },
    Move.CLOSE: {},
    Move.REOPEN: {"message": (Body, "the customer's words")},
}


def _data_model(move: Move, fields: Mapping[str, Any]) -> type[BaseModel]:
    described: dict[str, Any] = {
        name: (kind | None, Field(None, description=meaning))
        for name, (kind, meaning) in {**fields, "reason": (Reason, "why; it stands in the trail")}.items()
    }
    name = "".join(part.title() for part in move.split("_")) + "Data"
    return create_model(name, __config__=ConfigDict(extra="forbid"), **described)


DATA_MODELS: Mapping[Move, type[BaseModel]] = {move: _data_model(move, _DATA[move]) for move in Move}
"""What each transition takes as ``data``; every field may be left out."""


def checked(move: Move, data: Mapping[str, Any]) -> dict[str, str]:
    """The data of one transition. Raises ``Invalid`` naming each field as ``data.name``."""
    try:
        model = DATA_MODELS[move].model_validate(dict(data))
    except ValidationError as error:
        known = f"is not known here; {move} takes {', '.join(DATA_MODELS[move].model_fields)}"
        found = [
            {**each, "loc": ("body", "data", *each["loc"])}
            | ({"msg": known} if each["type"] == "extra_forbidden" else {})
            for each in error.errors()
        ]
        problems = field_problems(found)
        raise Invalid(f"{problems[0].field}: {problems[0].message}", problems) from None
    return model.model_dump(exclude_none=True)


class TransitionBody(BaseModel):
    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"data": {"reason": "needs someone who knows the old locks"}}]}
    )

    data: dict[str, Any] = {}


class OtherTransition(BaseModel):
    name: Move
    reason: str = Field(description="why it is not possible")


class EnabledTransition(BaseModel):
    name: Move
    to: Place
    meaning: str
    data: dict[str, str] = Field(description="the fields that it takes, and what they mean; all may be left out")


class TransitionsOut(BaseModel):
    ticket_id: UUID
    version: int
    lifecycle: Place
    assignee: str | None = None
    state: dict[Place, int] = Field(description="tokens by place")
    enabled: list[EnabledTransition]
    others: list[OtherTransition]


def data_fields(move: Move) -> dict[str, str]:
    return {name: field.description or "" for name, field in DATA_MODELS[move].model_fields.items()}


class MessageBody(BaseModel):
    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"kind": "reply", "body": "The keypad still stays dark, sorry."}]},
    )

    kind: MessageKind = Field(MessageKind.REPLY, description="a reply is public, a note is for those who work on it")
    body: Body

    @model_validator(mode="after")
    def _written_by_people(self) -> MessageBody:
        if self.kind is MessageKind.SUGGESTION:
            raise ValueError("kind: suggestions are the pipeline's own")
        return self


class MessageOut(BaseModel):
    id: UUID
    ticket_id: UUID
    seq: int
    kind: MessageKind
    author: str
    body: str
    created_at: datetime


class MessageList(BaseModel):
    items: list[MessageOut]
    next_cursor: str | None


class SupportTicketBody(NewTicketBody):
    """A ticket as ``POST /tickets`` takes it, bare or as ``data``."""

    @model_validator(mode="before")
    @classmethod
    def _unwrapped(cls, given: Any) -> Any:
        return given["data"] if isinstance(given, dict) and given.keys() == {"data"} else given


class AggregateBody(BaseModel):
    model_config = ConfigDict(extra="forbid")

    aggregate_id: UUID
    data: dict[str, Any] = {}


class AggregateOut(BaseModel):
    success: bool
    aggregate_id: UUID
    version: int
    state: Annotated[dict[Place, int], Field(description="tokens by place")]
    enabled_transitions: list[Move]
