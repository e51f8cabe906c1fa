"""Between the database's JSON and the domain's values."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, cast
from uuid import UUID

import orjson

from ticketflow.domain.change import (
    Applied,
    Change,
    Create,
    ExistingTicket,
    ExpectVersion,
    HoldsLease,
    Outcome,
    Refusal,
    Refused,
)
from ticketflow.domain.conversation import Message, MessageKind
from ticketflow.domain.events import Event, NewEvent
from ticketflow.domain.lifecycle import Place
from ticketflow.domain.roles import PIPELINE
from ticketflow.domain.tickets import Category, Channel, Priority, Status, Ticket, WaitingFor

Json = dict[str, Any]


def decoded(answer: str | bytes) -> Any:
    """Raises ``ValueError`` for what is no JSON."""
    try:
        return orjson.loads(answer)
    except orjson.JSONDecodeError:
        pass
    try:
        # Numbers have no bounds in jsonb; one that is too large for orjson must not make the rows beside it unreadable.
        return json.loads(answer)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def milliseconds(duration: timedelta) -> float:
    return duration.total_seconds() * 1000


def event_json(event: NewEvent) -> Json:
    return {
        "event_type": event.event_type,
        "actor": event.actor,
        "step_name": event.step_name,
        "request_id": event.request_id,
        "payload": event.payload,
        "changes": event.changes,
    }


def change_json(change: Change) -> Json:
    """A Change in the shape that ``ticketflow_commit`` takes; absent parts are left out."""
    body: Json = {
        "id": str(change.id),
        "ticket_id": str(change.ticket_id),
        "guard": _guard_json(change),
        "events": [event_json(event) for event in change.events],
    }
    if change.wake_ups:
        body["wake_ups"] = [
            {
                "lane": wake_up.lane,
                "reason": wake_up.reason,
                "headers": dict(wake_up.headers),
                **({"delay_ms": milliseconds(wake_up.delay)} if wake_up.delay else {}),
            }
            for wake_up in change.wake_ups
        ]
    if change.timers:
        body["timers"] = [{"kind": timer.kind, "due_in_ms": milliseconds(timer.due_in)} for timer in change.timers]
    if change.cancel_timers:
        body["cancel_timers"] = list(change.cancel_timers)
    if change.checkpoint is not None:
        row = change.checkpoint
        body["checkpoint"] = {
            "thread_id": row.thread_id,
            "checkpoint_ns": row.checkpoint_ns,
            "checkpoint_id": row.checkpoint_id,
            "parent_id": row.parent_id,
            "checkpoint": row.checkpoint,
            "metadata": row.metadata,
            "channels": row.channels,
        }
    if change.dead_letter is not None:
        letter = change.dead_letter
        body["dead_letter"] = {
            "reason": letter.reason,
            "detail": letter.detail,
            "payload": dict(letter.payload),
        }
    if change.redrive is not None:
        body["redrive"] = change.redrive
    if change.revoke_lease:
        body["revoke_lease"] = True
    if change.restart is not None:
        body["restart"] = {"from": change.restart.checkpoint_id, "id": str(change.restart.id)}
    if change.message is not None:
        said = change.message
        body["message"] = {"id": str(said.id), "kind": said.kind, "author": said.author, "body": said.body}
    return body


def _guard_json(change: Change) -> Json:
    match change.guard:
        case Create(window_key=None):
            return {"kind": "create"}
        case Create(window_key=key, window=window):
            assert window is not None
            return {"kind": "create", "window_key": str(key), "window_ms": milliseconds(window)}
        case ExpectVersion(version=version):
            return {"kind": "version", "version": version}
        case HoldsLease(token=token, release=release, status=status, with_pipeline=with_pipeline):
            guard: Json = {"kind": "lease", "token": str(token), "release": release}
            if status is not None:
                guard["status"] = status
            if with_pipeline:
                guard |= {"lifecycle": Place.IN_PROGRESS, "assignee": PIPELINE}
            return guard


def outcome_from(row: Mapping[str, Any]) -> Outcome:
    if row["status"] == "applied":
        return Applied(row["version"], row["repeated"])
    existing = row.get("existing")
    return Refused(
        Refusal(row["reason"]),
        row.get("version"),
        existing=existing
        and ExistingTicket(
            UUID(existing["id"]),
            existing["status"],
            existing["fingerprint"],
            datetime.fromisoformat(existing["created_at"]),
        ),
        status=Status(row["ticket_status"]) if row.get("ticket_status") else None,
    )


def ticket_from(row: Mapping[str, Any]) -> Ticket:
    def moment(name: str) -> datetime | None:
        return datetime.fromisoformat(row[name]) if row[name] else None

    return Ticket(
        id=UUID(row["id"]),
        customer_id=row["customer_id"],
        customer_email=row["customer_email"],
        subject=row["subject"],
        body=row["body"],
        channel=Channel(row["channel"]),
        status=Status(row["status"]),
        waiting_for=WaitingFor(row["waiting_for"]) if row["waiting_for"] else None,
        category=Category(row["category"]) if row["category"] else None,
        priority=Priority(row["priority"]) if row["priority"] else None,
        vip=row["vip"],
        tags=tuple(row["tags"]),
        team=row["team"],
        lifecycle=Place(row["lifecycle"]),
        assignee=row["assignee"],
        result=row["result"],
        error=row["error"],
        metadata=row["metadata"],
        fingerprint=row["fingerprint"],
        version=row["version"],
        attempt=row["attempt"],
        excused_attempts=row["excused_attempts"],
        flow_version=row["flow_version"],
        created_at=cast(datetime, moment("created_at")),
        started_at=moment("started_at"),
        completed_at=moment("completed_at"),
        updated_at=cast(datetime, moment("updated_at")),
    )


def event_from(row: Mapping[str, Any]) -> Event:
    return Event(
        id=row["id"],
        ticket_id=UUID(row["ticket_id"]),
        seq=row["seq"],
        event_type=row["event_type"],
        step_name=row["step_name"],
        actor=row["actor"],
        payload=row["payload"],
        changes=row["changes"],
        request_id=row["request_id"],
        created_at=datetime.fromisoformat(row["created_at"]),
    )


def message_from(row: Mapping[str, Any]) -> Message:
    return Message(
        id=UUID(row["id"]),
        ticket_id=UUID(row["ticket_id"]),
        seq=row["seq"],
        kind=MessageKind(row["kind"]),
        author=row["author"],
        body=row["body"],
        created_at=datetime.fromisoformat(row["created_at"]),
    )
