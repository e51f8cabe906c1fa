"""Server-sent events."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Header, Query, Request
from starlette.responses import Response, StreamingResponse

from ticketflow.api.deps import App, KnownParameters, Who
from ticketflow.api.docs import answers
from ticketflow.api.streams import EventHub
from ticketflow.domain.errors import FieldProblem, Invalid

router = APIRouter(tags=["tickets"], dependencies=[KnownParameters])


@router.get(
    "/tickets/{ticket_id}/events/stream",
    response_class=StreamingResponse,
    responses=answers(None, 404, 422, 503)
    | {200: {"content": {"text/event-stream": {}}, "description": "one message an event, for ever"}},
)
async def follow(
    request: Request,
    ticket_id: UUID,
    app: App,
    who: Who,
    after: Annotated[int, Query(ge=0, le=1_000_000_000)] = 0,
    last_event_id: Annotated[str | None, Header(alias="Last-Event-ID")] = None,
) -> Response:
    """Follow a ticket live. ``id:`` is the event's seq; a client that reconnects with Last-Event-ID misses nothing."""
    if last_event_id is not None:
        if not (last_event_id.isascii() and last_event_id.isdigit() and len(last_event_id) < 10):
            raise Invalid("Last-Event-ID is not a seq", [FieldProblem("Last-Event-ID", "must be a number")])
        after = int(last_event_id)
    await app.inspect.ticket(ticket_id, who)
    hub: EventHub = request.app.state.hub
    return StreamingResponse(
        hub.follow(ticket_id, after, who), media_type="text/event-stream", headers={"Cache-Control": "no-store"}
    )
