"""The wake-up message: ``{v, ticket_id, reason, enqueued_at}``. The database knows the rest; this only says "look"."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson

from ticketflow.domain import correlation
from ticketflow.domain.errors import Poison
from ticketflow.domain.routing import Lane

MESSAGE_VERSION = 1
MAX_MESSAGE_BYTES = 16_384
REQUEST_ID_HEADER = "x-request-id"
TRACEPARENT_HEADER = "traceparent"


@dataclass(frozen=True, slots=True)
class Message:
    """A message on its way out."""

    lane: Lane
    ticket_id: UUID
    reason: str
    enqueued_at: datetime
    headers: Mapping[str, str] = field(default_factory=dict)

    def body(self) -> bytes:
        return orjson.dumps(
            {
                "v": MESSAGE_VERSION,
                "ticket_id": str(self.ticket_id),
                "reason": self.reason,
                "enqueued_at": self.enqueued_at.isoformat(),
            }
        )


@dataclass(frozen=True, slots=True)
class WakeUpMessage:
    """A message as understood on arrival."""

    ticket_id: UUID
    reason: str
    request_id: str | None = None
    traceparent: str | None = None


def parse(body: bytes, headers: Mapping[str, str]) -> WakeUpMessage:
    """Read a message. Raises ``Poison`` that says what is wrong with it; headers of no use are passed over."""
    if len(body) > MAX_MESSAGE_BYTES:
        raise Poison(f"the message has {len(body)} bytes, more than {MAX_MESSAGE_BYTES}")
    try:
        fields: Any = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Poison("the message is not JSON") from error
    if not isinstance(fields, dict):
        raise Poison("the message is not a JSON object")
    if fields.get("v") != MESSAGE_VERSION:
        raise Poison(f"the message has version {str(fields.get('v'))[:40]!r}, known is {MESSAGE_VERSION}")
    try:
        ticket_id = UUID(fields["ticket_id"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Poison("the message has no ticket_id that is a UUID") from error
    return WakeUpMessage(
        ticket_id,
        str(fields.get("reason", "")),
        correlation.request_id(headers.get(REQUEST_ID_HEADER)),
        correlation.traceparent(headers.get(TRACEPARENT_HEADER)),
    )


def readable(body: bytes) -> str:
    """A message's body for a person to look at: text without control characters, cut at 4,000 characters."""
    text = body[:16_000].decode("utf-8", errors="backslashreplace")
    return "".join(character if character.isprintable() or character == "\n" else "\ufffd" for character in text)[:4000]
