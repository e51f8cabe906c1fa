"""Labelled tickets through the first step: what the model is shown, what is counted, and what a failure leaves."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from ticketflow.domain.errors import ModelRefused, ModelTimeout
from ticketflow.evaluation.classify import Judgement, LabelledTicket, NothingElse, judge
from ticketflow.llm.offline import OfflineModel
from ticketflow.llm.port import AnswerT, Question, Reply, Usage
from ticketflow.workflow.state import Tools


class Observer:
    def stepped(self, step: str, outcome: str, seconds: float) -> None:
        """Of no concern here."""


class Metered(OfflineModel):
    """The rules, at a price; and failing where the ticket says so."""

    def __init__(self) -> None:
        self.materials: list[dict[str, Any]] = []
        self.asking = self.most = 0

    async def ask(self, question: Question[AnswerT]) -> Reply[AnswerT]:
        self.materials.append(question.material)
        self.asking += 1
        self.most = max(self.most, self.asking)
        for _ in range(5):
            await asyncio.sleep(0)
        self.asking -= 1
        question.meter(Usage(1, 100, 10, 7))
        match question.material["ticket"]["subject"]:
            case "slow":
                raise ModelTimeout("took too long")
            case "refused":
                raise ModelRefused("declined")
        return await super().ask(question)


def ticket(row: int, subject: str = "Invoice", **labels: str) -> LabelledTicket:
    return LabelledTicket(row, subject, "My invoice is wrong.", labels or {"category": "billing"})


async def judged(*tickets: LabelledTicket, model: Metered | None = None, at_once: int = 2) -> Judgement:
    nothing = NothingElse()
    tools = Tools(model=model or Metered(), search=nothing, history=nothing, rules=(), observer=Observer())
    return await judge(tickets, tools, at_once)


async def test_the_labels_are_kept_from_the_model() -> None:
    model = Metered()
    found = await judged(ticket(1, category="account", priority="urgent"), model=model)
    assert "account" not in str(model.materials)
    assert "urgent" not in str(model.materials)
    assert found.pairs("category") == [("account", "billing")]
    assert found.pairs("priority") == [("urgent", "medium")]
    [(confidence, right)] = found.confidences()
    assert (0 < confidence < 1, right) == (True, False)


async def test_a_failure_is_named_with_its_row_and_what_it_cost_and_the_rest_goes_on() -> None:
    found = await judged(ticket(1), ticket(2, "slow"), ticket(3, "refused"), ticket(4))
    assert [(each.ticket.row, each.code) for each in found.failed] == [(2, "model_timeout"), (3, "model_refused")]
    assert [each.ticket.row for each in found.judged] == [1, 4]
    assert found.usage == Usage(4, 400, 40, 28)


@pytest.mark.parametrize("at_once", [1, 3])
async def test_so_many_are_asked_about_at_once(at_once: int) -> None:
    model = Metered()
    found = await judged(*map(ticket, range(7)), model=model, at_once=at_once)
    assert (model.most, len(found.judged)) == (at_once, 7)


async def test_a_label_that_a_ticket_lacks_is_not_scored() -> None:
    found = await judged(ticket(1), ticket(2, priority="low"))
    assert [len(found.pairs(name)) for name in ("category", "priority")] == [1, 1]
