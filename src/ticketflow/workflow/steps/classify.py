"""Classify: what is it about, and how pressing? The model notes the facts as well, and so reads the ticket once."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ticketflow.llm.tasks import Classification, TaskName
from ticketflow.workflow.state import RunContext, State
from ticketflow.workflow.steps.facts import noted, triage_schema
from ticketflow.workflow.steps.frame import Outcome, ask, ticket_material


async def classify(state: State, context: RunContext) -> Outcome:
    """Category and priority. What whoever sent the ticket said of them stands; the model fills in the rest, and notes
    the facts for the step after."""
    ticket, tools = context.ticket, context.tools
    # Nothing but the sender can have set these before the first step has committed.
    given = {"category": ticket.category, "priority": ticket.priority}
    given = {name: value for name, value in given.items() if value is not None}
    # What is the same for every ticket comes first: providers cache equal beginnings.
    material: dict[str, Any] = {"extra_fields": dict(tools.extra_fields)} if tools.extra_fields else {}
    material |= {"given": given} if given else {}
    material["ticket"] = ticket_material(context)
    answer, outcome = await ask(context, TaskName.CLASSIFY, material, triage_schema(tuple(tools.extra_fields)))
    output = {**{name: answer[name] for name in Classification.model_fields}, **given}
    return replace(
        outcome,
        output=output,
        update={"facts": noted(answer["facts"], outcome, ticket.attempt)},
        changes={"category": output["category"], "priority": output["priority"]},
    )
