"""Labelled tickets through the pipeline's own first step: its prompt, its code, its time limit."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID, uuid4

from langgraph.runtime import Runtime

from ticketflow.db.reads import PastTicket
from ticketflow.domain.errors import TicketflowError
from ticketflow.domain.tickets import Category, Channel, Priority, Status, Ticket
from ticketflow.knowledge.library import Hit
from ticketflow.llm.port import Usage
from ticketflow.workflow.state import FLOW_VERSION, RunContext, State, StepName, StepReport, Tools
from ticketflow.workflow.steps.classify import classify
from ticketflow.workflow.steps.frame import framed

FIELDS: Final[Mapping[str, tuple[str, ...]]] = {"category": tuple(Category), "priority": tuple(Priority)}
"""What can be scored, and the classes of each in order."""


@dataclass(frozen=True, slots=True)
class LabelledTicket:
    """``row`` is its place in the file; ``labels`` holds one or more of ``FIELDS``."""

    row: int
    subject: str
    body: str
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Judged:
    """A ticket that the step has judged: category, priority and confidence as it would have committed them."""

    ticket: LabelledTicket
    answers: Mapping[str, str]
    confidence: float


@dataclass(frozen=True, slots=True)
class Failed:
    """A ticket that got no answer, and why."""

    ticket: LabelledTicket
    code: str
    message: str


@dataclass(slots=True)
class Judgement:
    """All tickets, each in one of the two lists, in the order of the file. ``usage`` holds failed calls as well."""

    judged: list[Judged] = field(default_factory=list)
    failed: list[Failed] = field(default_factory=list)
    usage: Usage = field(default_factory=Usage)
    models: set[str] = field(default_factory=set)
    prompts: set[str] = field(default_factory=set)

    def pairs(self, name: str) -> list[tuple[str, str]]:
        """Label and answer of each judged ticket that has this label."""
        return [(each.ticket.labels[name], each.answers[name]) for each in self._with(name)]

    def confidences(self) -> list[tuple[float, bool]]:
        """How sure each judgement of the category was, and whether it was right."""
        return [
            (each.confidence, each.ticket.labels["category"] == each.answers["category"])
            for each in self._with("category")
        ]

    def _with(self, name: str) -> Iterator[Judged]:
        return (each for each in self.judged if name in each.ticket.labels)


class NothingElse:
    """The search and the history of a run that ends after its first step."""

    async def search(self, query: str, limit: int = 5, passages: int = 3) -> list[Hit]:
        return []

    async def history(self, customer_id: str, except_ticket: UUID, limit: int = 5) -> list[PastTicket]:
        return []


class _Record:
    """The recorder of one run."""

    def __init__(self) -> None:
        self.usage = Usage()
        self.report: StepReport | None = None

    def begin(self, step: str) -> None:
        """There is but one step."""

    def spend(self, usage: Usage) -> None:
        self.usage += usage

    def record(self, report: StepReport) -> None:
        self.report = report


async def judge(
    tickets: Sequence[LabelledTicket], tools: Tools, at_once: int, done: Callable[[], None] = lambda: None
) -> Judgement:
    """Ask about every ticket, ``at_once`` at a time, and tell ``done`` after each. What fails is noted, and the rest
    goes on. The labels are kept from the step."""
    step = framed(StepName.CLASSIFY, classify)
    results: list[tuple[_Record, TicketflowError | None]] = [(_Record(), None) for _ in tickets]
    places = iter(range(len(tickets)))

    async def ask_on() -> None:
        for place in places:
            record = results[place][0]
            context = RunContext(_unlabelled(tickets[place]), tools, record)
            try:
                await step(State(flow_version=FLOW_VERSION), Runtime(context=context))
            except TicketflowError as error:
                results[place] = (record, error)
            done()

    async with asyncio.TaskGroup() as group:
        for _ in range(min(at_once, len(tickets))):
            group.create_task(ask_on())
    found = Judgement()
    for ticket, (record, error) in zip(tickets, results, strict=True):
        found.usage += record.usage
        if error is not None:
            found.failed.append(Failed(ticket, error.code, str(error)))
        elif (report := record.report) is not None:
            found.judged.append(_judged(ticket, report.output))
            found.models.add(str(report.model))
            found.prompts.add(str(report.prompt_version))
    return found


def _judged(ticket: LabelledTicket, output: Mapping[str, Any]) -> Judged:
    return Judged(ticket, {name: str(output[name]) for name in FIELDS}, float(output["confidence"]))


def _unlabelled(ticket: LabelledTicket) -> Ticket:
    """The ticket as it would have come in: with a category or priority of its own, the step would not have to judge."""
    now = datetime.now(UTC)
    return Ticket(
        id=uuid4(),
        customer_id="evaluation",
        subject=ticket.subject,
        body=ticket.body,
        channel=Channel.API,
        status=Status.PROCESSING,
        version=1,
        attempt=1,
        flow_version=FLOW_VERSION,
        created_at=now,
        updated_at=now,
    )
