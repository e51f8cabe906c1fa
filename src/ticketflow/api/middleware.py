"""What happens to every request before any route sees it. Plain ASGI: nothing here buffers or slows a stream."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import time
from collections.abc import Mapping
from functools import lru_cache
from urllib.parse import urlsplit
from uuid import uuid4

import structlog
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ticketflow.api.problems import problem
from ticketflow.api.protection import protective
from ticketflow.domain import correlation
from ticketflow.telemetry.metrics import Metrics

log = structlog.get_logger()

MOST_LINGERING = 32
LINGER_SECONDS = 30.0
"""So many clients that were answered before their body was read may go on sending it at a time, and each for so long,
the wait for its turn included. All at once they would keep those waiting who were let in."""


class _TooLarge(HTTPException):
    """The body went past the limit while it was read. An HTTPException, because the framework lets those through."""

    def __init__(self, limit: int) -> None:
        super().__init__(413, f"the body is larger than {limit} bytes")


class _TooSlow(HTTPException):
    """The rest of the body did not come. What does come after all must not be taken for the next request."""

    def __init__(self, seconds: float) -> None:
        super().__init__(408, f"the body did not arrive within {seconds:g} seconds", {"Connection": "close"})


class _Body:
    """A request's body on its way in: no larger and no later than allowed."""

    def __init__(self, receive: Receive, headers: Mapping[bytes, bytes], most: int, seconds: float) -> None:
        self._receive = receive
        self._most = most
        self._seconds = seconds
        self._deadline = asyncio.get_running_loop().time() + seconds
        self._seen = 0
        self.unread = headers.get(b"content-length", b"0") != b"0" or b"transfer-encoding" in headers

    async def receive(self) -> Message:
        if not self.unread:
            # What is waited for now is that the client leaves.
            return await self._receive()
        try:
            async with asyncio.timeout_at(self._deadline):
                message = await self._receive()
        except TimeoutError:
            self.unread = False  # And will be: for this body there was time enough.
            raise _TooSlow(self._seconds) from None
        self.unread = message.get("more_body", False)
        self._seen += len(message.get("body", b""))
        if self._seen > self._most:
            raise _TooLarge(self._most)
        return message

    async def drop(self, turns: asyncio.Semaphore) -> None:
        """Read what still comes, for a while, and forget it. What is here already waits for no turn."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0):
                await self._read_on()
                return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LINGER_SECONDS), turns:
                await self._read_on()

    async def _read_on(self) -> None:
        while self.unread:
            self.unread = (await self._receive()).get("more_body", False)


class RequestFrame:
    """Request id, trace context, logs, metrics, body limits, protective headers, and the loopback rule; and no
    exception gets past it."""

    def __init__(self, app: ASGIApp, max_body_bytes: int, body_seconds: float, only_from_here: bool) -> None:
        self.app = app
        self._max_body = max_body_bytes
        self._body_seconds = body_seconds
        self._only_from_here = only_from_here
        self._lingering = asyncio.Semaphore(MOST_LINGERING)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        request_id = correlation.request_id(_text(headers.get(b"x-request-id"))) or uuid4().hex
        traceparent = correlation.traceparent(_text(headers.get(b"traceparent")))
        scope["ticketflow.request_id"] = request_id
        scope["ticketflow.traceparent"] = traceparent
        context = {"request_id": request_id} | ({"traceparent": traceparent} if traceparent else {})
        started, status = time.perf_counter(), 500
        begun = False
        body = _Body(receive, headers, self._max_body, self._body_seconds)

        async def sending(message: Message) -> None:
            nonlocal status, begun
            if message["type"] == "http.response.start":
                begun, status = True, message["status"]
                extra = [(b"x-request-id", request_id.encode())]
                if traceparent:
                    extra.append((b"traceparent", traceparent.encode()))
                message["headers"] = [*message["headers"], *extra, *protective(scope["path"], message["headers"])]
            elif body.unread and not message.get("more_body", False):
                # Closed while something is unread, a connection is reset, and the client may never see the answer.
                await send({**message, "more_body": True})
                await body.drop(self._lingering)
                message = {"type": "http.response.body"}
            await send(message)

        with structlog.contextvars.bound_contextvars(**context):
            try:
                refusal = self._refusal(scope, headers, request_id)
                if refusal is not None:
                    await refusal(scope, receive, sending)
                else:
                    await self.app(scope, body.receive, sending)
            except asyncio.CancelledError:
                # By the server, which ends and has waited long enough. It would answer 500, with a traceback for each.
                if begun:
                    raise
                body.unread = False
                await _stopping(request_id)(scope, receive, sending)
            except Exception:
                # The outermost loop of one request. Nothing that a client can send should lead here.
                log.exception("request.crashed", path=_path(scope))
                if not begun:
                    answer = problem(request_id, 500, "internal_error", "something went wrong here; the log says what")
                    await answer(scope, receive, sending)
            finally:
                seconds = time.perf_counter() - started
                self._measure(scope, status, seconds)
                _say(scope, status, seconds)

    def _refusal(self, scope: Scope, headers: dict[bytes, bytes], request_id: str) -> Response | None:
        if self._only_from_here and not _is_loopback(scope.get("server")):
            return problem(
                request_id,
                403,
                "anonymous_not_allowed",
                "without authentication this server answers on loopback addresses only",
            )
        if self._only_from_here and not _is_from_here(headers):
            return problem(
                request_id,
                403,
                "cross_site",
                "without authentication this server answers to localhost and loopback addresses only, "
                "and to pages from there",
            )
        if self._only_from_here and not _FORWARDED.isdisjoint(headers):
            return problem(
                request_id,
                403,
                "forwarded",
                "this request came through a proxy, and without authentication this server is for this machine only",
            )
        declared = headers.get(b"content-length", b"0")
        if declared.isdigit() and int(declared) > self._max_body:
            return self._too_large(request_id)
        if scope["method"] in ("POST", "PUT", "PATCH") and (declared != b"0" or b"transfer-encoding" in headers):
            kind = headers.get(b"content-type", b"").split(b";")[0].strip().lower()
            if kind != b"application/json":
                return problem(request_id, 415, "unsupported_media_type", "Content-Type must be application/json")
        return None

    def _too_large(self, request_id: str) -> Response:
        return problem(request_id, 413, "too_large", f"the body is larger than {self._max_body} bytes")

    def _measure(self, scope: Scope, status: int, seconds: float) -> None:
        application = scope.get("app")
        metrics: Metrics | None = getattr(getattr(application, "state", None), "metrics", None)
        if metrics is None:
            return
        route = getattr(scope.get("route"), "path", "unmatched")
        method = scope["method"] if scope["method"] in _METHODS else "OTHER"
        metrics.http_request_duration.labels(method, route, str(status)).observe(seconds)


def _stopping(request_id: str) -> Response:
    return problem(
        request_id,
        503,
        "stopping",
        "the server is ending and could not wait for this request; whether it was carried out is not known",
        headers={"Retry-After": "1", "Connection": "close"},
    )


_PROBES = frozenset({"/health", "/ready", "/metrics"})


def _say(scope: Scope, status: int, seconds: float) -> None:
    """The access log. Whoever probes every few seconds, or is one of thousands too many, is heard at DEBUG only."""
    path = _path(scope)
    tell = log.debug if path in _PROBES or "ticketflow.quiet" in scope else log.info
    tell("request.handled", method=scope["method"], path=path, status=status, milliseconds=round(seconds * 1000, 1))


def _path(scope: Scope) -> str:
    """As it was sent, percent-encoded: a line break in it must not become one in the log."""
    raw: bytes = scope.get("raw_path") or scope["path"].encode("ascii", "backslashreplace")
    return raw.decode("latin-1")[:500]


_METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"})


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("latin-1")


def _is_loopback(server: tuple[str, int | None] | None) -> bool:
    """Whether the address that the request arrived at is reachable from this machine only. A Unix socket is."""
    return server is None or server[1] is None or _names_this_machine(server[0])


def _is_from_here(headers: dict[bytes, bytes]) -> bool:
    """Whether no page from elsewhere drives the browser of someone on this machine.

    Such a page is told apart by its ``Origin``, or, where its own name was made to point here, by ``Host``.
    """
    host, origin = _text(headers.get(b"host")), _text(headers.get(b"origin"))
    return (not host or _names_this_machine(_hostname(f"//{host}"))) and (
        origin is None or _names_this_machine(_hostname(origin))
    )


_FORWARDED = frozenset({b"forwarded", b"x-forwarded-for", b"x-forwarded-host", b"x-real-ip"})
"""What a proxy adds that speaks for others: to it the rest of the world is at home."""


def _hostname(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


@lru_cache(maxsize=256)
def _names_this_machine(name: str) -> bool:
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost" or name.endswith(".localhost")
