"""Draft: a reply to the customer that rests on the articles found."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ticketflow.llm.tasks import Draft, TaskName
from ticketflow.workflow.state import RunContext, State
from ticketflow.workflow.steps.frame import Outcome, ask, ticket_material


async def draft(state: State, context: RunContext) -> Outcome:
    """A first draft, be it an answer or a question, or the next one with the review's problems in hand."""
    previous = state.get("draft")
    material: dict[str, Any] = {
        "ticket": ticket_material(context),
        "classification": state["classify"],
        "extraction": state["extract"],
        "articles": articles_with_passages(state),
        "history": state["research"]["history"],
        "revision": previous and {"draft": previous, "problems": state["review"]["problems"]},
    }
    _, outcome = await ask(context, TaskName.DRAFT, material, Draft)
    return replace(outcome, update={"round": state.get("round", 0) + 1})


def articles_with_passages(state: State) -> list[dict[str, Any]]:
    """The articles that research found, with the passages to quote from."""
    passages = state.get("passages", {})
    return [
        {
            "id": article["id"],
            "title": article["title"],
            "score": article["score"],
            "passages": passages.get(article["id"], []),
        }
        for article in state["research"]["articles"]
    ]
