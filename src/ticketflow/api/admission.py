"""Admission: whoever would have to wait too long, or whose body there is no room for, is sent away at once.

What waits in this process is thereby bounded in time and in bytes, however many come: those who were let in are
answered as quickly as before, and nobody's body is read to be dropped later. Reads and probes are always let in.
"""

from __future__ import annotations

import time
from random import randint

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ticketflow.access.room import Room, Shed
from ticketflow.api.authentication import INTAKE
from ticketflow.api.problems import problem
from ticketflow.telemetry.metrics import Metrics

log = structlog.get_logger()

FOR_WHAT_IS_HERE = 1.25
"""Work on tickets that were taken in is let in a little longer than what brings others."""

SAY_EVERY_SECONDS = 5.0

_CHANGING = frozenset({"POST", "PUT", "PATCH", "DELETE"})


class Admission:
    """Asks the room before anything of a request's body is read. Plain ASGI."""

    def __init__(self, app: ASGIApp, room: Room, max_body_bytes: int) -> None:
        self.app = app
        self._room = room
        self._max_body = max_body_bytes
        self._unsaid = 0
        self._said_at = float("-inf")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] not in _CHANGING:
            await self.app(scope, receive, send)
            return
        size = self._size(scope)
        shed = self._room.enter(size, 1.0 if scope["path"] in INTAKE else FOR_WHAT_IS_HERE)
        if shed is not None:
            await self._send_away(shed, scope, receive, send)
            return
        answered = False

        async def answering(message: Message) -> None:
            nonlocal answered
            if not answered and message["type"] == "http.response.body" and not message.get("more_body", False):
                # What follows is only the rest of a body that nobody reads, such as that of a caller without a token.
                answered = True
                self._room.leave(size)
            await send(message)

        try:
            await self.app(scope, receive, answering)
        finally:
            if not answered:
                self._room.leave(size)

    def _size(self, scope: Scope) -> int:
        """As declared; whoever does not say how much is coming may send the most that there may be."""
        for name, value in scope["headers"]:
            if name == b"content-length" and value.isdigit():
                return int(value)
            if name == b"transfer-encoding":
                return self._max_body
        return 0

    async def _send_away(self, shed: Shed, scope: Scope, receive: Receive, send: Send) -> None:
        metrics: Metrics = scope["app"].state.metrics
        metrics.requests_shed.labels(shed.value).inc()
        self._say(shed)
        # Thousands of lines in the access log would be a load of their own.
        scope["ticketflow.quiet"] = True
        answer = problem(
            scope["ticketflow.request_id"],
            503,
            "overloaded",
            "more requests are waiting than can be answered soon; nothing was done, and it is safe to send it again",
            # Not all of them in the same second.
            headers={"Retry-After": str(randint(1, 3))},
        )
        await answer(scope, receive, send)

    def _say(self, shed: Shed) -> None:
        self._unsaid += 1
        now = time.monotonic()
        if now - self._said_at >= SAY_EVERY_SECONDS:
            log.warning("requests.shed", reason=shed.value, requests=self._unsaid)
            self._unsaid, self._said_at = 0, now
