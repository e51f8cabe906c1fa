"""The four questions that the pipeline asks a model, and the shape of each answer.

The same models validate what a provider returns, make the JSON schema that is sent for structured outputs,
and are the step outputs of the public contract.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class TaskName(StrEnum):
    CLASSIFY = "classify"
    EXTRACT = "extract"
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
    language: str = Field(description="ISO 639-1 code of the customer's language, such as en")
    reason: str = Field(description="one sentence that says why")


class Extraction(Answer):
    """The facts in the ticket; null where the ticket does not say."""

    order_id: str | None
    product: str | None
    issue_type: str | None
    urgency: str | None


class Draft(Answer):
    """A reply to the customer, and the ids of the articles that it relies on."""

    text: str
    citations: list[str]


class ReviewScores(Answer):
    """Each from 0 (bad) to 1 (good)."""

    accuracy: float = Field(ge=0, le=1)
    tone: float = Field(ge=0, le=1)
    policy: float = Field(ge=0, le=1)


class Review(Answer):
    """The verdict on a draft: send it, revise it, or let a person answer."""

    verdict: Literal["approve", "revise", "escalate"]
    scores: ReviewScores
    problems: list[str]
