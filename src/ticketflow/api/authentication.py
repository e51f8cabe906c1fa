"""Who is calling: found out once, before any route sees the request."""

from __future__ import annotations

import structlog
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from ticketflow.access.bearer import Access
from ticketflow.api.problems import on_ticketflow_error, problem, request_id_of
from ticketflow.domain import roles
from ticketflow.domain.errors import OutOfScope, Rejected, Transient

log = structlog.get_logger()

PUBLIC = frozenset({"/", "/docs", "/health", "/openapi.json", "/ready"})
"""What answers without a token, and says nothing of any ticket."""

INTAKE = frozenset({"/tickets", "/tickets/batch", "/api/support-ticket"})

_LOOKING = frozenset({"GET", "HEAD", "OPTIONS"})


def needed_scope(method: str, path: str) -> roles.Scope:
    """What a token must be good for. Whatever is not known to be less needs the most."""
    if path == "/metrics":
        return roles.Scope.METRICS
    if method in _LOOKING:
        return roles.Scope.READ
    return roles.Scope.INTAKE if method == "POST" and path in INTAKE else roles.Scope.WRITE


class Authentication:
    """Puts the caller's ``Principal`` into the request's scope, or answers in the route's place. Plain ASGI."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in PUBLIC:
            await self.app(scope, receive, send)
            return
        request = Request(scope)
        access: Access = scope["app"].state.access
        try:
            principal = await access.caller(_values(scope, b"authorization"), _values(scope, b"x-act-as"))
            needed = needed_scope(scope["method"], scope["path"])
            if needed not in principal.scopes:
                raise OutOfScope(f"this takes a token with the scope {needed}")
        except Transient as error:
            log.warning("access.unavailable", code=error.code, reason=str(error))
            answer = problem(
                request_id_of(request),
                503,
                error.code,
                "who is calling cannot be checked just now; nothing was done",
                headers={"Retry-After": "1"},
            )
            await answer(scope, receive, send)
        except Rejected as error:
            await (await on_ticketflow_error(request, error))(scope, receive, send)
        else:
            scope["ticketflow.principal"] = principal
            await self.app(scope, receive, send)


def _values(scope: Scope, name: bytes) -> list[str]:
    """Each value of a header. What is not UTF-8 becomes what nobody can be called."""
    return [value.decode("utf-8", "replace") for key, value in scope["headers"] if key == name]
