"""Finalize: one result, from whatever way the ticket took."""

from __future__ import annotations

from typing import Any

from ticketflow.domain.tickets import Disposition
from ticketflow.workflow.conversation import support_texts
from ticketflow.workflow.holding import Occasion, holding_reply, occasion
from ticketflow.workflow.state import RunContext, State
from ticketflow.workflow.steps.frame import Outcome, spent


async def finalize(state: State, context: RunContext) -> Outcome:
    """The approved draft as the answer or as a question, or a holding reply where a person takes over."""
    reviewed, drafted = state.get("review"), state.get("draft")
    sources: list[dict[str, str]] = []
    if reviewed is not None and drafted is not None and reviewed["verdict"] == "approve":
        disposition = Disposition.ASKED if drafted.get("asks_customer", False) else Disposition.ANSWERED
        reply = drafted["text"]
        titles = {article["id"]: article["title"] for article in state["research"]["articles"]}
        sources = [{"article_id": cited, "title": titles[cited]} for cited in dict.fromkeys(drafted["citations"])]
    else:
        classified, issue = state["classify"], state["extract"].get("issue_type")
        said = support_texts(context.conversation)
        why = occasion(classified["priority"], issue)
        # Who only thanks us for what we said needs nobody.
        settled = why is Occasion.THANKS and bool(said) and not state["route"]["escalate"]
        disposition = Disposition.ANSWERED if settled else Disposition.ESCALATED
        reply = holding_reply(classified["language"], why, said)
    output: dict[str, Any] = {"reply": reply, "sources": sources, "disposition": disposition}
    result = {
        "category": state["classify"]["category"],
        "entities": state["extract"],
        "reply": reply,
        "sources": sources,
        "review": reviewed,
        "disposition": disposition,
        "model": context.tools.model.name,
        "usage": spent(state).as_json(),
    }
    return Outcome(output=output, result=result)
