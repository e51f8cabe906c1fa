"""What goes wrong between a client and its Supabase project, on demand.

Statuses: Supabase's guide "HTTP status codes" (https://supabase.com/docs/guides/platform/http-status-codes): 540 for a
paused project, 544 for a gateway time-out. It says nothing of their bodies; these are plausible.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Collection, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum

from tests.support.postgrest.errors import Reply

_JSON = ((b"content-type", b"application/json; charset=utf-8"),)
_HTML = ((b"content-type", b"text/html; charset=UTF-8"),)

UNAVAILABLE = Reply(503, b'{"message":"name resolution failed"}', _JSON)
PAUSED = Reply(540, b'{"message":"Project paused"}', _JSON)
GATEWAY_TIMEOUT = Reply(544, b'{"message":"Gateway timeout"}', _JSON)
BAD_GATEWAY = Reply(502, b"<html><head><title>502 Bad Gateway</title></head><body>cloudflare</body></html>", _HTML)
RATE_LIMITED = Reply(429, b'{"message":"API rate limit exceeded"}', ((b"retry-after", b"1"), *_JSON))
TOO_LARGE = Reply(413, b"<html><head><title>413 Request Entity Too Large</title></head></html>", _HTML)


class Cut(Enum):
    """An answer that never arrives whole."""

    DROPPED = "the connection is closed before the first byte"
    HALF = "the connection is closed in the middle of the promised body"


DROPPED, HALF = Cut.DROPPED, Cut.HALF


def redirect(location: str, status: int = 307) -> Reply:
    return Reply(status, b"", ((b"location", location.encode()),))


@dataclass(slots=True)
class Fault:
    """``executed`` says whether the call takes effect; ``times`` None is from now on."""

    outcome: Reply | Cut
    executed: bool
    times: int | None
    functions: frozenset[str]
    every: int
    met: int = 0

    def hits(self, name: str) -> bool:
        if self.times == 0 or (self.functions and name not in self.functions):
            return False
        self.met += 1
        if self.met % self.every:
            return False
        if self.times is not None:
            self.times -= 1
        return True


@dataclass(slots=True)
class Hold:
    """Calls that wait: ``arrived`` blocks until so many do, ``release`` lets all of them go on."""

    functions: frozenset[str]
    executed: bool
    _released: Future[None] = field(default_factory=Future)
    _waiting: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    def arrived(self, calls: int = 1, seconds: float = 30) -> None:
        for _ in range(calls):
            assert self._waiting.acquire(timeout=seconds), "no call arrived"

    def release(self) -> None:
        if not self._released.done():
            self._released.set_result(None)

    async def wait(self) -> None:
        self._waiting.release()
        await asyncio.shield(asyncio.wrap_future(self._released))


class Faults:
    """What goes wrong with the next calls; the first that fits counts. Any thread may set them.

    ``functions`` are names as in ``/rpc/NAME``, or of tables; none are all.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._planned: list[Fault] = []
        self._holds: list[Hold] = []
        self.largest_body: int | None = None
        """In bytes; what is larger gets 413."""

    def clear(self) -> None:
        """Nothing goes wrong any more; who waits is let go."""
        with self._lock:
            holds, self._holds, self._planned, self.largest_body = self._holds, [], [], None
        for hold in holds:
            hold.release()

    def instead(
        self, outcome: Reply | Cut, *, times: int | None = 1, functions: Collection[str] = (), every: int = 1
    ) -> None:
        """The call has no effect, and this outcome."""
        self._plan(Fault(outcome, False, times, frozenset(functions), every))

    def after(
        self, outcome: Reply | Cut, *, times: int | None = 1, functions: Collection[str] = (), every: int = 1
    ) -> None:
        """The call takes effect, and this is what its caller sees. ``every=n`` hits each n-th call only."""
        self._plan(Fault(outcome, True, times, frozenset(functions), every))

    @contextmanager
    def held(self, *functions: str, executed: bool = False) -> Iterator[Hold]:
        """Calls wait before they are executed, or with their answer in hand, until the block ends or ``release``."""
        hold = Hold(frozenset(functions), executed)
        with self._lock:
            self._holds.append(hold)
        try:
            yield hold
        finally:
            with self._lock:
                self._holds = [each for each in self._holds if each is not hold]
            hold.release()

    def meet(self, name: str, size: int) -> Fault | None:
        """What happens to this call."""
        with self._lock:
            if self.largest_body is not None and size > self.largest_body:
                return Fault(TOO_LARGE, False, 1, frozenset(), 1)
            return next((fault for fault in self._planned if fault.hits(name)), None)

    async def wait(self, name: str, *, executed: bool) -> None:
        """Until no hold keeps this call."""
        for hold in list(self._holds):
            if hold.executed == executed and (not hold.functions or name in hold.functions):
                await hold.wait()

    def _plan(self, fault: Fault) -> None:
        with self._lock:
            self._planned.append(fault)
