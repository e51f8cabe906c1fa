"""The anchor of the ``tokens`` row: one model call for each stage, as the tutorials of agent frameworks have it.

Each call is shown the ticket and whatever the stages before it came to, in full. Nothing else is worse than in our own
pipeline: the same instructions (those of stages that are no call of their own any more are kept here as they were), the
same answers asked for, the same articles, the same compact form on the wire.
"""

from __future__ import annotations

from importlib.resources import files
from typing import Any, Literal

from ticketflow.llm.port import AnswerT, Model, Question, Usage
from ticketflow.llm.tasks import Answer, Classification, Draft, Extraction, Review, TaskName
from ticketflow.workflow.prompts import prompt


class Final(Answer):
    """How the ticket ends."""

    reply: str
    sources: list[str]
    disposition: Literal["answered", "asked", "escalated"]


async def run(
    model: Model, ticket: dict[str, Any], given: dict[str, Any], found: dict[str, Any]
) -> tuple[Usage, Final]:
    """One ticket through all five. ``given`` is what the sender set of category and priority; ``found`` is what
    research comes to: ``articles`` with passages, and ``history``."""
    spent = Usage()

    async def call(
        instructions: str, material: dict[str, Any], schema: type[AnswerT]
    ) -> tuple[AnswerT, dict[str, Any]]:
        nonlocal spent
        # The task means nothing to an endpoint.
        reply = await model.ask(Question(TaskName.CLASSIFY, instructions, material, schema, "five-calls"))
        spent += reply.usage
        return reply.answer, reply.answer.model_dump(mode="json")

    known: dict[str, Any] = {"ticket": ticket}
    first = {**known, "given": given} if given else known
    _, known["classification"] = await call(_instructions("classify"), first, Classification)
    _, known["extraction"] = await call(_instructions("extract"), known, Extraction)
    known |= found
    _, known["draft"] = await call(prompt(TaskName.DRAFT).text, known, Draft)
    _, known["review"] = await call(prompt(TaskName.REVIEW).text, known, Review)
    final, _ = await call(_instructions("finalize"), known, Final)
    return spent, final


def _instructions(stage: str) -> str:
    return (files(__package__) / f"{stage}.md").read_text("utf-8").strip()
