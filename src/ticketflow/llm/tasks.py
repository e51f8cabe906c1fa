"""The questions that the pipeline asks a model, and the shape of each answer.

The same models validate what a provider returns and make the JSON schema that is sent for structured outputs. Step
outputs of the public contract are ``Classification``, ``Extraction``, ``Draft`` and ``Review``.

Every answer is bounded, because it is stored, published and put before the next step: what would harm a customer half
read is refused beyond its bound, remarks and facts are cut.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


def _cut(limit: int) -> AfterValidator:
    return AfterValidator(lambda value: value[:limit])


Remark = Annotated[str, _cut(1_000)]
Problem = Annotated[str, _cut(500)]
Fact = Annotated[str, _cut(500)] | None
Citation = Annotated[str, Field(max_length=300)]
"""Longer than any file name, and articles are named after their files."""


class TaskName(StrEnum):
    CLASSIFY = "classify"
    """Answered by a ``Triage``, so that the ticket is read once for two steps."""
    EXTRACT = "extract"
    """The facts alone, where no triage of this attempt has them."""
    DRAFT = "draft"
    REVIEW = "review"


class Answer(BaseModel):
    """Base of all structured answers: closed objects, as strict structured outputs require."""

    model_config = ConfigDict(extra="forbid")


class Classification(Answer):
    """What the ticket is about and how pressing it is."""

    category: Literal["billing", "technical", "account", "general"]
    priority: Literal["low", "medium", "high", "urgent"]
    confidence: float = Field(ge=0, le=1, description="how sure, from 0 to 1")
    language: Annotated[str, _cut(50)] = Field(description="ISO 639-1 code of the customer's language, such as en")
    reason: Remark = Field(description="one sentence that says why")


class Extraction(Answer):
    """The facts in the ticket; null where the ticket does not say."""

    order_id: Fact
    product: Fact
    issue_type: Fact
    urgency: Fact


class Triage(Classification):
    """What the ticket is about, how pressing it is, and the facts in it: what one reading tells."""

    facts: Extraction


class Draft(Answer):
    """A reply to the customer, and the ids of the articles that it relies on; or a question to the customer."""

    text: str = Field(max_length=20_000)
    citations: list[Citation] = Field(max_length=50)
    asks_customer: bool = Field(
        description="whether the text asks the customer for something without which no answer can be given"
    )


class ReviewScores(Answer):
    """Each from 0 (bad) to 1 (good)."""

    accuracy: float = Field(ge=0, le=1)
    tone: float = Field(ge=0, le=1)
    policy: float = Field(ge=0, le=1)


class Review(Answer):
    """The verdict on a draft: send it, revise it, or let a person answer."""

    verdict: Literal["approve", "revise", "escalate"]
    scores: ReviewScores
    problems: Annotated[list[Problem], _cut(20)]
