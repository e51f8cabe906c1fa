"""The OpenAI adapter on a bench: a real HTTP server that can misbehave, and everything the adapter says and does."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from pydantic import BaseModel

from tests.support.openai_server import OpenAIServer
from ticketflow.llm.openai import OpenAIModel
from ticketflow.llm.port import Question, Usage
from ticketflow.llm.prices import PriceList
from ticketflow.llm.tasks import Classification, TaskName

KEY = "sk-test-3f9a-do-not-print"


@dataclass
class Bench:
    """A server, models that talk to it, what the observer saw, and the sleeps that were asked for but not slept."""

    server: OpenAIServer
    seen: list[tuple[str, str, Usage]] = field(default_factory=list)
    slept: list[float] = field(default_factory=list)
    models: list[OpenAIModel] = field(default_factory=list)

    def answered(self, model: str, outcome: str, usage: Usage) -> None:
        self.seen.append((model, outcome, usage))

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    def model(self, **changes: Any) -> OpenAIModel:
        options: dict[str, Any] = {
            "api_key": KEY,
            "base_url": self.server.url,
            "model": "gpt-4o-mini-2024-07-18",
            "timeout": timedelta(seconds=20),
            "prices": PriceList(),
            "observer": self,
            "sleep": self.sleep,
        }
        self.models.append(OpenAIModel(**(options | changes)))
        return self.models[-1]

    @property
    def outcomes(self) -> list[str]:
        return [outcome for _, outcome, _ in self.seen]


def question(schema: type[BaseModel] = Classification, **material: Any) -> Question[Any]:
    ticket = {"subject": "Wrong invoice [[m1]]", "body": "The invoice for BR-20417 shows the wrong amount."}
    return Question(TaskName.CLASSIFY, "Classify the ticket.", {"ticket": ticket} | material, schema, "classify-1")
