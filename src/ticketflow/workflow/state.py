"""What the graph carries from step to step: plain JSON values, so that any release can read any checkpoint.

The ticket itself is not in the state. It stands in its row, and every run gets it from there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Any, Protocol, TypedDict

from ticketflow.db.reads import PastTicket
from ticketflow.domain.conversation import Message
from ticketflow.domain.routing import Rule
from ticketflow.domain.tickets import Ticket
from ticketflow.knowledge.library import Hit
from ticketflow.llm.port import Model, Usage, Waiting

FLOW_VERSION = "1"
"""Raised when a change to the graph could surprise tickets that are under way."""

MAX_REVISIONS = 2
"""How often review may send a draft back before a person has to answer."""


MAX_QUESTIONS = 2
"""How many messages the pipeline may have sent to a customer and still ask; after that a person does."""


class StepName(StrEnum):
    CLASSIFY = "classify"
    EXTRACT = "extract"
    RESEARCH = "research"
    DRAFT = "draft"
    REVIEW = "review"
    FINALIZE = "finalize"


STEP_OUTCOMES = ("ok", "error", "timeout")
"""How a step can end, for whoever counts."""


class State(TypedDict, total=False):
    """Each step's latest output under its own name, and what the edges need.

    ``facts`` are what the first step has read for ``extract``, with the attempt that it was in: see ``steps.facts``.
    ``passages`` holds, by article id, the text that drafts may quote; ``round`` counts drafts from 1; ``usage`` is the
    sum over all model calls in ``Usage``'s field names.
    """

    flow_version: str
    classify: dict[str, Any]
    facts: dict[str, Any]
    extract: dict[str, Any]
    route: dict[str, Any]
    research: dict[str, Any]
    passages: dict[str, list[dict[str, str]]]
    draft: dict[str, Any]
    review: dict[str, Any]
    finalize: dict[str, Any]
    round: int
    usage: dict[str, int]


class Search(Protocol):
    """The knowledge base, as research sees it."""

    async def search(self, query: str, limit: int = 5, passages: int = 3) -> list[Hit]: ...


class History(Protocol):
    """A customer's earlier tickets, as research sees them."""

    async def history(self, customer_id: str, except_ticket: Any, limit: int = 5) -> list[PastTicket]: ...


class StepObserver(Protocol):
    def stepped(self, step: str, outcome: str, seconds: float) -> None: ...


@dataclass(frozen=True, slots=True)
class Tools:
    """What the steps work with; one set serves all tickets of a process."""

    model: Model
    search: Search
    history: History
    rules: Sequence[Rule]
    observer: StepObserver
    extra_fields: Mapping[str, str] = field(default_factory=dict)
    """More facts to extract: name -> description for the model."""
    step_limit: timedelta = timedelta(seconds=180)


@dataclass(frozen=True, slots=True)
class StepReport:
    """What a finished step has to say, recorded as its ``step_complete`` event.

    ``changes`` are the ticket columns that it sets; ``route`` is where the routing rules sent the ticket, and why;
    ``result`` is the ticket's result once the last step has one.
    """

    step: str
    output: Mapping[str, Any]
    duration_ms: int
    round: int
    model: str | None = None
    prompt_version: str | None = None
    usage: Usage = field(default_factory=Usage)
    changes: Mapping[str, Any] = field(default_factory=dict)
    route: Mapping[str, Any] | None = None
    result: Mapping[str, Any] | None = None


class Recorder(Protocol):
    def begin(self, step: str) -> None:
        """A step starts; should it fail, this is the one to blame."""
        ...

    def spend(self, usage: Usage) -> None:
        """The current step's model calls took this; should it fail, nothing else tells."""
        ...

    def record(self, report: StepReport) -> None:
        """Keep the report until the step's checkpoint is written, and commit both together."""
        ...


@dataclass(frozen=True, slots=True)
class RunContext:
    """One ticket's run through the graph. ``waiting`` goes around what does not count against the step's time limit.

    ``conversation`` holds the public messages, oldest first, without the ticket's own text; empty on a first run.
    """

    ticket: Ticket
    tools: Tools
    recorder: Recorder
    waiting: Waiting = nullcontext
    conversation: Sequence[Message] = ()
