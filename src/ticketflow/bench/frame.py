"""What every row of the benchmark is made of: a plan, a place to measure in, figures with their spread, and goals."""

from __future__ import annotations

import math
import statistics
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any

from ticketflow.domain.errors import ConfigurationError
from ticketflow.settings import Settings


@dataclass(frozen=True, slots=True)
class Plan:
    """``tickets`` a round, where a row has no number of its own; so also ``in_flight``. ``sweep``: measure also what
    only a plot shows, such as the same at many numbers in flight."""

    tickets: int = 400
    in_flight: int = 50
    rounds: int = 5
    sweep: bool = False
    growth_tickets: int = 1_000_000
    """In the largest of the databases that are compared by size."""


@dataclass(frozen=True, slots=True)
class Bench:
    """What a row is measured with. ``database`` gives the connection string of an empty one, as a context."""

    database: Callable[[], AbstractAsyncContextManager[str]]
    plan: Plan
    settings: Settings


@dataclass(frozen=True, slots=True)
class Spread:
    """Of one figure over the rounds."""

    median: float
    min: float
    max: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        return cls(statistics.median(values), min(values), max(values))

    @classmethod
    def of_ratios(cls, ours: Sequence[float], theirs: Sequence[float]) -> Spread:
        """Round by round, so that a machine that slows down for a while slows both sides of a ratio."""
        return cls.of([a / b for a, b in zip(ours, theirs, strict=True)])


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest of the values that at least this share of them does not exceed (nearest rank)."""
    return sorted(values)[max(math.ceil(share * len(values)), 1) - 1]


@dataclass(frozen=True, slots=True)
class Goal:
    """What a figure is to reach; one of the two bounds."""

    figure: str
    at_least: float | None = None
    at_most: float | None = None

    def reached(self, figure: Spread) -> bool:
        if self.at_least is not None:
            return figure.median >= self.at_least
        return self.at_most is not None and figure.median <= self.at_most


@dataclass(frozen=True, slots=True)
class Plot:
    """Lines over one axis: label -> points. Both axes are logarithmic where so said."""

    name: str
    title: str
    x: str
    y: str
    lines: Mapping[str, Sequence[tuple[float, float]]]
    log_x: bool = False
    log_y: bool = False


@dataclass(frozen=True, slots=True)
class Measurement:
    """One row as measured. ``figures`` are by name, with the unit in the name unless it is a ratio; ``setting`` says
    under what load; ``details`` are for whoever wants to know more."""

    what: str
    setting: Mapping[str, Any]
    figures: Mapping[str, Spread]
    goals: Sequence[Goal] = ()
    details: Mapping[str, Any] = field(default_factory=dict)
    plots: Sequence[Plot] = ()


class LeftOut(ConfigurationError):
    """A row cannot be measured with what is configured. That is a failure where it was asked for by its name."""


Row = Callable[[Bench], Awaitable[Measurement]]

Contender = Callable[[int, int], Awaitable[float]]
"""Runs so many tickets with so many in flight and returns the seconds that it took."""


@contextmanager
def of_development() -> Iterator[None]:
    """Around the import of a package that only the benchmark needs. Raises ``ConfigurationError`` where it is not
    installed."""
    try:
        yield
    except ImportError as error:
        raise ConfigurationError(
            f"the benchmark needs {error.name}, which is not installed: pip install '.[dev]' in a checkout"
        ) from error
