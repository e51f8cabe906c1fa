"""The same tickets for clients of event-sourced Petri-net back ends."""

from __future__ import annotations

from uuid import UUID

from fastapi import APIRouter
from starlette.responses import Response

from ticketflow.api.deps import AccessRules, App, Calling, KnownParameters, Who
from ticketflow.api.docs import answers
from ticketflow.api.render import etag, json_response, tokens
from ticketflow.api.routes.people import known_move
from ticketflow.api.routes.tickets import new_ticket
from ticketflow.api.transition_models import AggregateBody, AggregateOut, SupportTicketBody, checked
from ticketflow.domain.lifecycle import enabled, marking
from ticketflow.domain.roles import Principal
from ticketflow.domain.tickets import Ticket

router = APIRouter(prefix="/api", tags=["aggregates"], dependencies=[KnownParameters])


@router.post(
    "/support-ticket",
    status_code=201,
    responses=answers(AggregateOut, 400, 403, 413, 415, 422, 429, 503)
    | {201: {"model": AggregateOut, "description": "taken in; 200 when the same ticket was taken in before"}},
)
async def take_in(body: SupportTicketBody, app: App, access: AccessRules, calling: Calling) -> Response:
    """Take in a ticket, as ``POST /tickets`` does."""
    access.limits.admit(calling.principal)
    taken = await app.intake.take_in(new_ticket(body, None), calling)
    ticket = await app.inspect.ticket(taken.ticket_id, calling.principal)
    return _aggregate(ticket, calling.principal, 201 if taken.created else 200)


@router.get("/support-ticket/{ticket_id}", responses=answers(AggregateOut, 404, 422, 503))
async def aggregate(ticket_id: UUID, app: App, who: Who) -> Response:
    """Where the ticket stands in its net, and what the caller may fire."""
    return _aggregate(await app.inspect.ticket(ticket_id, who), who)


@router.post("/{transition}", responses=answers(AggregateOut, 400, 403, 404, 409, 413, 415, 422, 429, 503))
async def fire(transition: str, body: AggregateBody, app: App, access: AccessRules, calling: Calling) -> Response:
    """Fire a transition, as ``POST /tickets/{id}/transitions/{name}`` does."""
    move = known_move(transition)
    access.limits.admit(calling.principal)
    ticket = await app.transitions.fire(body.aggregate_id, move, checked(move, body.data), calling)
    return _aggregate(ticket, calling.principal)


def _aggregate(ticket: Ticket, who: Principal, status: int = 200) -> Response:
    shown = {
        "success": True,
        "aggregate_id": ticket.id,
        "version": ticket.version,
        "state": tokens(ticket.lifecycle),
        "enabled_transitions": enabled(marking(ticket.lifecycle), [who.role]),
    }
    return json_response(shown, status, etag(ticket))
