"""Values of the domain as JSON responses."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson
from starlette.responses import Response

from ticketflow.db.reads import After
from ticketflow.domain.errors import FieldProblem, Invalid
from ticketflow.domain.lifecycle import Place
from ticketflow.domain.roles import Principal
from ticketflow.domain.tickets import Ticket
from ticketflow.domain.visibility import ticket_for


def json_response(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """JSON with times in RFC 3339 UTC."""
    return Response(orjson.dumps(value, option=orjson.OPT_UTC_Z), status, headers, "application/json")


def ticket_json(ticket: Ticket, who: Principal) -> dict[str, Any]:
    """A ticket as the caller may see it; the fingerprint is our own business."""
    fields = asdict(ticket)
    del fields["fingerprint"]
    return ticket_for(who, fields)


def tokens(place: Place) -> dict[str, int]:
    """The net's marking with every place named."""
    return {each.value: int(each is place) for each in Place}


def etag(ticket: Ticket) -> dict[str, str]:
    return {"ETag": f'"{ticket.version}"'}


def expected_version(if_match: str | None) -> int | None:
    """The version that ``If-Match`` names; None for no header or ``*``. Raises ``Invalid`` for anything else."""
    if if_match is None or if_match.strip() == "*":
        return None
    text = if_match.strip().removeprefix("W/").strip('"')
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise Invalid("If-Match is not a ticket's ETag", [FieldProblem("If-Match", "not an ETag of a ticket")])
    return int(text)


def cursor_after(items: Sequence[Any], limit: int) -> str | None:
    """The cursor for the page behind ``items``, or None when this page was not full."""
    if len(items) < limit:
        return None
    last = items[-1]
    return base64.urlsafe_b64encode(orjson.dumps([last.created_at, last.id])).decode().rstrip("=")


def parse_cursor(cursor: str | None) -> After | None:
    """Raises ``Invalid`` for anything that ``cursor_after`` did not make."""
    if cursor is None:
        return None
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        created_at, id_ = orjson.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        moment = datetime.fromisoformat(created_at)
        if moment.tzinfo is None:
            raise ValueError("no time zone")
        after = After(moment.astimezone(UTC), UUID(id_))
    except (ValueError, TypeError, AttributeError, OverflowError, binascii.Error):
        raise Invalid("the cursor is not one of ours", [FieldProblem("cursor", "not a cursor of this list")]) from None
    return after


def seq_cursor(items: Sequence[Any], limit: int) -> str | None:
    """As ``cursor_after``, for a list within one ticket's trail."""
    return str(items[-1].seq) if len(items) == limit else None


def parse_seq_cursor(cursor: str | None) -> int:
    """Raises ``Invalid`` for anything that ``seq_cursor`` did not make."""
    if cursor is None:
        return 0
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) < 10):
        raise Invalid("the cursor is not one of ours", [FieldProblem("cursor", "not a cursor of this list")])
    return int(cursor)
