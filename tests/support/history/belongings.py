"""What a ticket of the model has: completed steps, a holder, timers, and messages that will wake it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from ticketflow.workflow.state import StepName

Columns = Mapping[str, Any]
"""What steps set: category, priority, team, tags."""


@dataclass(frozen=True)
class Done:
    """A completed step. ``mark`` is its output, ``columns`` the ticket's after it."""

    step: StepName
    round: int
    mark: str
    checkpoint: str
    columns: Columns


@dataclass
class Holder:
    token: UUID
    worker: str
    lost: list[str] = field(default_factory=list)
    """Workers taken to be lost since a step was last completed, and not seen since."""
    takeovers: int = 0
    """How many these were at the claim."""
    expired: bool = False
    released: bool = False


@dataclass
class Timer:
    due: bool
    taken: bool = False


@dataclass
class Messages:
    """A ticket's outbox rows. Their ids are not known before a relay has taken them."""

    unseen: int = 0
    known: dict[int, bool] = field(default_factory=dict)
    """By id: whether the row is there to be taken."""

    @property
    def total(self) -> int:
        return self.unseen + len(self.known)

    @property
    def available(self) -> int:
        return self.unseen + sum(self.known.values())

    def take(self, row_id: int) -> None:
        if row_id in self.known:
            assert self.known[row_id], "a row was taken that another relay has"
        else:
            assert self.unseen, "a row was taken that nobody wrote"
            self.unseen -= 1
        self.known[row_id] = False

    def offer(self, row_ids: Iterable[int]) -> None:
        self.known |= {row_id: True for row_id in row_ids if row_id in self.known}

    def forget(self, row_ids: Iterable[int]) -> None:
        for row_id in row_ids:
            self.known.pop(row_id, None)
