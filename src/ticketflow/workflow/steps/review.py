"""Review: the model judges what needs judgement, the guardrails what code can judge."""

from __future__ import annotations

from dataclasses import replace

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
        {"ticket": ticket_material(context), "articles": articles, "draft": drafted},
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
