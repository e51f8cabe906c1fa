"""Which lane is next: weighted round robin, so that a busy high lane slows the others but never starves them."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Generic, TypeVar

from ticketflow.domain.routing import Lane

WEIGHTS: Mapping[Lane, int] = {Lane.HIGH: 6, Lane.NORMAL: 3, Lane.LOW: 1}
"""Out of ten deliveries from three full lanes, how many come from each."""

ItemT = TypeVar("ItemT")


class LaneBuffer(Generic[ItemT]):
    """What has arrived, by lane. ``pop`` uses the smooth weighted round robin of nginx: each waiting lane gains its
    weight, the richest goes and pays what all gained, so shares hold over any stretch and turns are spread out.
    """

    def __init__(self, weights: Mapping[Lane, int] = WEIGHTS, credit: dict[Lane, int] | None = None) -> None:
        """``credit`` outlives the buffer where it is given: whoever comes and goes would begin with the high lane each
        time, and the low one would never have its turn."""
        self._weights = weights
        self._waiting: dict[Lane, deque[ItemT]] = {lane: deque() for lane in weights}
        self._credit = {} if credit is None else credit
        for lane in weights:
            self._credit.setdefault(lane, 0)

    def push(self, lane: Lane, item: ItemT) -> None:
        self._waiting[lane].append(item)

    def pop(self) -> ItemT | None:
        """The next item, or None when nothing waits."""
        lanes = [lane for lane, items in self._waiting.items() if items]
        if not lanes:
            return None
        for lane in lanes:
            self._credit[lane] += self._weights[lane]
        chosen = max(lanes, key=lambda lane: self._credit[lane])
        self._credit[chosen] -= sum(self._weights[lane] for lane in lanes)
        return self._waiting[chosen].popleft()

    def drain(self) -> list[ItemT]:
        """Everything that waits, taken out."""
        items = [item for waiting in self._waiting.values() for item in waiting]
        for waiting in self._waiting.values():
            waiting.clear()
        return items

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values()))
