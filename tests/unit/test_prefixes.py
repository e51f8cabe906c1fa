"""Requests begin alike: that is what a provider's prompt cache can serve."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
from rs_bpe.bpe import openai

from tests.support.steps import TICKET, Listening, context
from ticketflow.bench.counting_endpoint import CACHE_STEP, LEAST_CACHED, cacheable
from ticketflow.llm.port import Question
from ticketflow.llm.structured import as_data, response_format
from ticketflow.workflow.state import State
from ticketflow.workflow.steps.classify import classify
from ticketflow.workflow.steps.draft import draft
from ticketflow.workflow.steps.review import review, to_be_judged_by

SPARE = 30
"""Tokens. How a provider writes the schema down for its model is its own affair."""


def sent(question: Question[Any]) -> str:
    """In the order in which a provider reads it."""
    schema = orjson.dumps(response_format(question.schema)["json_schema"]).decode()
    return schema + question.instructions + as_data(question.material)


def common_beginning(one: str, other: str) -> str:
    differ = (place for place, (a, b) in enumerate(zip(one, other, strict=False)) if a != b)
    return one[: next(differ, min(len(one), len(other)))]


def article(name: str, *headings: str) -> dict[str, Any]:
    return {
        "id": name,
        "title": name.title(),
        "passages": [{"heading": heading, "text": f"{name}: {heading}"} for heading in headings],
    }


def researched(*articles: dict[str, Any], history: list[dict[str, Any]] | None = None) -> State:
    facts = {"order_id": None, "product": None, "issue_type": "refund", "urgency": None}
    return State(
        classify={"category": "billing", "priority": "low", "confidence": 0.5, "language": "en", "reason": "because"},
        extract=facts,
        research={
            "articles": [{"id": a["id"], "title": a["title"], "score": 0.25, "snippet": "..."} for a in articles],
            "history": history or [],
        },
        passages={each["id"]: each["passages"] for each in articles},
    )


async def test_the_first_question_of_every_ticket_begins_alike_for_as_long_as_a_cache_needs() -> None:
    model = Listening()
    for ticket in (TICKET, replace(TICKET, subject="Otter", body="Water everywhere")):
        await classify(State(), context(model, ticket, serial_number="on the label"))
    alike = common_beginning(*map(sent, model.asked))
    assert '"extra_fields"' in alike
    await classify(State(), context(model, TICKET))
    await classify(State(), context(model, replace(TICKET, subject="Otter", body="Water everywhere")))
    alike = common_beginning(*map(sent, model.asked[2:]))
    assert openai.o200k_base().count(alike) >= LEAST_CACHED + SPARE


async def test_a_revision_begins_with_all_that_the_first_draft_was_shown() -> None:
    model, state = Listening(), researched(article("refunds", "When", "How"))
    first = await draft(state, context(model))
    state |= {"draft": dict(first.output), "review": {"problems": ["too long"]}, "round": 1}
    await draft(state, context(model))
    before, after = map(sent, model.asked)
    assert after.startswith(before.removesuffix("}\n</data>"))
    assert model.asked[1].material["revision"]["problems"] == ["too long"]


async def test_a_draft_is_not_told_what_it_has_no_use_for() -> None:
    model = Listening()
    past = {"ticket_id": "4711", "subject": "Earlier", "category": None, "status": "completed", "disposition": None}
    state = researched(article("refunds", "When"), history=[{**past, "created_at": "2026-01-01"}])
    await draft(state, context(model))
    told = str(model.asked[0].material)
    for useless in ("confidence", "because", "4711", "score", "revision"):
        assert useless not in told
    assert model.asked[0].material["history"][0]["subject"] == "Earlier"


async def test_a_reviewer_sees_what_is_cited_in_full_and_of_the_rest_the_best() -> None:
    model = Listening()
    cited, other = article("refunds", "When", "How", "Where"), article("returns", "Label", "Box", "Box", "Time")
    state = researched(cited, other)
    state["draft"] = {"text": "refunds: When", "citations": ["refunds", "invented"], "asks_customer": False}
    await review(state, context(model))
    [first, second] = model.asked[0].material["articles"]
    assert first["passages"] == cited["passages"]
    assert second["passages"] == other["passages"][:1]
    assert second["other_headings"] == ["Box", "Time"]


def test_where_a_draft_cites_nothing_that_there_is_a_reviewer_sees_everything() -> None:
    articles = [article("refunds", "When", "How"), article("returns", "Label", "Box")]
    for citations in ([], ["invented"]):
        assert to_be_judged_by(articles, {"citations": citations}) == articles
    bare = {"id": "bare", "title": "Bare", "passages": []}
    assert to_be_judged_by([*articles, bare], {"citations": ["refunds"]})[2] == bare


def test_what_a_cache_can_hold_comes_in_steps() -> None:
    tokens = list(range(3000))
    assert cacheable(tokens, []) == 0
    for common, cached in (
        (LEAST_CACHED - 1, 0),
        (LEAST_CACHED, LEAST_CACHED),
        (LEAST_CACHED + CACHE_STEP - 1, LEAST_CACHED),
        (LEAST_CACHED + CACHE_STEP, LEAST_CACHED + CACHE_STEP),
    ):
        assert cacheable(tokens, [[7], [*tokens[:common], -1, *tokens[common:]]]) == cached
