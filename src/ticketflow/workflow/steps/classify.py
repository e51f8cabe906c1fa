"""Classify: what is it about, and how pressing is it?"""

from __future__ import annotations

from dataclasses import replace

from ticketflow.llm.tasks import Classification, TaskName
from ticketflow.workflow.state import RunContext, State
from ticketflow.workflow.steps.frame import Outcome, ask, ticket_material


async def classify(state: State, context: RunContext) -> Outcome:
    """Category and priority. What whoever sent the ticket said of them stands; the model fills in the rest."""
    ticket = context.ticket
    answer, outcome = await ask(
        context,
        TaskName.CLASSIFY,
        {"ticket": ticket_material(context), "customer_priority": ticket.priority},
        Classification,
    )
    # Nothing but the sender can have set these before the first step has committed.
    given = {"category": ticket.category, "priority": ticket.priority}
    output = {**answer, **{name: value for name, value in given.items() if value is not None}}
    return replace(outcome, output=output, changes={"category": output["category"], "priority": output["priority"]})
