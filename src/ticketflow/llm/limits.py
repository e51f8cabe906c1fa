"""How many calls one process makes to the model provider: at once, in a minute, and not at all for a while."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from datetime import timedelta

from ticketflow.domain.delivery import MAX_ASKED_WAIT
from ticketflow.domain.errors import RateLimited, TicketflowError

LONGEST_STAY = timedelta(seconds=60)
"""Calls wait in memory for a hold up to this long; during a longer one each ticket waits by its own timer."""

_FIRST_HOLD = 1.0
_LONGEST_HOLD = 30.0
_GENTLE_START = 4
_ANY = 1_000_000


class Limits:
    """One line for all calls of the process, first come, first served.

    ``concurrency``: calls under way at once. ``per_minute``: calls that begin within any minute. A tenth of them (one
    at least) may begin together after a quiet time; the others follow evenly, each ``60 / (per_minute - tenth + 1)``
    seconds after the one before. None is no limit.

    A hold lets nobody begin until it is over: for as long as the provider asks, an hour at most, else for 1 s, 2 s, 4 s
    and so on up to 30 s with each time that it limits us without an answer in between.

    After ``go_gently`` only a few are let in at once, and one more for each answer: a provider that has just come back
    would fall over the backlog again. Times are the running loop's.
    """

    def __init__(self, concurrency: int | None = None, per_minute: int | None = None) -> None:
        self._concurrency = concurrency
        self._interval = self._slack = 0.0
        if per_minute is not None:
            burst = max(1, per_minute // 10)
            self._interval = 60 / (per_minute - burst + 1)
            self._slack = (burst - 1) * self._interval
        self._due = float("-inf")
        """When the next call would begin if all came evenly; it may begin ``_slack`` before (GCRA, ITU-T I.371)."""
        self._under_way = 0
        self._gently: int | None = None
        self._held_until = self._limited_at = float("-inf")
        self._limited_times = 0
        self._line: deque[asyncio.Future[None]] = deque()
        self._alarm: asyncio.TimerHandle | None = None

    async def enter(self) -> float:
        """Wait for one's turn; whoever got it must ``leave``. Returns when the call begins, by the loop's clock.

        Raises ``RateLimited`` at once, with the rest of the wait, while a hold lasts longer than ``LONGEST_STAY``, and
        whatever ``send_away`` says.
        """
        if self._rest() > LONGEST_STAY.total_seconds():
            raise self._held()
        waiter = asyncio.get_running_loop().create_future()
        self._line.append(waiter)
        self._let_in()
        try:
            await waiter
        except asyncio.CancelledError:
            if not waiter.cancelled() and waiter.exception() is None:
                self.leave()
            raise
        return _now()

    def leave(self) -> None:
        """The call is over."""
        self._under_way -= 1
        self._let_in()

    def answered(self, began: float) -> None:
        """The provider answered a call that began at ``began``."""
        if self._gently is not None:
            # As many again with each round, like TCP's slow start (RFC 5681).
            self._gently = self._gently + 1 if self._line else None
        if began > self._limited_at:
            self._limited_times = 0

    def go_gently(self) -> None:
        """The provider has just come back: find out how much it can take."""
        self._gently = _GENTLE_START

    def limited(self, began: float, asked: timedelta | None) -> None:
        """The provider wants fewer calls; ``asked`` is for how long it wants none, where it says so."""
        if asked is not None:
            self.hold(asked)
        elif began > self._limited_at:
            # Of the calls that were under way together, the first one says it for all.
            self.hold(timedelta(seconds=min(_FIRST_HOLD * 2**self._limited_times, _LONGEST_HOLD)))
            self._limited_times = min(self._limited_times + 1, 10)
        self._limited_at = _now()

    def hold(self, wait: timedelta) -> None:
        """Let nobody begin for that long from now; a hold is never made shorter."""
        self._held_until = max(self._held_until, _now() + min(wait, MAX_ASKED_WAIT).total_seconds())
        if self._rest() > LONGEST_STAY.total_seconds():
            self.send_away(self._held)

    def send_away(self, reason: Callable[[], TicketflowError]) -> None:
        """Whoever waits in the line gets an error instead of a turn."""
        for waiter in self._line:
            if not waiter.done():
                waiter.set_exception(reason())
        self._line.clear()

    def _let_in(self) -> None:
        """Give the first in the line their turns, and come back when the next one may be due."""
        while self._line and self._under_way < min(self._concurrency or _ANY, self._gently or _ANY):
            if self._line[0].done():
                self._line.popleft()
                continue
            now = _now()
            opens_at = max(self._held_until, self._due - self._slack)
            if opens_at > now:
                if self._alarm is not None:
                    self._alarm.cancel()
                self._alarm = asyncio.get_running_loop().call_at(opens_at, self._let_in)
                return
            self._due = max(self._due, now) + self._interval
            self._under_way += 1
            self._line.popleft().set_result(None)

    def _rest(self) -> float:
        return self._held_until - _now()

    def _held(self) -> RateLimited:
        return RateLimited("the provider wants no calls for now", timedelta(seconds=self._rest()))


def _now() -> float:
    return asyncio.get_running_loop().time()
