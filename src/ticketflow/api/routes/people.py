"""What people do with a ticket: move it through its lifecycle, and talk about it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Header, Query
from starlette.responses import Response

from ticketflow.api.deps import AccessRules, App, Calling, KnownParameters, Who
from ticketflow.api.docs import answers
from ticketflow.api.fields import IdempotencyKey
from ticketflow.api.models import CustomerTicketOut, TicketOut
from ticketflow.api.render import (
    etag,
    expected_version,
    json_response,
    parse_seq_cursor,
    seq_cursor,
    ticket_json,
    tokens,
)
from ticketflow.api.transition_models import (
    MessageBody,
    MessageList,
    MessageOut,
    TransitionBody,
    TransitionsOut,
    checked,
    data_fields,
)
from ticketflow.domain.errors import NotFound
from ticketflow.domain.lifecycle import NET, Move, after
from ticketflow.domain.visibility import message_for

router = APIRouter(prefix="/tickets/{ticket_id}", tags=["people"], dependencies=[KnownParameters])

IfMatch = Annotated[str | None, Header(alias="If-Match")]


@router.get("/transitions", responses=answers(TransitionsOut, 404, 422, 503))
async def transitions(ticket_id: UUID, app: App, who: Who) -> Response:
    """What the caller may do with the ticket now, what each of it takes, and why the rest is not possible."""
    found = await app.transitions.options(ticket_id, who)
    ticket = found.ticket
    shown = {
        "ticket_id": ticket.id,
        "version": ticket.version,
        "lifecycle": ticket.lifecycle,
        "state": tokens(ticket.lifecycle),
        "enabled": [
            {
                "name": move,
                "to": after(ticket.lifecycle, move),
                "meaning": NET.transitions[move].meaning,
                "data": data_fields(move),
            }
            for move in found.enabled
        ],
        "others": [{"name": move, "reason": reason} for move, reason in found.others.items()],
    }
    if not who.is_customer:
        shown["assignee"] = ticket.assignee
    return json_response(shown, headers=etag(ticket))


@router.post(
    "/transitions/{name}",
    responses=answers(TicketOut | CustomerTicketOut, 400, 403, 404, 409, 412, 413, 415, 422, 429, 503),
)
async def fire(
    ticket_id: UUID,
    name: str,
    app: App,
    access: AccessRules,
    calling: Calling,
    body: TransitionBody | None = None,
    if_match: IfMatch = None,
) -> Response:
    """Move the ticket: assign, start_work, escalate, request_info, customer_reply, resolve, resolve_escalated, close or
    reopen. A 409 lists what the caller can do instead."""
    move = known_move(name)
    access.limits.admit(calling.principal)
    data = checked(move, body.data if body is not None else {})
    ticket = await app.transitions.fire(ticket_id, move, data, calling, expected_version(if_match))
    return json_response(ticket_json(ticket, calling.principal), headers=etag(ticket))


@router.get("/messages", responses=answers(MessageList, 404, 422, 503))
async def messages(
    ticket_id: UUID,
    app: App,
    who: Who,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: Annotated[str | None, Query(max_length=200)] = None,
) -> Response:
    """The conversation, oldest first; it begins with the ticket's own text. Customers see the public part."""
    found = await app.conversation.messages(ticket_id, who, parse_seq_cursor(cursor), limit)
    items = [asdict(message_for(who, message)) for message in found]
    return json_response({"items": items, "next_cursor": seq_cursor(found, limit)})


@router.post(
    "/messages",
    status_code=201,
    responses=answers(None, 400, 403, 404, 409, 412, 413, 415, 422, 429, 503)
    | {201: {"model": MessageOut, "description": "kept; the ETag is the ticket's version after it"}},
)
async def say(
    ticket_id: UUID,
    body: MessageBody,
    app: App,
    access: AccessRules,
    calling: Calling,
    if_match: IfMatch = None,
    idempotency_key: Annotated[IdempotencyKey | None, Header(alias="Idempotency-Key")] = None,
) -> Response:
    """Write a public reply or an internal note. A customer's reply wakes the ticket, and reopens one that was closed.

    It counts towards what a caller may send in a minute as a ticket does.
    """
    access.limits.admit(calling.principal)
    expected = expected_version(if_match)
    message, ticket = await app.conversation.say(ticket_id, body.kind, body.body, calling, expected, idempotency_key)
    return json_response(asdict(message_for(calling.principal, message)), 201, etag(ticket))


def known_move(name: str) -> Move:
    """Raises ``NotFound`` for a transition that the net does not have."""
    try:
        return Move(name)
    except ValueError:
        raise NotFound(f"there is no such transition; there are {', '.join(Move)}") from None
