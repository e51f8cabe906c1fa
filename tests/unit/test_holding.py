"""What a customer hears when a person takes over, and that it fits what they wrote."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest

from tests.support.conversation import talk
from ticketflow.domain.conversation import Message
from ticketflow.workflow.holding import HOLDING_REPLIES, Occasion, holding_reply, occasion
from ticketflow.workflow.state import RunContext, State
from ticketflow.workflow.steps.finalize import finalize


@pytest.mark.parametrize(
    ("priority", "issue", "expected"),
    [
        ("medium", "refund", Occasion.REQUEST),
        ("high", None, Occasion.REQUEST),
        ("urgent", "malfunction", Occasion.URGENT),
        ("high", "account_security", Occasion.URGENT),
        ("urgent", "safety", Occasion.HARM),
        ("high", "complaint", Occasion.COMPLAINT),
        ("medium", "legal", Occasion.COMPLAINT),
        ("low", "thanks", Occasion.THANKS),
    ],
)
def test_priority_and_issue_decide_the_tone(priority: str, issue: str | None, expected: Occasion) -> None:
    assert occasion(priority, issue) is expected


@pytest.mark.parametrize("calm", ["anything in the meantime", "nichts tun", "rien à faire", "nada", "nulla", "niets"])
def test_nobody_is_told_that_there_is_nothing_to_do(calm: str) -> None:
    spoken = [text for replies in HOLDING_REPLIES.values() for text in replies.values()]
    assert [text for text in spoken if calm in text] == []


def test_where_there_may_be_danger_the_emergency_number_is_named() -> None:
    for each in (Occasion.URGENT, Occasion.HARM):
        assert "your local emergency number" in holding_reply("en", each)
    assert "sorry" in holding_reply("en", Occasion.COMPLAINT)


def test_every_occasion_is_spoken_in_every_language() -> None:
    languages = set(HOLDING_REPLIES[Occasion.REQUEST])
    assert all(set(HOLDING_REPLIES[each]) == languages for each in Occasion)
    assert holding_reply("DE-at", Occasion.URGENT) == HOLDING_REPLIES[Occasion.URGENT]["de"]
    assert holding_reply("ja", Occasion.URGENT) == HOLDING_REPLIES[Occasion.URGENT]["en"]


@pytest.mark.parametrize(
    "each", [Occasion.REQUEST, Occasion.URGENT, Occasion.HARM, Occasion.COMPLAINT, Occasion.THANKS]
)
@pytest.mark.parametrize("language", HOLDING_REPLIES[Occasion.REQUEST])
def test_nobody_gets_the_same_holding_reply_twice(each: Occasion, language: str) -> None:
    first = holding_reply(language, each)
    second = holding_reply(language, each, [first])
    assert first != second
    assert ("Notruf" in second) == (each in (Occasion.URGENT, Occasion.HARM) and language == "de")


async def test_a_ticket_that_is_handed_over_again_says_so_in_other_words() -> None:
    state = cast(
        State,
        {
            "classify": {"category": "general", "priority": "low", "language": "en"},
            "extract": {"product": None, "issue_type": "question"},
        },
    )
    first = (await finalize(state, _context())).output["reply"]
    second = (await finalize(state, _context(*talk(("pipeline", first), ("customer", "And?"))))).output["reply"]
    assert second == HOLDING_REPLIES[Occasion.AGAIN]["en"] != first


async def test_a_ticket_that_skips_the_answer_gets_the_fitting_reply() -> None:
    state = cast(
        State,
        {
            "classify": {"category": "technical", "priority": "urgent", "language": "de"},
            "extract": {"product": "Badger", "issue_type": "malfunction"},
        },
    )
    outcome = await finalize(state, _context())
    assert outcome.output["disposition"] == "escalated"
    assert outcome.output["reply"] == HOLDING_REPLIES[Occasion.URGENT]["de"]


def _context(*conversation: Message) -> RunContext:
    return cast(
        RunContext,
        SimpleNamespace(tools=SimpleNamespace(model=SimpleNamespace(name="rules")), conversation=conversation),
    )
