"""The ticket is read once: what the first step notes, and when the second asks all the same."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.support.steps import TICKET, Listening, context
from ticketflow.domain.tickets import Category, Priority
from ticketflow.llm.port import Usage
from ticketflow.llm.tasks import Classification, Extraction, TaskName
from ticketflow.workflow.prompts import prompt
from ticketflow.workflow.state import RunContext, State
from ticketflow.workflow.steps.classify import classify
from ticketflow.workflow.steps.extract import extract
from ticketflow.workflow.steps.frame import Outcome


async def classified(context: RunContext) -> tuple[State, Outcome]:
    outcome = await classify(State(), context)
    return State(classify=dict(outcome.output), **outcome.update), outcome  # type: ignore[typeddict-item]


async def test_one_question_serves_two_steps_and_costs_once() -> None:
    model = Listening()
    state, first = await classified(context(model))
    second = await extract(state, context(model))
    assert [question.task for question in model.asked] == [TaskName.CLASSIFY]
    assert set(first.output) == set(Classification.model_fields)
    assert set(second.output) == set(Extraction.model_fields)
    assert (first.output["category"], second.output["order_id"]) == ("billing", "CL-48102")
    assert (first.usage.calls, second.usage) == (1, Usage())
    # What the facts are from stands with them all the same.
    assert (second.model, second.prompt_version) == (first.model, first.prompt_version)
    assert str(second.prompt_version).startswith("classify-")


@pytest.mark.parametrize("why", ["an earlier release's checkpoint", "another attempt", "other fields"])
async def test_the_facts_are_asked_for_alone_where_none_were_noted_for_this_run(why: str) -> None:
    model = Listening()
    state, _ = await classified(context(model))
    again = context(model)
    match why:
        case "an earlier release's checkpoint":
            del state["facts"]
        case "another attempt":
            again = context(model, replace(TICKET, attempt=2))
        case "other fields":
            again = context(model, serial_number="on the label")
    outcome = await extract(state, again)
    assert [question.task for question in model.asked] == [TaskName.CLASSIFY, TaskName.EXTRACT]
    assert (outcome.usage.calls, outcome.output["order_id"]) == (1, "CL-48102")
    assert str(outcome.prompt_version).startswith("extract-")
    assert outcome.output.get("serial_number") == ("SN-77" if why == "other fields" else None)


async def test_configured_fields_are_noted_with_the_others() -> None:
    model = Listening()
    fields = {"serial_number": "on the label", "category": "of the product, not ours"}
    state, first = await classified(context(model, **fields))
    second = await extract(state, context(model, **fields))
    assert (second.output["serial_number"], second.output["category"]) == ("SN-77", None)
    assert first.output["category"] == "billing"
    assert len(model.asked) == 1


async def test_what_the_sender_set_is_told_and_stands() -> None:
    model = Listening()
    given = replace(TICKET, category=Category.ACCOUNT, priority=Priority.LOW)
    _, outcome = await classified(context(model, given))
    assert model.asked[0].material["given"] == {"category": "account", "priority": "low"}
    assert (outcome.output["category"], outcome.output["priority"]) == ("account", "low")
    await classified(context(model))
    assert "given" not in model.asked[1].material


def test_both_prompts_say_the_same_of_each_fact() -> None:
    def of_facts(task: TaskName) -> list[str]:
        lines = [line.strip() for line in prompt(task).text.splitlines()]
        return [line for line in lines if any(line.startswith(f"- `{name}`:") for name in Extraction.model_fields)]

    assert of_facts(TaskName.CLASSIFY) == of_facts(TaskName.EXTRACT)
    assert len(of_facts(TaskName.EXTRACT)) == len(Extraction.model_fields)
