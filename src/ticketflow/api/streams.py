"""Event streams: one look at the database serves every listener of the process."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from uuid import UUID

import orjson
import structlog

from ticketflow.db.reads import Reads
from ticketflow.domain.errors import StoreUnavailable
from ticketflow.domain.events import Event

log = structlog.get_logger()

POLL_SECONDS = 0.25
KEEP_ALIVE_SECONDS = 15.0


@dataclass(eq=False, slots=True)
class _Listener:
    ticket_id: UUID
    after: int
    news: asyncio.Queue[Event | None] = field(default_factory=lambda: asyncio.Queue(1000))


class EventHub:
    """Follows the trails that someone listens to; idle when nobody does."""

    def __init__(self, reads: Reads) -> None:
        self._reads = reads
        self._listeners: set[_Listener] = set()
        self._someone = asyncio.Event()

    async def run(self) -> None:
        """Poll until cancelled."""
        while True:
            await self._someone.wait()
            try:
                await self._look()
            except StoreUnavailable as error:
                log.warning("stream.waiting", error=str(error))
            await asyncio.sleep(POLL_SECONDS)

    def close(self) -> None:
        """End all streams."""
        for listener in self._listeners:
            self._end(listener)

    async def follow(self, ticket_id: UUID, after: int) -> AsyncIterator[bytes]:
        """Server-sent events from seq ``after`` + 1 on, for as long as the client stays; ``id:`` is the seq."""
        listener = _Listener(ticket_id, after)
        self._listeners.add(listener)
        self._someone.set()
        try:
            yield b": following\n\n"
            while True:
                try:
                    event = await asyncio.wait_for(listener.news.get(), KEEP_ALIVE_SECONDS)
                except TimeoutError:
                    yield b": still here\n\n"
                    continue
                if event is None:
                    return
                yield sse(event)
        finally:
            self._listeners.discard(listener)
            if not self._listeners:
                self._someone.clear()

    async def _look(self) -> None:
        watch: dict[UUID, int] = {}
        for listener in self._listeners:
            watch[listener.ticket_id] = min(listener.after, watch.get(listener.ticket_id, listener.after))
        if not watch:
            return
        for event in await self._reads.events_of(watch):
            for listener in list(self._listeners):
                if listener.ticket_id == event.ticket_id and event.seq == listener.after + 1:
                    try:
                        listener.news.put_nowait(event)
                    except asyncio.QueueFull:
                        # A client that does not read ends its own stream and may resume from its last id.
                        self._end(listener)
                    else:
                        listener.after = event.seq

    @staticmethod
    def _end(listener: _Listener) -> None:
        with contextlib.suppress(asyncio.QueueEmpty):
            while listener.news.full():
                listener.news.get_nowait()
        listener.news.put_nowait(None)


def sse(event: Event) -> bytes:
    """One event in the wire format of server-sent events. JSON holds no line breaks, so one data line is enough."""
    data = orjson.dumps(event, option=orjson.OPT_UTC_Z)
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (event.seq, event.event_type.encode(), data)
