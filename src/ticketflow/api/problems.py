"""Errors as RFC 9457 problem documents. Only here is it decided which HTTP status an error means."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import timedelta
from http import HTTPStatus
from typing import Any

import orjson
import structlog
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match

from ticketflow.domain.errors import (
    Conflict,
    FieldProblem,
    Forbidden,
    Invalid,
    InvalidMove,
    NotFound,
    Poison,
    StaleVersion,
    TicketflowError,
    TooManyRequests,
    Transient,
    Unauthenticated,
)

log = structlog.get_logger()

CONTENT_TYPE = "application/problem+json"

_STATUS: tuple[tuple[type[TicketflowError], int], ...] = (
    (Unauthenticated, 401),
    (Forbidden, 403),
    (NotFound, 404),
    (StaleVersion, 412),
    (InvalidMove, 409),
    (Conflict, 409),
    (Invalid, 422),
    (TooManyRequests, 429),
    (Poison, 422),
    (Transient, 503),
)


def problem(
    request_id: str,
    status: int,
    code: str,
    detail: str,
    errors: Sequence[FieldProblem] = (),
    headers: dict[str, str] | None = None,
    **extra: Any,
) -> Response:
    """A problem response. ``errors`` name the fields; ``extra`` are further members."""
    body: dict[str, Any] = {
        "type": f"https://ticketflow.dev/problems/{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
        "request_id": request_id,
        **extra,
    }
    if errors:
        body["errors"] = [{"field": error.field, "message": error.message} for error in errors]
    return Response(orjson.dumps(body), status, headers, CONTENT_TYPE)


def request_id_of(request: Request) -> str:
    request_id: str = request.scope.get("ticketflow.request_id", "")
    return request_id


async def on_ticketflow_error(request: Request, error: Exception) -> Response:
    """Any of the project's own errors, by its kind."""
    assert isinstance(error, TicketflowError)
    request_id = request_id_of(request)
    status = next((status for kind, status in _STATUS if isinstance(error, kind)), 500)
    if status == 500:
        log.error("request.failed", exc_info=error)
        return problem(request_id, 500, "internal_error", "something went wrong here; the log says what")
    if isinstance(error, Poison):
        # The database refused the data itself; its words may quote it, so they stay in the log.
        log.warning("request.refused_by_store", reason=str(error))
        return problem(request_id, 422, "invalid", "the store cannot hold this input")
    headers, extra = {}, dict[str, Any]()
    detail = str(error)
    if isinstance(error, Transient):
        log.warning("request.unavailable", code=error.code, reason=detail)
        headers["Retry-After"] = _seconds(error.retry_after)
        # An answer of the store that was lost on its way says nothing of what the store did.
        unsure = "" if request.method in ("GET", "HEAD") else ", and whether this request took effect is not known"
        detail = f"the service cannot answer just now{unsure}; it is safe to send it again"
    if isinstance(error, InvalidMove):
        extra["allowed"] = list(error.allowed)
    if isinstance(error, TooManyRequests):
        headers["Retry-After"] = _seconds(error.retry_after)
    if isinstance(error, Unauthenticated):
        headers["WWW-Authenticate"] = _CHALLENGE + (', error="invalid_token"' if error.sent else "")
    if isinstance(error, Unauthenticated | Forbidden | TooManyRequests):
        reason = error.reason if isinstance(error, Unauthenticated) else error.code
        log.info("access.refused", reason=reason, method=request.method)
    problems = error.problems if isinstance(error, Invalid | Forbidden) else ()
    return problem(request_id, status, error.code, detail, problems, headers, **extra)


async def on_validation_error(request: Request, error: Exception) -> Response:
    """Input of the wrong shape. The input itself is not repeated: it may be large, or not even text."""
    assert isinstance(error, RequestValidationError)
    found = error.errors()
    if any(each["type"] == "json_invalid" for each in found):
        return problem(request_id_of(request), 400, "invalid_json", "the body is not valid JSON")
    problems = field_problems(found)
    detail = f"{problems[0].field}: {problems[0].message}" if problems else "the request is not valid"
    return problem(request_id_of(request), 422, "invalid", detail, problems)


def field_problems(found: Sequence[Mapping[str, Any]]) -> list[FieldProblem]:
    """What pydantic found, at most 50 of it; ``loc`` begins with ``body``, ``query`` or the like."""
    return [FieldProblem(_path(each["loc"]), _said(each)) for each in found[:50]]


async def on_http_error(request: Request, error: Exception) -> Response:
    """What the framework itself refuses: unknown paths, wrong methods, bodies that cannot be read."""
    assert isinstance(error, HTTPException)
    code = _CODES.get(error.status_code, "refused")
    headers = dict(error.headers or {})
    if error.status_code == 405:
        # The framework names the methods of one route, where several share a path.
        here = [route for route in request.app.state.routes if route.matches(request.scope)[0] is not Match.NONE]
        if methods := {method for route in here for method in route.methods}:
            headers["Allow"] = ", ".join(sorted(methods))
    return problem(request_id_of(request), error.status_code, code, str(error.detail), headers=headers)


def _seconds(wait: timedelta | None) -> str:
    return str(max(1, math.ceil(wait.total_seconds() if wait else 1)))


_CHALLENGE = 'Bearer realm="ticketflow"'
_CODES = {400: "bad_request", 404: "not_found", 405: "method_not_allowed", 408: "too_slow", 413: "too_large"}


def _said(error: Mapping[str, Any]) -> str:
    if error["type"] == "model_attributes_type":
        return "must be a JSON object"
    return str(error["msg"]).removeprefix("Value error, ")


def _path(location: Sequence[Any]) -> str:
    """``("body", "items", 3, "subject")`` -> ``items.3.subject``, and ``("query", "status", 0)`` -> ``status``.

    The body as a whole is ``(body)``, for a ticket has a field of that name.
    """
    inside = location[1:] if location[0] == "body" else location[1:2]
    return ".".join(str(part)[:100] for part in inside) or f"({location[0]})"
