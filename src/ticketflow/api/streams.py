"""Event streams: one look at the database serves every listener of the process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from uuid import UUID

import orjson
import structlog

from ticketflow.db.reads import Reads
from ticketflow.domain.errors import StoreUnavailable
from ticketflow.domain.events import Event
from ticketflow.domain.roles import Principal
from ticketflow.domain.visibility import event_for

log = structlog.get_logger()

POLL_SECONDS = 0.25
KEEP_ALIVE_SECONDS = 15.0
MOST_UNREAD = 1000
"""A client that is so many events behind gets no more of them, and costs no read, until it has read some."""


@dataclass(eq=False, slots=True)
class _Listener:
    ticket_id: UUID
    after: int
    news: asyncio.Queue[Event | None] = field(default_factory=asyncio.Queue)

    @property
    def keeps_up(self) -> bool:
        return self.news.qsize() < MOST_UNREAD


class EventHub:
    """Follows the trails that someone listens to; idle when nobody does."""

    def __init__(self, reads: Reads) -> None:
        self._reads = reads
        self._listeners: set[_Listener] = set()
        self._someone = asyncio.Event()
        self._closed = False

    async def run(self) -> None:
        """Poll until cancelled."""
        while True:
            await self._someone.wait()
            try:
                await self._look()
            except StoreUnavailable as error:
                log.warning("stream.waiting", error=str(error))
            except Exception:
                # An outermost loop: one odd event must not end the streams of everybody else for good.
                log.exception("stream.failed")
            await asyncio.sleep(POLL_SECONDS)

    def close(self) -> None:
        """End all streams, and those that come from now on after their first word."""
        self._closed = True
        for listener in self._listeners:
            listener.news.put_nowait(None)

    async def follow(self, ticket_id: UUID, after: int, who: Principal) -> AsyncIterator[bytes]:
        """Server-sent events from seq ``after`` + 1 on, for as long as the client stays; ``id:`` is the seq. Those
        that the caller may not see are left out."""
        listener = _Listener(ticket_id, after)
        self._listeners.add(listener)
        self._someone.set()
        try:
            yield b": following\n\n"
            while not self._closed or not listener.news.empty():
                try:
                    async with asyncio.timeout(KEEP_ALIVE_SECONDS):
                        event = await listener.news.get()
                except TimeoutError:
                    yield b": still here\n\n"
                    continue
                if event is None:
                    return
                if (seen := event_for(who, event)) is not None:
                    yield sse(seen)
        finally:
            self._listeners.discard(listener)
            if not self._listeners:
                self._someone.clear()

    async def _look(self) -> None:
        watch: dict[UUID, int] = {}
        for listener in self._listeners:
            if listener.keeps_up:
                watch[listener.ticket_id] = min(listener.after, watch.get(listener.ticket_id, listener.after))
        if not watch:
            return
        for event in await self._reads.events_of(watch):
            for listener in self._listeners:
                next_one = listener.ticket_id == event.ticket_id and event.seq == listener.after + 1
                if next_one and listener.keeps_up:
                    listener.news.put_nowait(event)
                    listener.after = event.seq


def sse(event: Event) -> bytes:
    """One event in the wire format of server-sent events. JSON holds no line breaks, so one data line is enough."""
    data = orjson.dumps(event, option=orjson.OPT_UTC_Z)
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (event.seq, event.event_type.encode(), data)
