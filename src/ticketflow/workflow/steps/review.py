"""Review: the model judges what needs judgement, the guardrails what code can judge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ticketflow.llm.tasks import Review, TaskName
from ticketflow.workflow.conversation import told_by_pipeline
from ticketflow.workflow.guardrails import problems_of
from ticketflow.workflow.state import MAX_QUESTIONS, MAX_REVISIONS, RunContext, State
from ticketflow.workflow.steps.draft import articles_with_passages
from ticketflow.workflow.steps.frame import Outcome, ask, ticket_material

LOWEST_SCORE = 0.5
"""An answer that its own reviewer rates below this, in any respect, does not go out."""


async def review(state: State, context: RunContext) -> Outcome:
    """The verdict. A guardrail's objection is never outvoted, and after the last allowed revision a person decides."""
    drafted = state["draft"]
    articles = articles_with_passages(state)
    answer, outcome = await ask(
        context,
        TaskName.REVIEW,
        {"ticket": ticket_material(context), "articles": to_be_judged_by(articles, drafted), "draft": drafted},
        Review,
    )
    # A draft of an earlier release has no such field.
    asks = drafted.get("asks_customer", False)
    objections = problems_of(
        drafted["text"], drafted["citations"], articles, context.ticket, context.conversation, asks=asks
    )
    problems = [*answer["problems"], *(problem for problem in objections if problem not in answer["problems"])]
    verdict = answer["verdict"]
    # An approval that contradicts itself is none.
    doubtful = problems or min(answer["scores"].values()) < LOWEST_SCORE
    if verdict == "approve" and doubtful:
        verdict = "revise"
    if asks and verdict != "escalate" and told_by_pipeline(context.conversation) >= MAX_QUESTIONS:
        verdict = "escalate"
        problems.append(f"asks the customer, who has had {MAX_QUESTIONS} messages from the pipeline and needs a person")
    if verdict == "approve" and not asks and not drafted["citations"]:
        # The drafting prompt leaves the citations out when no article answers: nothing for another draft to mend.
        verdict = "escalate"
        problems.append("cites no article")
    if verdict == "revise" and state.get("round", 1) > MAX_REVISIONS:
        verdict = "escalate"
        problems.append(f"still not right after {MAX_REVISIONS} revisions")
    return replace(outcome, output={**answer, "verdict": verdict, "problems": problems})


def to_be_judged_by(articles: Sequence[dict[str, Any]], drafted: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The articles as a reviewer needs them: in full where the draft cites them, for it may state nothing else.

    Of the others the best passage and the headings of the rest show whether one of them would have been the better
    source. Where the draft cites none of them, all are in full: whether they answer the ticket is then the question.
    """
    cited = {article["id"] for article in articles} & set(drafted["citations"])
    return [article if not cited or article["id"] in cited else _in_short(article) for article in articles]


def _in_short(article: dict[str, Any]) -> dict[str, Any]:
    best, *others = article["passages"] or [None]
    headings = list(dict.fromkeys(passage["heading"] for passage in others if passage["heading"]))
    return {**article, "passages": [best] if best else [], **({"other_headings": headings} if headings else {})}
