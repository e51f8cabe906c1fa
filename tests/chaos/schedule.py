"""What goes wrong when: drawn from a seed, so that a run that failed can be replayed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from random import Random
from typing import Any


class Mishap(StrEnum):
    KILL_WORKER = "kill a worker"
    KILL_API = "kill an API"
    FREEZE_WORKER = "stop a worker past its lease, then continue it"
    DRAIN_WORKER = "SIGTERM a worker, and again"
    CUT_DATABASE = "cut the database"
    STALL_DATABASE = "stall the database"
    DELAY_DATABASE = "delay the database"
    CUT_BROKER = "cut the broker"
    STALL_BROKER = "stall the broker"
    DELAY_BROKER = "delay the broker"
    PURGE_QUEUES = "purge the queues"
    DELETE_QUEUES = "delete the queues"
    REPEAT_MESSAGES = "publish old messages again, in another order"
    MALFORMED_MESSAGES = "publish messages of no use"
    MODEL_FAULTS = "make the model fail"


LONGEST = {
    Mishap.FREEZE_WORKER: (2.5, 4.0),
    Mishap.DRAIN_WORKER: (0.05, 1.0),
    Mishap.MODEL_FAULTS: (0.5, 2.0),
}
"""Seconds from its begin to its end, at least and at most; (0.2, 2.0) for the others."""

FAULTS: Sequence[dict[str, Any]] = (
    {"latency_seconds": 5.0},
    {"rate_limit_every": 2, "retry_after": "1"},
    {"error_every": 2},
    {"drop_every": 3},
    {"truncate_every": 2},
    {"garble_every": 2},
    {"misfit_every": 2},
    {"refuse_every": 4},
    {"bad_request_every": 5},
    {"error_every": 1},
)


@dataclass(frozen=True)
class Act:
    """``at`` and ``seconds`` count from the begin; ``which`` picks among processes, ``faults`` are the model's."""

    at: float
    what: Mishap
    seconds: float
    which: int
    faults: dict[str, Any]

    def __str__(self) -> str:
        faults = f" {self.faults}" if self.what is Mishap.MODEL_FAULTS else ""
        return f"{self.at:6.2f} s for {self.seconds:.2f} s: {self.what} (number {self.which}){faults}"


def drawn(random: Random, seconds: float, a_second: float) -> list[Act]:
    """A schedule of this length with so many acts a second. Each mishap comes once before any comes twice."""
    number = round(seconds * a_second)
    kinds: list[Mishap] = []
    while len(kinds) < number:
        kinds += random.sample(list(Mishap), len(Mishap))
    acts = []
    for what, at in zip(kinds[:number], sorted(random.uniform(0, seconds) for _ in range(number)), strict=True):
        shortest, longest = LONGEST.get(what, (0.2, 2.0))
        acts.append(Act(at, what, random.uniform(shortest, longest), random.randrange(100), random.choice(FAULTS)))
    return acts
