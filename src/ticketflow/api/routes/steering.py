"""What a person may do with a ticket under way. Each answers with the ticket as it is afterwards."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Header
from starlette.responses import Response

from ticketflow.api.deps import App, Calling, KnownParameters, at_least
from ticketflow.api.docs import answers
from ticketflow.api.models import MoveBody, ReplayBody, TicketOut
from ticketflow.api.render import etag, expected_version, json_response, ticket_json
from ticketflow.domain.roles import Role
from ticketflow.domain.tickets import Ticket
from ticketflow.services.caller import Caller

router = APIRouter(
    prefix="/tickets/{ticket_id}", tags=["tickets"], dependencies=[at_least(Role.AGENT), KnownParameters]
)

IfMatch = Annotated[str | None, Header(alias="If-Match")]
_ANSWERS = answers(TicketOut, 400, 404, 409, 412, 413, 415, 422, 503)


@router.post("/pause", responses=_ANSWERS)
async def pause(
    ticket_id: UUID, app: App, calling: Calling, body: MoveBody | None = None, if_match: IfMatch = None
) -> Response:
    """Stop at the next step boundary. A step that runs is finished and kept; after it the ticket costs nothing until
    somebody resumes, replays or cancels it."""
    return _moved(calling, await app.steer.pause(ticket_id, calling, expected_version(if_match), _reason(body)))


@router.post("/resume", responses=_ANSWERS)
async def resume(
    ticket_id: UUID, app: App, calling: Calling, body: MoveBody | None = None, if_match: IfMatch = None
) -> Response:
    """Go on from where it was paused."""
    return _moved(calling, await app.steer.resume(ticket_id, calling, expected_version(if_match), _reason(body)))


@router.post("/cancel", responses=_ANSWERS)
async def cancel(
    ticket_id: UUID, app: App, calling: Calling, body: MoveBody | None = None, if_match: IfMatch = None
) -> Response:
    """End it now. What a step that still runs brings is refused."""
    return _moved(calling, await app.steer.cancel(ticket_id, calling, expected_version(if_match), _reason(body)))


@router.post("/retry", responses=answers(TicketOut, 404, 409, 412, 422, 503))
async def retry(ticket_id: UUID, app: App, calling: Calling, if_match: IfMatch = None) -> Response:
    """Start the next attempt of a ticket that failed, was cancelled or waits for its retry. Done steps are kept."""
    return _moved(calling, await app.steer.retry(ticket_id, calling, expected_version(if_match)))


@router.post("/replay", responses=_ANSWERS)
async def replay(ticket_id: UUID, body: ReplayBody, app: App, calling: Calling, if_match: IfMatch = None) -> Response:
    """Run it again from before a step that it has come to, as a new attempt. The steps before are kept."""
    expected = expected_version(if_match)
    return _moved(calling, await app.steer.replay(ticket_id, body.from_step, calling, expected, body.reason))


def _reason(body: MoveBody | None) -> str | None:
    return body.reason if body is not None else None


def _moved(calling: Caller, ticket: Ticket) -> Response:
    return json_response(ticket_json(ticket, calling.principal), headers=etag(ticket))
