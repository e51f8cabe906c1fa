"""A gate before a Supabase project's REST interface that counts what goes through, and can be moved away.

It counts requests as they reach the project, repeated ones too; and bytes. What is sent counts as HTTP/1.1 has it:
request line, headers, body. Of what is received the bodies count, compressed where they are: the headers are those of
whatever stands before the project.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ticketflow.serving import listening_socket, serving

_Headers = Sequence[tuple[bytes, bytes]]

_OF_ONE_CONNECTION = (b"host", b"connection", b"keep-alive", b"transfer-encoding")
_WITHOUT_TIME_OUT = 120.0
"""Longer than anybody who asks waits."""


@dataclass(slots=True)
class Traffic:
    """Requests by function, and bytes to and from the project."""

    calls: Counter[str] = field(default_factory=Counter)
    sent: int = 0
    received: int = 0


class CountingGate:
    """``url`` is what a client takes for the project's; ``round_trip`` is how many seconds a request waits here."""

    def __init__(self, project: str) -> None:
        self.url = ""
        self.round_trip = 0.0
        self._project = project.rstrip("/")
        self._traffic = Traffic()

    def taken(self) -> Traffic:
        """What went through since the last time."""
        traffic, self._traffic = self._traffic, Traffic()
        return traffic

    @contextlib.asynccontextmanager
    async def served(self) -> AsyncIterator[None]:
        app = Starlette(routes=[Route("/{path:path}", self._pass, methods=["GET", "POST"])])
        listener = listening_socket("127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        async with httpx.AsyncClient(timeout=_WITHOUT_TIME_OUT) as self._http, serving(app, listener):
            yield

    async def _pass(self, request: Request) -> Response:
        body = await request.body()
        if self.round_trip:
            await asyncio.sleep(self.round_trip)
        asked = self._http.build_request(
            request.method,
            f"{self._project}{request.url.path}{'?' * bool(request.url.query)}{request.url.query}",
            headers=_handed_on(request.headers.raw),
            content=body,
        )
        traffic = self._traffic
        traffic.calls[request.url.path.rpartition("/")[2]] += 1
        traffic.sent += _bytes(asked, body)
        try:
            answer = await self._http.send(asked, stream=True)
            content = b"".join([part async for part in answer.aiter_raw()])
        except httpx.HTTPError:
            return Response(status_code=502)
        traffic.received += len(content)
        passed = Response(content, answer.status_code)
        passed.raw_headers = _handed_on(answer.headers.raw)
        return passed


def _handed_on(headers: _Headers) -> list[tuple[bytes, bytes]]:
    return [(name.lower(), value) for name, value in headers if name.lower() not in _OF_ONE_CONNECTION]


def _bytes(request: httpx.Request, body: bytes) -> int:
    """Each line ends with two bytes, and so does the head; a header has two more between name and value."""
    line = len(request.method) + 1 + len(request.url.raw_path) + len(" HTTP/1.1") + 2
    return line + sum(len(name) + len(value) + 4 for name, value in request.headers.raw) + 2 + len(body)
