"""What every contender works with: the same six steps, a model that answers at once, no knowledge base to wait for."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from ticketflow.db.reads import PastTicket
from ticketflow.domain.tickets import Channel, Status, Ticket
from ticketflow.knowledge.articles import Article, Passage
from ticketflow.knowledge.library import Hit
from ticketflow.llm.port import AnswerT, Question, Reply, Usage
from ticketflow.llm.tasks import Draft, Extraction, Review, ReviewScores, TaskName, Triage
from ticketflow.workflow.state import StepReport, Tools

TEXT = (
    "Since this morning the keypad of my lock stays dark. New batteries did not help, and the app says that the lock "
    "is offline although the hub is fine. How do I get it back without drilling the door open?"
)
_PASSAGE = Passage(
    "Waking the keypad",
    "Hold the lock's inner button for ten seconds until the ring blinks twice, then enter your code within a minute.",
)
ARTICLE = Article(
    "lock-keypad-dark", "The keypad stays dark", f"## {_PASSAGE.heading}\n\n{_PASSAGE.body}", passages=(_PASSAGE,)
)
"""For a knowledge base that is asked: what the drafts cite."""

_HIT = Hit(ARTICLE.id, ARTICLE.title, 0.9, (_PASSAGE,))
_FACTS = Extraction(order_id=None, product="lock", issue_type="defect", urgency="medium")
_ANSWERS = {
    TaskName.CLASSIFY: Triage(
        category="technical",
        priority="medium",
        confidence=0.9,
        language="en",
        reason="a device does not respond",
        facts=_FACTS,
    ),
    TaskName.EXTRACT: _FACTS,
    TaskName.DRAFT: Draft(text=f"Hello,\n\n{_PASSAGE.body}\n\nKind regards", citations=[_HIT.id], asks_customer=False),
    TaskName.REVIEW: Review(verdict="approve", scores=ReviewScores(accuracy=0.9, tone=0.9, policy=1.0), problems=[]),
}


class InstantModel:
    """Answers in no time, so that what remains is the cost of durability."""

    name = "instant"

    async def ask(self, question: Question[AnswerT]) -> Reply[AnswerT]:
        answer: Any = _ANSWERS[question.task]
        return Reply(answer, self.name, Usage(1, 500, 120, 0))

    async def check(self) -> None:
        """Always there."""

    async def aclose(self) -> None:
        """Holds nothing."""


class PacedModel(InstantModel):
    """Answers after so many seconds; with None whoever asks it waits for ever, with the ticket in hand."""

    def __init__(self, seconds: float | None) -> None:
        self._seconds = seconds

    async def ask(self, question: Question[AnswerT]) -> Reply[AnswerT]:
        if self._seconds is None:
            await asyncio.Event().wait()
        elif self._seconds:
            await asyncio.sleep(self._seconds)
        return await super().ask(question)


class InstantShelf:
    """One article and no history, for the search and history ports."""

    async def search(self, query: str, limit: int = 5, passages: int = 3) -> list[Hit]:
        return [_HIT]

    async def history(self, customer_id: str, except_ticket: UUID, limit: int = 5) -> list[PastTicket]:
        return []


class Unobserved:
    def stepped(self, step: str, outcome: str, seconds: float) -> None:
        """Not measured here."""


class Unrecorded:
    """The recorder of a contender that keeps no trail."""

    def begin(self, step: str) -> None:
        """Not kept."""

    def spend(self, usage: Usage) -> None:
        """Not kept."""

    def record(self, report: StepReport) -> None:
        """Not kept."""


def tools() -> Tools:
    shelf = InstantShelf()
    return Tools(model=InstantModel(), search=shelf, history=shelf, rules=(), observer=Unobserved())


def ticket() -> Ticket:
    now = datetime.now(UTC)
    return Ticket(
        id=uuid4(),
        customer_id="cus_bench",
        subject="Keypad dark",
        body=TEXT,
        channel=Channel.API,
        status=Status.PROCESSING,
        version=1,
        attempt=1,
        flow_version="1",
        created_at=now,
        updated_at=now,
    )
