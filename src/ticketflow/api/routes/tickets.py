"""Tickets: taken in, listed, read."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Header, Query
from pydantic import AwareDatetime
from starlette.responses import Response

from ticketflow.api.deps import AccessRules, App, Calling, KnownParameters, Who, at_least
from ticketflow.api.docs import answers
from ticketflow.api.fields import CustomerId, IdempotencyKey, PersonName, SearchWords, Tag, TeamName
from ticketflow.api.models import (
    BatchBody,
    BatchResult,
    CustomerTicketOut,
    EventList,
    NewTicketBody,
    TakenIn,
    TicketList,
    TicketOut,
    WorkflowOut,
)
from ticketflow.api.render import cursor_after, etag, json_response, parse_cursor, ticket_json
from ticketflow.domain.errors import FieldProblem, Invalid, beyond_role
from ticketflow.domain.lifecycle import Place
from ticketflow.domain.roles import Principal, Role
from ticketflow.domain.tickets import Category, Channel, Priority, Status
from ticketflow.services.intake import NewTicket, Taken

router = APIRouter(prefix="/tickets", tags=["tickets"], dependencies=[KnownParameters])


@router.post(
    "",
    status_code=201,
    responses=answers(TakenIn, 400, 413, 415, 422, 429, 503)
    | {201: {"model": TakenIn, "description": "taken in; 200 when the same ticket was taken in before"}},
)
async def take_in(
    body: NewTicketBody,
    app: App,
    access: AccessRules,
    calling: Calling,
    idempotency_key: Annotated[IdempotencyKey | None, Header(alias="Idempotency-Key")] = None,
) -> Response:
    """Take in a ticket. It is stored before this answers, and the same request sent again is the same ticket.

    A customer sends their own only: `customer_id` is the subject of their token.
    """
    access.limits.admit(calling.principal)
    taken = await app.intake.take_in(new_ticket(body, idempotency_key), calling)
    return json_response(
        {"ticket_id": taken.ticket_id, "status": taken.status},
        201 if taken.created else 200,
        {"Location": f"/tickets/{taken.ticket_id}"},
    )


@router.post(
    "/batch",
    responses=answers(BatchResult, 400, 413, 415, 422, 429, 503),
    dependencies=[at_least(Role.AGENT)],
)
async def take_in_batch(body: BatchBody, app: App, access: AccessRules, calling: Calling) -> Response:
    """Take in up to 1,000 tickets in one round trip, each on its own: one that is refused does not hurt the others."""
    access.limits.admit(calling.principal, len(body.tickets))
    news = [new_ticket(item, item.idempotency_key) for item in body.tickets]
    results = await app.intake.take_in_many(news, calling)
    return json_response({"items": [_batch_item(index, result) for index, result in enumerate(results)]})


def _batch_item(index: int, result: Taken | Invalid) -> dict[str, Any]:
    if isinstance(result, Taken):
        return {
            "index": index,
            "ticket_id": result.ticket_id,
            "status": result.status,
            "created": result.created,
            "error": None,
        }
    return {"index": index, "ticket_id": None, "status": "rejected", "created": False, "error": str(result)}


@router.get("", responses=answers(TicketList, 422, 503))
async def list_tickets(
    app: App,
    who: Who,
    status: Annotated[list[Status] | None, Query()] = None,
    category: Annotated[list[Category] | None, Query()] = None,
    priority: Annotated[list[Priority] | None, Query()] = None,
    lifecycle: Annotated[list[Place] | None, Query()] = None,
    team: Annotated[TeamName | None, Query()] = None,
    assignee: Annotated[PersonName | None, Query()] = None,
    customer_id: Annotated[CustomerId | None, Query()] = None,
    channel: Annotated[list[Channel] | None, Query()] = None,
    tag: Annotated[Tag | None, Query()] = None,
    q: Annotated[SearchWords | None, Query(description="words in subject or body")] = None,
    created_after: AwareDatetime | None = None,
    created_before: AwareDatetime | None = None,
    sort: Literal["created_at", "-created_at"] = "-created_at",
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: Annotated[str | None, Query(max_length=200)] = None,
) -> Response:
    """A page of tickets, newest first unless asked otherwise. Repeat a filter to match any of several values.
    Customers see their own."""
    if who.is_customer:
        _refuse_inner_filters(who, {"team": team, "assignee": assignee, "tag": tag}, customer_id)
        customer_id = who.subject
    filters: dict[str, Any] = {
        "status": status,
        "category": category,
        "priority": priority,
        "lifecycle": lifecycle,
        "team": team and [team],
        "assignee": assignee and [assignee],
        "customer_id": customer_id and [customer_id],
        "channel": channel,
        "tag": tag,
        "q": q,
        "created_after": _moment("created_after", created_after),
        "created_before": _moment("created_before", created_before),
    }
    given = {name: value for name, value in filters.items() if value is not None}
    tickets = await app.reads.tickets(given, sort=sort, limit=limit, after=parse_cursor(cursor))
    return json_response(
        {"items": [ticket_json(ticket, who) for ticket in tickets], "next_cursor": cursor_after(tickets, limit)}
    )


@router.get("/{ticket_id}", responses=answers(TicketOut | CustomerTicketOut, 404, 422, 503))
async def get_ticket(ticket_id: UUID, app: App, who: Who) -> Response:
    """Status and, once there is one, result. The ETag is the ticket's version."""
    ticket = await app.inspect.ticket(ticket_id, who)
    return json_response(ticket_json(ticket, who), headers=etag(ticket))


@router.get("/{ticket_id}/events", responses=answers(EventList, 404, 422, 503))
async def get_events(
    ticket_id: UUID, app: App, who: Who, after: Annotated[int, Query(ge=0, le=1_000_000_000)] = 0
) -> Response:
    """Everything that happened to the ticket, in order."""
    return json_response({"items": await app.inspect.events(ticket_id, who, after)})


@router.get("/{ticket_id}/state", responses=answers(TicketOut | CustomerTicketOut, 404, 422, 503))
async def get_state(
    ticket_id: UUID,
    app: App,
    who: Who,
    version: Annotated[int | None, Query(ge=1, le=1_000_000_000)] = None,
    at: AwareDatetime | None = None,
) -> Response:
    """The ticket as it was after event ``version``, or at a time; rebuilt from its trail alone."""
    if version is not None and at is not None:
        raise Invalid("give a version or a time, not both", [FieldProblem("at", "not together with version")])
    state = await app.inspect.state(ticket_id, who, version, at)
    state.pop("fingerprint", None)
    return json_response(state)


@router.get("/{ticket_id}/workflow", responses=answers(WorkflowOut, 404, 422, 503), dependencies=[at_least(Role.AGENT)])
async def get_workflow(ticket_id: UUID, app: App, who: Who) -> Response:
    """The six steps with status, time, tokens, cost and model; where the ticket stands, and what will wake it."""
    return json_response(await app.inspect.workflow(ticket_id, who))


def new_ticket(body: NewTicketBody, idempotency_key: str | None) -> NewTicket:
    """A checked body as the service takes it. Repeated tags count once."""
    return NewTicket(
        customer_id=body.customer_id,
        subject=body.subject,
        body=body.body,
        customer_email=body.customer_email,
        priority=body.priority,
        category=body.category,
        vip=body.vip,
        tags=tuple(dict.fromkeys(body.tags)),
        channel=body.channel,
        metadata=body.metadata,
        assignee=body.assignee,
        idempotency_key=idempotency_key,
    )


def _refuse_inner_filters(who: Principal, inner: Mapping[str, Any], customer_id: str | None) -> None:
    """What a customer does not see they cannot search by either: each answer would tell a little of it."""
    for name, value in inner.items():
        if value is not None:
            raise beyond_role(name, "is not for customers to ask for")
    if customer_id not in (None, who.subject):
        raise beyond_role("customer_id", "a customer sees tickets of their own")


def _moment(field: str, value: datetime | None) -> str | None:
    """PostgreSQL's range ends before Python's does once time zones are added."""
    if value is not None and not 1000 < value.year < 9000:
        raise Invalid("the time is out of range", [FieldProblem(field, "must lie between the years 1001 and 8999")])
    # And it knows no offsets beyond 16 hours.
    return None if value is None else value.astimezone(UTC).isoformat()
