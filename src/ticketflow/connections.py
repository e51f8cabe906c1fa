"""Connections: what one client can make this server hold before anybody has looked at its request.

uvicorn reads what comes, up to a quarter of a megabyte at once from each connection, before the application can refuse
it, and waits for ever for the rest of a head. With thousands of clients at once that is the memory of the machine.
"""

from __future__ import annotations

import asyncio
from typing import Any, cast

from uvicorn._types import ASGI3Application
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

READ_BYTES = 16_384
"""At a time; of a body no more before the application asks for it."""

HEAD_SECONDS = 30.0
"""How long a client may take from its connection, or from the start of its next request, to the end of the head."""

MERCY_SECONDS = 1.0
"""After that, to read what came while the server was too busy to look."""

MOST_HEAD_BYTES = 65_536
"""Also of what frames a chunked body, before the next part of it: the length, extensions, trailers."""

# What was read into it is copied out before anything else is read.
_BUFFER = memoryview(bytearray(READ_BYTES))


class _TellingProtocol(HttpToolsProtocol):
    """Of several requests that came together uvicorn tells only the last that its client has left. The one under way
    would write to a closed connection, and a stream would follow for nobody until then."""

    _under_way: RequestResponseCycle | None = None

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._under_way = cycle
        super()._start_asgi_task(cycle, app)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._under_way is not None:
            self._under_way.disconnected = True
            self._under_way.message_event.set()
        super().connection_lost(exc)


class BoundedConnection(asyncio.BufferedProtocol):
    """uvicorn's own protocol, fed in small pieces."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self._inner = _TellingProtocol(config, server_state, app_state, _loop)
        self._head_bytes = 0
        self._giving_up: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._inner.connection_made(cast(asyncio.Transport, transport))
        self._expect_a_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._has_a_head()
        self._inner.connection_lost(exc)

    def get_buffer(self, sizehint: int) -> memoryview:
        return _BUFFER

    def buffer_updated(self, nbytes: int) -> None:
        inner, before = self._inner, self._inner.cycle
        in_body = before is not None and before.more_body
        inner.data_received(bytes(_BUFFER[:nbytes]))
        cycle = inner.cycle
        if cycle is not before:
            self._has_a_head()
        elif cycle is not None and in_body and (cycle.body or not cycle.more_body):
            self._head_bytes = 0
        else:
            # The next head, or what frames a body: the length of a chunk, trailers.
            self._head_bytes += nbytes
            if self._head_bytes > MOST_HEAD_BYTES:
                inner.transport.close()
            if cycle is None or cycle.response_complete:
                self._expect_a_head()
        if cycle is not None and cycle.more_body and cycle.body and not cycle.response_complete:
            # It goes on when the application asks for more. Of a frame alone the application is not told.
            inner.flow.pause_reading()

    def eof_received(self) -> None:
        self._inner.eof_received()

    def pause_writing(self) -> None:
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._inner.resume_writing()

    def _expect_a_head(self) -> None:
        if self._giving_up is None:
            self._giving_up = self._inner.loop.call_later(HEAD_SECONDS, self._give_up)

    def _give_up(self) -> None:
        self._giving_up = self._inner.loop.call_later(MERCY_SECONDS, self._inner.transport.close)

    def _has_a_head(self) -> None:
        self._head_bytes = 0
        if self._giving_up is not None:
            self._giving_up.cancel()
            self._giving_up = None
