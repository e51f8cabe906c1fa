"""What a customer may know of a ticket: the answer and how far it is, and nothing of how it comes about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ticketflow.domain.conversation import PUBLIC, Message
from ticketflow.domain.events import Event, EventType
from ticketflow.domain.roles import Principal
from ticketflow.domain.tickets import Disposition

CUSTOMER_FIELDS = (
    "id",
    "customer_id",
    "customer_email",
    "subject",
    "body",
    "channel",
    "status",
    "waiting_for",
    "lifecycle",
    "category",
    "priority",
    "result",
    "version",
    "created_at",
    "started_at",
    "completed_at",
    "updated_at",
)
_RESULT_FIELDS = ("category", "reply", "sources", "disposition")
_PAYLOAD_FIELDS: Mapping[str, tuple[str, ...]] = {
    EventType.CREATED: ("channel",),
    EventType.LIFECYCLE: ("transition", "from", "to"),
    EventType.MESSAGE: ("message_id", "kind"),
    EventType.CANCELLED: (),
}
"""The events that a customer sees, and what of their payload."""


def ticket_for(who: Principal, fields: Mapping[str, Any]) -> dict[str, Any]:
    """A ticket's columns as the caller may see them."""
    if not who.is_customer:
        return dict(fields)
    shown = {name: fields[name] for name in CUSTOMER_FIELDS}
    result = fields["result"]
    suggested = result is not None and result["disposition"] == Disposition.SUGGESTED
    shown["result"] = None if result is None or suggested else {name: result[name] for name in _RESULT_FIELDS}
    return shown


def event_for(who: Principal, event: Event) -> Event | None:
    """An event as the caller may see it; None where it is not for them."""
    if not who.is_customer:
        return event
    if event.event_type not in _PAYLOAD_FIELDS:
        return None
    if event.event_type == EventType.MESSAGE and event.payload.get("kind") not in PUBLIC:
        return None
    known = set(CUSTOMER_FIELDS) - {"result"}
    return replace(
        event,
        step_name=None,
        actor=_actor_for(who, event.actor),
        payload={name: event.payload[name] for name in _PAYLOAD_FIELDS[event.event_type] if name in event.payload},
        changes={name: value for name, value in event.changes.items() if name in known},
        request_id=None,
    )


def message_for(who: Principal, message: Message) -> Message:
    """A message with its author as the caller may know them."""
    return replace(message, author=_actor_for(who, message.author)) if who.is_customer else message


def _actor_for(who: Principal, actor: str) -> str:
    """Of others a customer learns their role, not their name."""
    return actor if actor == who.actor else actor.partition(":")[0]
