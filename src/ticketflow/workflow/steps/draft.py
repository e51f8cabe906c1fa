"""Draft: a reply to the customer that rests on the articles found."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ticketflow.llm.tasks import Draft, TaskName
from ticketflow.workflow.state import RunContext, State
from ticketflow.workflow.steps.frame import Outcome, ask, ticket_material

TOLD_OF_CLASSIFICATION = ("category", "priority", "language")
"""How sure the first step was, and why, is for people to read: a draft has the ticket itself."""

TOLD_OF_HISTORY = ("subject", "category", "status", "disposition", "created_at")
"""Ids mean nothing to who writes, and are nobody else's business."""


async def draft(state: State, context: RunContext) -> Outcome:
    """A first draft, be it an answer or a question, or the next one with the review's problems in hand."""
    material: dict[str, Any] = {
        "ticket": ticket_material(context),
        "classification": {name: state["classify"][name] for name in TOLD_OF_CLASSIFICATION},
        "extraction": state["extract"],
        "articles": articles_with_passages(state),
    }
    if past := state["research"]["history"]:
        material["history"] = [{name: ticket[name] for name in TOLD_OF_HISTORY} for ticket in past]
    if previous := state.get("draft"):
        # Last, so that what comes before it is the beginning that a provider has cached with the first draft.
        material["revision"] = {"draft": previous, "problems": state["review"]["problems"]}
    _, outcome = await ask(context, TaskName.DRAFT, material, Draft)
    return replace(outcome, update={"round": state.get("round", 0) + 1})


def articles_with_passages(state: State) -> list[dict[str, Any]]:
    """The articles that research found, best first, with the passages to quote from, best first too."""
    passages = state.get("passages", {})
    return [
        {
            "id": article["id"],
            "title": article["title"],
            "passages": passages.get(article["id"], []),
        }
        for article in state["research"]["articles"]
    ]
