"""``python -m ticketflow.cli.demo.loop``: what one would write first, a script that answers one ticket after the other.

It asks the same model about the same articles in the same steps as the workers do. What it knows of a ticket is in its
memory until the answer is in the file; started again, it goes on with the first ticket that is not in the file.
"""

from __future__ import annotations

import asyncio
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import orjson

from ticketflow import wiring
from ticketflow.bench.stand_ins import Unrecorded
from ticketflow.cli.demo.job import Job, answers_in, say_asked, taken_job, when_left_alone
from ticketflow.cli.demo.pace import PacedModel
from ticketflow.cli.demo.shop import sample
from ticketflow.domain.errors import TicketflowError
from ticketflow.domain.tickets import Status, Ticket
from ticketflow.llm.tasks import TaskName
from ticketflow.telemetry import logs
from ticketflow.workflow.graph import STEPS, after_extract, after_review
from ticketflow.workflow.state import FLOW_VERSION, RunContext, State, StepName, Tools
from ticketflow.workflow.steps.frame import Outcome, spent


async def run(job: Job) -> None:
    """Answer what is not answered yet."""
    assert job.answers is not None
    task = asyncio.current_task()
    assert task is not None
    when_left_alone(task.cancel)
    asked: list[TaskName] = []

    def ask(name: TaskName) -> None:
        asked.append(name)
        say_asked(name)

    done = {answer["ticket"] for answer in answers_in(job.answers)}
    async with wiring.connected(job.settings, auto_migrate=False) as app:
        model = PacedModel(wiring.model(job.settings, app.observer), job.pace, ask)
        tools = wiring.tools(app, model)
        with job.answers.open("ab", buffering=0) as file:
            for number in range(job.tickets):
                if number in done:
                    continue
                asked.clear()
                result = await answered(number, tools)
                file.write(orjson.dumps({"ticket": number, "calls": len(asked), **result}) + b"\n")
        await model.aclose()


async def answered(number: int, tools: Tools) -> dict[str, Any]:
    """One ticket from the first step to the last: ``{"reply", "disposition"}``, or the error that ended it."""
    context = RunContext(_ticket(number), tools, Unrecorded())
    state: State = {"flow_version": FLOW_VERSION}
    try:
        await _step(StepName.CLASSIFY, state, context)
        await _step(StepName.EXTRACT, state, context)
        if await after_extract(state) == "answer":
            await _step(StepName.RESEARCH, state, context)
            to_be_revised = True
            while to_be_revised:
                await _step(StepName.DRAFT, state, context)
                await _step(StepName.REVIEW, state, context)
                to_be_revised = (await after_review(state)).startswith("revise")
        result = (await _step(StepName.FINALIZE, state, context)).result or {}
    except TicketflowError as error:
        return {"reply": None, "disposition": None, "error": error.code}
    return {"reply": result["reply"], "disposition": result["disposition"]}


async def _step(name: StepName, state: State, context: RunContext) -> Outcome:
    outcome = await STEPS[name](state, context)
    update: dict[str, Any] = {name.value: dict(outcome.output), **outcome.update}
    if outcome.usage.calls:
        update["usage"] = asdict(spent(state) + outcome.usage)
    state.update(update)  # type: ignore[typeddict-item]
    return outcome


def _ticket(number: int) -> Ticket:
    new, now = sample(number), datetime.now(UTC)
    return Ticket(
        id=uuid4(),
        customer_id=new.customer_id,
        customer_email=new.customer_email,
        subject=new.subject,
        body=new.body,
        channel=new.channel,
        status=Status.PROCESSING,
        version=1,
        attempt=1,
        flow_version=FLOW_VERSION,
        created_at=now,
        updated_at=now,
        category=new.category,
        priority=new.priority,
        vip=new.vip,
        tags=new.tags,
        metadata=dict(new.metadata),
    )


def main() -> int:
    logs.configure("ERROR", False)
    try:
        asyncio.run(run(taken_job()))
    except asyncio.CancelledError:
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
