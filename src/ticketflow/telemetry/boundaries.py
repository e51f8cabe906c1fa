"""Boundaries: the places where something becomes durable or leaves the process, named before and after.

Nobody listens in production, and a boundary then costs a look at a variable. A test that listens can end the process
at each of them: what must survive a crash is tried wherever a crash could matter, without a list of those places.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from enum import StrEnum
from types import TracebackType


class Side(StrEnum):
    """Where the process stands. A crossing that failed has no ``after``."""

    BEFORE = "before"
    AFTER = "after"


Listener = Callable[[str, Side], None]

_NOT_HEARD: AbstractContextManager[None] = nullcontext()
_listener: Listener | None = None


def listen(listener: Listener | None) -> None:
    """From now on ``listener`` is told of every boundary of this process; None ends that."""
    global _listener
    _listener = listener


def crossing(name: str | Callable[[], Iterable[str]]) -> AbstractContextManager[None]:
    """The block crosses this boundary. Several that are crossed at once are named by a function, which is called only
    when somebody listens."""
    if _listener is None:
        return _NOT_HEARD
    return _Crossing(_listener, (name,) if isinstance(name, str) else tuple(name()))


class _Crossing:
    def __init__(self, listener: Listener, names: tuple[str, ...]) -> None:
        self._listener = listener
        self._names = names

    def __enter__(self) -> None:
        self._tell(Side.BEFORE)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._tell(Side.AFTER)

    def _tell(self, side: Side) -> None:
        for name in self._names:
            self._listener(name, side)
