"""The plain loop's side of ``--compare``: somebody starts it again whenever it was killed."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ticketflow.cli.demo.job import answers_in
from ticketflow.cli.demo.plan import Plan
from ticketflow.cli.demo.processes import Child, Children

POLL_SECONDS = 0.05
LOOP = "ticketflow.cli.demo.loop"


@dataclass(slots=True)
class Interruption:
    """``at``: seconds after its first question. ``held`` is 1 when it was in the middle of a ticket; ``unanswered``
    tickets were left; ``after`` so many seconds it asked again."""

    at: float
    held: int
    unanswered: int
    after: float | None = None


@dataclass(slots=True)
class PlainLoop:
    """What is known while it runs; the screen shows it, the report is made of it."""

    tickets: int
    task: str = ""
    calls: int = 0
    started: float | None = None
    seconds: float | None = None
    kills: list[Interruption] = field(default_factory=list)
    answers: list[dict[str, Any]] = field(default_factory=list)

    @property
    def answered(self) -> int:
        return len({answer["ticket"] for answer in self.answers})

    @property
    def answered_twice(self) -> int:
        return sum(times > 1 for times in Counter(answer["ticket"] for answer in self.answers).values())

    @property
    def calls_in_vain(self) -> int:
        """Questions whose answers are in no ticket's answer."""
        return self.calls - sum(int(answer["calls"]) for answer in self.answers)

    def asked(self, task: str) -> None:
        if self.started is None:
            self.started = time.monotonic()
        if self.kills and self.kills[-1].after is None:
            self.kills[-1].after = self.elapsed() - self.kills[-1].at
        self.calls += 1
        self.task = task

    def elapsed(self) -> float:
        """Seconds since the first question, up to the end."""
        if self.seconds is not None or self.started is None:
            return self.seconds or 0.0
        return time.monotonic() - self.started


class Supervisor:
    """Runs the loop to its end, kills it at the plan's moments, and starts it again at once."""

    def __init__(self, children: Children, plan: Plan, tell: Callable[[str], None]) -> None:
        self._children = children
        self._plan = plan
        self._read = -1
        self.now = PlainLoop(plan.job.tickets)
        self._tell = tell

    async def run(self) -> None:
        """Raises ``TicketflowError`` when the loop fails by itself."""
        in_vain = 0
        for moment in self._plan.moments:
            child = await self._start()
            while not child.ended and self.now.calls < moment.calls:
                self._look()
                await asyncio.sleep(POLL_SECONDS)
            await asyncio.sleep(moment.delay)
            if child.ended:
                break
            await child.kill()
            self._look()
            left = self.now.tickets - self.now.answered
            self.now.kills.append(Interruption(self.now.elapsed(), int(self.now.calls_in_vain > in_vain), left))
            in_vain = self.now.calls_in_vain
            self._tell(f"killed the plain loop during {self.now.task}, {left} tickets unanswered")
        else:
            child = await self._start()
        while not child.ended:
            self._look()
            await asyncio.sleep(POLL_SECONDS)
        await child.done()
        self.now.seconds = self.now.elapsed()
        self._look()

    async def _start(self) -> Child:
        return await self._children.start(LOOP, self._plan.job, lambda _, task: self.now.asked(task))

    def _look(self) -> None:
        file = self._plan.job.answers
        assert file is not None
        if file.exists() and (size := file.stat().st_size) != self._read:
            self._read, self.now.answers = size, answers_in(file)
