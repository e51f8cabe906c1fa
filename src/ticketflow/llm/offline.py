"""The model port without a model: deterministic rules, for use without a key, and labelled as what they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from ticketflow.llm.port import AnswerT, Question, Reply
from ticketflow.llm.rules.compose import draft
from ticketflow.llm.rules.extract import extract
from ticketflow.llm.rules.review import review
from ticketflow.llm.rules.triage import triage
from ticketflow.llm.structured import clean
from ticketflow.llm.tasks import TaskName

NAME: Final = "offline-rules-1"

_RULES: Final[Mapping[TaskName, Callable[[Mapping[str, Any]], dict[str, Any]]]] = {
    TaskName.CLASSIFY: triage,
    TaskName.EXTRACT: extract,
    TaskName.DRAFT: draft,
    TaskName.REVIEW: review,
}


class OfflineModel:
    """Answers from the material alone, the same every time, within milliseconds and without any call or cost."""

    @property
    def name(self) -> str:
        return NAME

    async def ask(self, question: Question[AnswerT]) -> Reply[AnswerT]:
        found = clean(_RULES[question.task](question.material))
        # A schema may ask for more than the rules know; those fields are null.
        values = {field: found.get(field) for field in question.schema.model_fields}
        return Reply(answer=question.schema.model_validate(values), model=NAME)

    async def check(self) -> None:
        """There is nothing that could be out of reach."""

    async def aclose(self) -> None:
        """There is nothing to close."""
