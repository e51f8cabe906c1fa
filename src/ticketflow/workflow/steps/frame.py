"""The frame around every step: its clock, its limit, its report."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from langgraph.runtime import Runtime

from ticketflow.domain.errors import StepTimeout
from ticketflow.llm.port import Question, Usage
from ticketflow.llm.tasks import Answer, TaskName
from ticketflow.workflow.conversation import conversation_material
from ticketflow.workflow.prompts import prompt
from ticketflow.workflow.state import RunContext, State, StepReport


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a step decided. ``update`` is further state beside the step's own output; ``route`` stands in the trail."""

    output: Mapping[str, Any]
    update: Mapping[str, Any] = field(default_factory=dict)
    changes: Mapping[str, Any] = field(default_factory=dict)
    model: str | None = None
    prompt_version: str | None = None
    usage: Usage = field(default_factory=Usage)
    route: Mapping[str, Any] | None = None
    result: Mapping[str, Any] | None = None


Step = Callable[[State, RunContext], Awaitable[Outcome]]
Node = Callable[[State, Runtime[RunContext]], Awaitable[dict[str, Any]]]


def framed(name: str, step: Step) -> Node:
    """A graph node that runs ``step`` within the time limit and records its report.

    Raises ``StepTimeout`` past the limit and lets the step's own errors through.
    """

    async def node(state: State, runtime: Runtime[RunContext]) -> dict[str, Any]:
        context = runtime.context
        context.recorder.begin(name)
        started = time.perf_counter()
        outcome_label = "error"
        limit = context.tools.step_limit.total_seconds()
        try:
            async with asyncio.timeout(limit) as clock:
                outcome = await step(state, replace(context, waiting=lambda: _stopped(clock)))
            outcome_label = "ok"
        except TimeoutError as error:
            outcome_label = "timeout"
            raise StepTimeout(f"{name} took longer than {limit:g} s") from error
        finally:
            seconds = time.perf_counter() - started
            context.tools.observer.stepped(name, outcome_label, seconds)
        context.recorder.record(
            StepReport(
                step=name,
                output=outcome.output,
                duration_ms=round(seconds * 1000),
                round=outcome.update.get("round", state.get("round", 1)),
                model=outcome.model,
                prompt_version=outcome.prompt_version,
                usage=outcome.usage,
                changes=outcome.changes,
                route=outcome.route,
                result=outcome.result,
            )
        )
        update: dict[str, Any] = {name: dict(outcome.output), **outcome.update}
        if outcome.usage.calls:
            update["usage"] = asdict(spent(state) + outcome.usage)
        return update

    return node


@contextlib.contextmanager
def _stopped(clock: asyncio.Timeout) -> Iterator[None]:
    """The step's clock stands while it waits for its turn: a long line is no slow step. One wait at a time."""
    due, loop = clock.when(), asyncio.get_running_loop()
    if due is None:
        raise RuntimeError("the clock stands already")
    left = due - loop.time()
    clock.reschedule(None)
    try:
        yield
    finally:
        clock.reschedule(loop.time() + left)


def spent(state: State) -> Usage:
    """What the run's model calls have cost so far."""
    return Usage(**state.get("usage", {}))


async def ask(
    context: RunContext, task: TaskName, material: dict[str, Any], schema: type[Answer]
) -> tuple[dict[str, Any], Outcome]:
    """Put one question to the model. Returns the answer as plain JSON, and an outcome that names model and cost."""
    instructions = prompt(task)
    reply = await context.tools.model.ask(
        Question(
            task=task,
            instructions=instructions.text,
            material=material,
            schema=schema,
            prompt_version=instructions.version,
            meter=context.recorder.spend,
            waiting=context.waiting,
        )
    )
    answer = reply.answer.model_dump(mode="json")
    return answer, Outcome(output=answer, model=reply.model, prompt_version=instructions.version, usage=reply.usage)


def ticket_material(context: RunContext) -> dict[str, Any]:
    """The customer's own words, and what was said since. Data for the model, never instructions."""
    return {
        "subject": context.ticket.subject,
        "body": context.ticket.body,
        **conversation_material(context.conversation),
    }
