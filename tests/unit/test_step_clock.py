"""A step's wall-clock limit: it runs while the step works, and stands while the step waits for its turn."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.support.simulated import now, simulated
from ticketflow.bench.stand_ins import Unrecorded, ticket, tools
from ticketflow.domain.errors import StepTimeout
from ticketflow.llm.port import Question
from ticketflow.llm.tasks import Classification, TaskName
from ticketflow.workflow.state import RunContext, State, StepName
from ticketflow.workflow.steps.frame import Outcome, ask, framed


def run(work: Callable[[RunContext], Awaitable[None]], limit: float = 10) -> float:
    """How long a step took that does ``work``."""

    async def main() -> float:
        async def step(state: State, context: RunContext) -> Outcome:
            await work(context)
            return Outcome({})

        given = replace(tools(), step_limit=timedelta(seconds=limit))
        runtime = SimpleNamespace(context=RunContext(ticket(), given, Unrecorded()))
        await framed(StepName.DRAFT, step)({}, cast(Any, runtime))
        return now()

    return simulated(main())


def test_a_step_that_works_past_its_limit_ends() -> None:
    async def work(context: RunContext) -> None:
        await asyncio.sleep(10.1)

    with pytest.raises(StepTimeout, match="longer than 10 s"):
        run(work)


def test_a_wait_for_its_turn_takes_nothing_from_a_step() -> None:
    async def work(context: RunContext) -> None:
        for _ in range(3):
            await asyncio.sleep(3)
            with context.waiting():
                await asyncio.sleep(1000)

    assert run(work) == 3009


def test_what_is_left_before_a_wait_is_left_after_it() -> None:
    async def work(context: RunContext) -> None:
        await asyncio.sleep(8)
        with context.waiting():
            await asyncio.sleep(1000)
        await asyncio.sleep(2.1)

    with pytest.raises(StepTimeout):
        run(work)


def test_a_wait_that_fails_starts_the_clock_again() -> None:
    async def work(context: RunContext) -> None:
        with pytest.raises(ZeroDivisionError), context.waiting():
            raise ZeroDivisionError
        await asyncio.sleep(10.1)

    with pytest.raises(StepTimeout):
        run(work)


def test_a_question_carries_the_steps_clock() -> None:
    class Slow:
        name = "slow"

        async def ask(self, question: Question[Any]) -> Any:
            with question.waiting():
                await asyncio.sleep(1000)
            return await tools().model.ask(question)

    async def work(context: RunContext) -> None:
        slow = replace(context, tools=replace(context.tools, model=cast(Any, Slow())))
        await ask(slow, TaskName.CLASSIFY, {}, Classification)

    assert run(work) == 1000
