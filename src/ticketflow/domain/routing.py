"""Where a ticket goes: the broker lane it waits in, and the team that owns it.

Routing rules are data. The first rule that matches and names a destination wins; tags of every matching rule apply.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from ticketflow.domain.tickets import Category, Priority


class Lane(StrEnum):
    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"


LANE_OF_PRIORITY: Mapping[Priority, Lane] = {
    Priority.URGENT: Lane.HIGH,
    Priority.HIGH: Lane.HIGH,
    Priority.MEDIUM: Lane.NORMAL,
    Priority.LOW: Lane.LOW,
}


def lane_for(priority: Priority | None) -> Lane:
    """The lane for a priority; a ticket that nobody has judged yet travels in the normal lane."""
    return LANE_OF_PRIORITY[priority] if priority else Lane.NORMAL


@dataclass(frozen=True, slots=True)
class Facts:
    """What rules may look at."""

    category: Category
    priority: Priority
    vip: bool
    tags: Collection[str]
    customer_id: str
    channel: str


@dataclass(frozen=True, slots=True)
class Rule:
    """``when`` maps a fact's name to the values that match; all named facts must match. No ``when`` matches always."""

    name: str
    when: Mapping[str, frozenset[Any]] = field(default_factory=dict)
    team: str | None = None
    escalate: bool = False
    """Hand the ticket to ``team`` at once, with a holding reply in place of a drafted answer."""
    tags: tuple[str, ...] = ()

    def matches(self, facts: Facts) -> bool:
        for fact, wanted in self.when.items():
            value = getattr(facts, fact if fact != "tag" else "tags")
            if fact == "tag":
                if wanted.isdisjoint(value):
                    return False
            elif value not in wanted:
                return False
        return True


@dataclass(frozen=True, slots=True)
class Route:
    """Where the rules sent a ticket. ``rule`` names the one that decided, for whoever asks why."""

    team: str
    escalate: bool
    tags: tuple[str, ...]
    rule: str


DEFAULT_TEAM = "general"


def decide(rules: Sequence[Rule], facts: Facts) -> Route:
    """Apply the rules in order: first destination wins, all tags apply, and no destination means the general team."""
    destination: Rule | None = None
    tags: dict[str, None] = {}
    for rule in rules:
        if not rule.matches(facts):
            continue
        tags.update(dict.fromkeys(rule.tags))
        if destination is None and rule.team is not None:
            destination = rule
    if destination is None:
        return Route(DEFAULT_TEAM, False, tuple(tags), "default")
    assert destination.team is not None
    return Route(destination.team, destination.escalate, tuple(tags), destination.name)
