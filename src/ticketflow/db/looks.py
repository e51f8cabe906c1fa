"""Looks: where the next one for something to take begins.

What was taken keeps its place in the index until a vacuum may remove it, and none may while any transaction is old
enough to see it. Looking from the very beginning then costs as much as all that was done since; looking from the last
place does not.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Generic, TypeVar

PositionT = TypeVar("PositionT", int, datetime)


class Look(Generic[PositionT]):
    """``begin_at`` is where to look from, or None for the beginning, which it is from time to time: for what was put
    back, or committed behind others that it was written before."""

    def __init__(
        self,
        before: Callable[[PositionT], PositionT],
        from_beginning_every: timedelta,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``before`` names a place so far in front of another that hardly anything is committed behind it later."""
        self._before: Callable[[PositionT], PositionT] = before
        self._every = from_beginning_every.total_seconds()
        self._clock = clock
        self._last: PositionT | None = None
        self._begun: float | None = None

    def begin_at(self) -> PositionT | None:
        """Call it once for each look."""
        now = self._clock()
        if self._last is None or self._begun is None or now - self._begun >= self._every:
            self._begun = now
            return None
        return self._before(self._last)

    def saw(self, positions: Iterable[PositionT]) -> None:
        """What the look found. Nothing found leaves it where it is."""
        for position in positions:
            if self._last is None or position > self._last:
                self._last = position

    def start_again(self) -> None:
        """Something was put back."""
        self._begun = None


def by_time(every: timedelta = timedelta(seconds=5)) -> Look[datetime]:
    """For places that are times of the database's clock."""
    return Look(lambda at: at - timedelta(seconds=1), every)


def by_number(every: timedelta = timedelta(seconds=1)) -> Look[int]:
    """For places that are numbers out of a sequence."""
    return Look(lambda number: number - 1000, every)
