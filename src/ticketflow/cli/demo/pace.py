"""A model that takes as long as a real one, for the demo alone: offline rules would be done before any kill."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from zlib import crc32

import orjson

from ticketflow.llm.port import AnswerT, Model, Question, Reply
from ticketflow.llm.tasks import TaskName


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds that are added to each question. The same question takes as long in every process."""

    shortest: float
    longest: float

    def seconds(self, question: Question[Any]) -> float:
        asked = orjson.dumps([question.task, question.material["ticket"], bool(question.material.get("revision"))])
        return self.shortest + (self.longest - self.shortest) * crc32(asked) / 2**32

    def __str__(self) -> str:
        return f"{self.shortest:g} to {self.longest:g} s"


class PacedModel:
    """Asks ``inner`` after the time that ``pace`` adds, if any, and tells ``asked`` of every question beforehand."""

    def __init__(self, inner: Model, pace: Pace | None, asked: Callable[[TaskName], None]) -> None:
        self._inner = inner
        self._pace = pace
        self._asked = asked

    @property
    def name(self) -> str:
        return self._inner.name

    async def ask(self, question: Question[AnswerT]) -> Reply[AnswerT]:
        self._asked(question.task)
        if self._pace is not None:
            await asyncio.sleep(self._pace.seconds(question))
        return await self._inner.ask(question)

    async def check(self) -> None:
        await self._inner.check()

    async def aclose(self) -> None:
        await self._inner.aclose()
