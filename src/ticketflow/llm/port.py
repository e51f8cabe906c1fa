"""The port to a language model: one question in, one typed answer with its cost out."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from pydantic import BaseModel

from ticketflow.llm.tasks import TaskName

AnswerT = TypeVar("AnswerT", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Usage:
    """What one or more model calls took. Cost is in millionths of a US dollar."""

    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_micro_usd: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.calls + other.calls,
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.cost_micro_usd + other.cost_micro_usd,
        )

    def as_json(self) -> dict[str, int | float]:
        """The public shape: ``{"calls", "input_tokens", "output_tokens", "cost_usd"}``."""
        return {
            "calls": self.calls,
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "cost_usd": self.cost_micro_usd / 1_000_000,
        }


Waiting = Callable[[], AbstractContextManager[None]]


def _unmetered(usage: Usage) -> None:
    """Nobody asked."""


@dataclass(frozen=True, slots=True)
class Question(Generic[AnswerT]):
    """One question to a model.

    ``instructions`` are ours (the versioned prompt file); ``material`` is data from outside (ticket text, articles,
    an earlier draft) as plain JSON values and is never to be obeyed. A provider that reads text gets both,
    clearly parted; rules that read fields use ``material`` alone.

    ``meter`` is told what each attempt at an answer took, as soon as that is known: an error brings no ``Reply``.
    ``waiting`` is put around every wait for a turn to ask, which is nobody's time limit to keep.
    """

    task: TaskName
    instructions: str
    material: dict[str, Any]
    schema: type[AnswerT]
    prompt_version: str
    meter: Callable[[Usage], None] = field(default=_unmetered, repr=False, compare=False)
    waiting: Waiting = field(default=nullcontext, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Reply(Generic[AnswerT]):
    """A model's answer, already checked against the schema. ``model`` names what really answered."""

    answer: AnswerT
    model: str
    usage: Usage = field(default_factory=Usage)


class Model(Protocol):
    """Anything that can answer a question.

    Raises ``ModelTimeout``, ``RateLimited``, ``ModelUnavailable`` or ``ModelOutputInvalid`` (all transient) after its
    own retries are used up, ``ProviderDown`` without asking while the provider is known to be down, and
    ``ModelRefused`` where asking again is useless.
    """

    @property
    def name(self) -> str:
        """The configured model, or the honest label of whatever stands in for one."""
        ...

    async def ask(self, question: Question[AnswerT]) -> Reply[AnswerT]: ...

    async def check(self) -> None:
        """Ask one small question, once, and raise as ``ask`` would when it is not answered as it must be.

        It is asked whatever is known of the provider.
        """
        ...

    async def aclose(self) -> None: ...
