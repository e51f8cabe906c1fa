"""Single steps on the offline rules, which remember what they were asked."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ticketflow.bench.stand_ins import ticket as some_ticket
from ticketflow.domain.tickets import Ticket
from ticketflow.evaluation.classify import NothingElse
from ticketflow.llm.offline import OfflineModel
from ticketflow.llm.port import AnswerT, Question, Reply, Usage
from ticketflow.workflow.state import RunContext, StepReport, Tools


class Listening(OfflineModel):
    """The rules, which remember what they were asked and cost something."""

    def __init__(self) -> None:
        self.asked: list[Question[Any]] = []

    async def ask(self, question: Question[AnswerT]) -> Reply[AnswerT]:
        self.asked.append(question)
        return replace(await super().ask(question), usage=Usage(1, 10, 5, 1))


class Silent:
    """A recorder and an observer whom nobody asks."""

    def begin(self, step: str) -> None: ...

    def spend(self, usage: Usage) -> None: ...

    def record(self, report: StepReport) -> None: ...

    def stepped(self, step: str, outcome: str, seconds: float) -> None: ...


TICKET = replace(
    some_ticket(),
    subject="Charged twice",
    body="My card shows order CL-48102 twice.\nSerial number: SN-77",
    category=None,
    priority=None,
)


def context(model: Listening, ticket: Ticket = TICKET, **extra_fields: str) -> RunContext:
    nothing = NothingElse()
    tools = Tools(model, search=nothing, history=nothing, rules=(), observer=Silent(), extra_fields=extra_fields)
    return RunContext(ticket, tools, Silent())
