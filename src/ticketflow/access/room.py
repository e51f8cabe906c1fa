"""How much may wait in this process: by the time that it would wait, and by the bytes that it takes."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from enum import StrEnum

FEWEST = 100
"""So many may always be under way: a group commit needs company, and a rate measured on fewer says little."""

RATE_SECONDS = 0.25
"""Of busy time, after which the rate is reckoned anew."""


class Shed(StrEnum):
    """Why a request was not let in."""

    WAIT = "wait"
    """Those before it will keep the store busy for longer than anybody should wait."""
    BYTES = "bytes"
    """The bodies under way take all the memory that there is for them."""


class Room:
    """The requests that are under way, and how quickly they leave.

    By Little's law whoever comes now waits for (requests under way) / (requests that leave in a second). ``wait`` is
    the longest that this may be, ``most_bytes`` the most that all of their bodies may take together.
    """

    def __init__(self, wait: timedelta, most_bytes: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._wait = wait.total_seconds()
        self._most_bytes = most_bytes
        self._clock = clock
        self._requests = 0
        self._bytes = 0
        self._rate = 0.0
        self._left = 0
        self._busy = 0.0
        self._busy_since = 0.0

    def enter(self, size: int, generosity: float = 1.0) -> Shed | None:
        """Let a request with a body of so many bytes in, or say why not. Alone, each is let in."""
        if self._requests >= generosity * max(FEWEST, self._rate * self._wait):
            return Shed.WAIT
        if self._requests and self._bytes + size > generosity * self._most_bytes:
            return Shed.BYTES
        if not self._requests:
            self._busy_since = self._clock()
        self._requests += 1
        self._bytes += size
        return None

    def leave(self, size: int) -> None:
        """A request that was let in, of so many bytes, was answered."""
        now = self._clock()
        self._busy += now - self._busy_since
        self._busy_since = now
        self._requests -= 1
        self._bytes -= size
        self._left += 1
        if self._busy >= RATE_SECONDS:
            measured = self._left / self._busy
            self._rate = (self._rate + measured) / 2 if self._rate else measured
            self._left, self._busy = 0, 0.0
