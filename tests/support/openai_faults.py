"""What the OpenAI test server can do wrong on demand, and what it counts."""

from __future__ import annotations

import dataclasses
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

FAULTS = ("rate_limit", "error", "drop", "truncate", "refuse", "garble", "misfit", "quota", "bad_request")


@dataclass
class Faults:
    """What goes wrong. ``*_every`` hits each n-th call (0 is never); ``next`` comes first, one of ``FAULTS`` a call.

    ``rate_limit`` is a 429 with ``retry_after`` in Retry-After, ``error`` a 500, ``drop`` a connection cut inside the
    answer, ``truncate`` half an answer with ``finish_reason: length``, ``refuse`` a refusal, ``garble`` text that is no
    JSON, ``misfit`` JSON that breaks the schema, ``quota`` a 429 ``insufficient_quota``, ``bad_request`` a 400.
    """

    latency_seconds: float = 0.0
    rate_limit_every: int = 0
    error_every: int = 0
    drop_every: int = 0
    truncate_every: int = 0
    refuse_every: int = 0
    garble_every: int = 0
    misfit_every: int = 0
    quota_every: int = 0
    bad_request_every: int = 0
    retry_after: str = "1"
    usage: bool = True
    echo_key: bool = False
    """Repeat the caller's key in error messages, as careless gateways do."""
    content: str | None = None
    """Answer with exactly this text instead of a canned answer."""
    completion: dict[str, Any] = field(default_factory=dict)
    """Fields that replace those of each completion, such as ``usage`` and ``model``."""
    padding: int = 0
    """Blanks after each answer, in bytes: JSON as valid as before."""
    gzip: bool = False
    next: list[str] = field(default_factory=list)
    planned: list[dict[str, Any]] = field(default_factory=list)
    """For one ticket alone: ``{"marker", "task", "fault", "times"}``, the first of them that fits."""
    held: list[str] = field(default_factory=list)
    """Markers of tickets, and names of tasks, whose calls wait for their answer until they stand here no longer."""

    def change(self, values: dict[str, Any]) -> None:
        known = {f.name for f in dataclasses.fields(self)}
        if unknown := set(values) - known:
            raise ValueError(f"unknown fault fields: {sorted(unknown)}")
        if unknown := set(values.get("next", ())) - set(FAULTS):
            raise ValueError(f"unknown faults: {sorted(unknown)}")
        for name, value in values.items():
            setattr(self, name, value)

    def pick(self, call: int, task: str, markers: list[str]) -> str | None:
        if self.next:
            return self.next.pop(0)
        for plan in self.planned:
            if plan["task"] == task and plan["marker"] in markers and plan["times"] > 0:
                plan["times"] -= 1
                return str(plan["fault"])
        for name in FAULTS:
            every = getattr(self, f"{name}_every")
            if every and call % every == 0:
                return name
        return None


@dataclass
class Stats:
    calls: Counter[str] = field(default_factory=Counter)
    answered: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    markers: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    answered_markers: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    total: int = 0
    rejected: int = 0
    waiting: Counter[str] = field(default_factory=Counter)
    """Calls of each task whose answer a fault keeps back."""
    in_flight: int = 0
    max_in_flight: int = 0
    connections: set[Any] = field(default_factory=set)

    def as_json(self) -> dict[str, Any]:
        return {
            "total": self.total,
            "rejected": self.rejected,
            "calls": dict(self.calls),
            "answered": dict(self.answered),
            "faults": dict(self.faults),
            "markers": {marker: dict(tasks) for marker, tasks in self.markers.items()},
            "answered_markers": {marker: dict(tasks) for marker, tasks in self.answered_markers.items()},
            "waiting": dict(self.waiting),
            "in_flight": self.in_flight,
            "max_in_flight": self.max_in_flight,
            "connections": len(self.connections),
        }
