"""Routing rules from YAML, checked before the first ticket meets them."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from ticketflow.domain.errors import ConfigurationError
from ticketflow.domain.routing import Rule
from ticketflow.domain.tickets import Category, Channel, Priority

_CLOSED_SETS: dict[str, frozenset[Any]] = {
    "category": frozenset(Category),
    "priority": frozenset(Priority),
    "channel": frozenset(Channel),
    "vip": frozenset({True, False}),
}
_OPEN_FACTS = frozenset({"tag", "customer_id"})
_KEYS = frozenset({"name", "when", "team", "escalate", "tags"})


def load(path: Path | None) -> tuple[Rule, ...]:
    """The rules in ``path``, or the shipped ones. Raises ``ConfigurationError`` naming the rule and what is wrong."""
    where = str(path) if path else "the shipped routing rules"
    try:
        text = path.read_text(encoding="utf-8") if path else (files(__package__) / "routes.yaml").read_text("utf-8")
        loaded = yaml.safe_load(text)
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise ConfigurationError(f"TICKETFLOW_ROUTES_FILE: {where} cannot be read: {reason}") from error
    if not isinstance(loaded, list):
        raise ConfigurationError(f"TICKETFLOW_ROUTES_FILE: {where} is not a list of rules")
    return tuple(_rule(entry, f"{where}, rule {number}") for number, entry in enumerate(loaded, 1))


def _rule(entry: Any, where: str) -> Rule:
    def refuse(why: str) -> ConfigurationError:
        return ConfigurationError(f"TICKETFLOW_ROUTES_FILE: {where}: {why}")

    if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
        raise refuse("needs a name")
    if unknown := entry.keys() - _KEYS:
        raise refuse(f"unknown key {sorted(map(str, unknown))[0]!r}")
    when = entry.get("when") or {}
    if not isinstance(when, dict):
        raise refuse("`when` is not a mapping")
    team, escalate, tags = entry.get("team"), entry.get("escalate", False), entry.get("tags") or []
    if team is not None and (not isinstance(team, str) or not team):
        raise refuse("`team` is not a name")
    if not isinstance(escalate, bool) or (escalate and team is None):
        raise refuse("`escalate` is true or false, and needs a `team`")
    if not isinstance(tags, list) or not all(isinstance(tag, str) and tag for tag in tags):
        raise refuse("`tags` is not a list of names")
    if team is None and not tags:
        raise refuse("names neither a `team` nor `tags`, so it does nothing")
    return Rule(
        name=entry["name"],
        when={fact: _wanted(fact, value, refuse) for fact, value in when.items()},
        team=team,
        escalate=escalate,
        tags=tuple(tags),
    )


def _wanted(fact: str, value: Any, refuse: Any) -> frozenset[Any]:
    listed = value if isinstance(value, list) else [value]
    if not listed or any(isinstance(each, list | dict) for each in listed):
        raise refuse(f"{fact} needs a value or a list of values")
    values = frozenset(listed)
    if fact in _OPEN_FACTS and not all(isinstance(each, str) for each in values):
        raise refuse(f"{fact} is compared with texts: put the value in quotes")
    if fact in _CLOSED_SETS:
        if unknown := values - _CLOSED_SETS[fact]:
            raise refuse(f"{fact} is never {sorted(map(str, unknown))[0]!r}")
    elif fact not in _OPEN_FACTS:
        raise refuse(f"unknown fact {fact!r}")
    return values
