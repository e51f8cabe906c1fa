"""When the demo kills: moments that are drawn beforehand, so that both contenders are hit at comparable ones."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from ticketflow.cli.demo.job import Job

WORKERS = 3
IN_HAND = 3
"""Tickets that each worker works on at once: few, so that all workers have some at any time."""

LEASE_SECONDS = 2.0
"""How soon a worker that is gone is missed. Short, so that nobody has to wait for the show."""

_CALLS_A_TICKET = 3
_LAST = 0.55
"""No kill is planned after this share of all calls: some tickets need fewer than others, and every kill is to hit."""


@dataclass(frozen=True, slots=True)
class Moment:
    """Once so many questions have been asked, and so many seconds later."""

    calls: int
    delay: float


@dataclass(frozen=True, slots=True)
class Plan:
    """``moments`` is empty where nothing is killed."""

    job: Job
    seed: int
    moments: tuple[Moment, ...]


def moments(seed: int, tickets: int) -> tuple[Moment, ...]:
    """One to three, spread over the run."""
    random = Random(seed)
    kills = 1 if tickets < 4 else 2 if tickets < 20 else 3
    share = tickets * _CALLS_A_TICKET * _LAST / kills
    return tuple(
        Moment(max(1, int(share * (number + random.uniform(0.2, 1)))), random.uniform(0.0, 0.2))
        for number in range(kills)
    )
