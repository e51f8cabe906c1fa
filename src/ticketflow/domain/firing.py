"""What one firing of the lifecycle's net, or one message, adds to a ticket's trail."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ticketflow.domain.conversation import NewMessage
from ticketflow.domain.events import EventType, NewEvent
from ticketflow.domain.lifecycle import Move, Place, after
from ticketflow.domain.roles import PIPELINE, Principal


def fired(
    move: Move,
    place: Place,
    assignee: str | None,
    by: Principal,
    data: Mapping[str, Any] | None = None,
    request_id: str | None = None,
) -> NewEvent:
    """The event of ``move`` fired on a ticket that stands in ``place`` with ``assignee``. ``data`` is kept in it.

    Raises ``NotEnabled``.
    """
    to = after(place, move)
    payload: dict[str, Any] = {"transition": move, "from": place, "to": to}
    if data:
        payload["data"] = dict(data)
    taken_by = _assignee(move, assignee, by, data or {})
    changes: dict[str, Any] = {"lifecycle": to}
    if taken_by != assignee:
        changes["assignee"] = taken_by
    return NewEvent(EventType.LIFECYCLE, by.actor, payload, changes, request_id=request_id)


def _assignee(move: Move, assignee: str | None, by: Principal, data: Mapping[str, Any]) -> str | None:
    """Who has the ticket afterwards: whoever works on it, and nobody while it waits for a supervisor or begins anew."""
    match move:
        case Move.ASSIGN:
            return str(data.get("assignee", by.subject))
        case Move.START_WORK | Move.RESOLVE_ESCALATED:
            return by.subject
        case Move.ESCALATE | Move.REOPEN:
            return None
        case Move.REQUEST_INFO | Move.RESOLVE if assignee in (None, PIPELINE):
            return by.subject
        case _:
            return assignee


def said(message: NewMessage, request_id: str | None = None, assignee: str | None = None) -> NewEvent:
    """The event of a message; its text is kept beside the trail. ``assignee``: who has the ticket by saying it."""
    payload = {"message_id": str(message.id), "kind": message.kind}
    changes = {"assignee": assignee} if assignee is not None else {}
    return NewEvent(EventType.MESSAGE, message.author, payload, changes, request_id=request_id)
