"""Where tickets go: lanes by priority, teams by rules."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ticketflow.domain.routing import Facts, Lane, Route, Rule, decide, lane_for
from ticketflow.domain.tickets import Category, Priority
from ticketflow.workflow.routes import load

PLAIN = Facts(Category.GENERAL, Priority.MEDIUM, vip=False, tags=(), customer_id="cus_1", channel="web")


def when(**facts: object) -> dict[str, frozenset[object]]:
    return {name: frozenset([value]) for name, value in facts.items()}


def test_every_priority_has_its_lane_and_an_unjudged_ticket_the_normal_one() -> None:
    lanes = {priority: lane_for(priority) for priority in (*Priority, None)}
    assert lanes == {
        Priority.URGENT: Lane.HIGH,
        Priority.HIGH: Lane.HIGH,
        Priority.MEDIUM: Lane.NORMAL,
        Priority.LOW: Lane.LOW,
        None: Lane.NORMAL,
    }


@pytest.mark.parametrize("category", Category)
@pytest.mark.parametrize("priority", Priority)
@pytest.mark.parametrize("vip", [False, True])
def test_the_shipped_rules(category: Category, priority: Priority, vip: bool) -> None:
    route = decide(load(None), replace(PLAIN, category=category, priority=priority, vip=vip))
    if category is Category.TECHNICAL and priority is Priority.URGENT:
        expected = ("l2", True, "urgent-technical")
    elif category is Category.BILLING:
        expected = ("billing", False, "billing")
    else:
        expected = ("general", False, "default")
    assert (route.team, route.escalate, route.rule) == expected
    assert route.tags == (("vip",) if vip else ())


def test_the_first_destination_wins_and_the_tags_of_every_matching_rule_apply() -> None:
    rules = [
        Rule("tags", tags=("a", "b")),
        Rule("not this", when(category="billing"), team="billing", tags=("never",)),
        Rule("first", when(channel="web"), team="web", tags=("b", "c")),
        Rule("second", team="everyone", escalate=True, tags=("d",)),
    ]
    assert decide(rules, PLAIN) == Route("web", False, ("a", "b", "c", "d"), "first")


def test_no_rule_at_all_is_the_general_team() -> None:
    assert decide([], PLAIN) == Route("general", False, (), "default")


def test_all_named_facts_must_match() -> None:
    rule = Rule("both", {**when(category="general"), **when(channel="chat")}, team="t")
    assert not rule.matches(PLAIN)
    assert rule.matches(replace(PLAIN, channel="chat"))
    assert not rule.matches(replace(PLAIN, channel="chat", category=Category.ACCOUNT))


@pytest.mark.parametrize(
    ("rule_when", "facts", "matches"),
    [
        ({"tag": frozenset({"x", "y"})}, {"tags": ("z", "y")}, True),
        ({"tag": frozenset({"x"})}, {"tags": ("z",)}, False),
        ({"tag": frozenset({"x"})}, {"tags": ()}, False),
        ({"customer_id": frozenset({"cus_1", "cus_2"})}, {"customer_id": "cus_2"}, True),
        ({"customer_id": frozenset({"cus_1"})}, {"customer_id": "cus_11"}, False),
        ({"vip": frozenset({False})}, {"vip": False}, True),
        ({"vip": frozenset({True})}, {"vip": False}, False),
        ({"priority": frozenset({"low", "medium"})}, {"priority": Priority.MEDIUM}, True),
        ({"category": frozenset()}, {}, False),
        ({}, {}, True),
    ],
)
def test_a_rule_matches(rule_when: dict[str, frozenset[object]], facts: dict[str, object], matches: bool) -> None:
    assert Rule("rule", rule_when, team="t").matches(replace(PLAIN, **facts)) is matches  # type: ignore[arg-type]
