"""Extract: the facts in the ticket, and with them the ticket's route. The first step has read them already."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from ticketflow.domain.routing import Facts, decide
from ticketflow.domain.tickets import Category, Priority
from ticketflow.llm.tasks import TaskName
from ticketflow.workflow.state import RunContext, State
from ticketflow.workflow.steps.facts import extraction_schema, taken
from ticketflow.workflow.steps.frame import Outcome, ask, ticket_material


async def extract(state: State, context: RunContext) -> Outcome:
    """Order, product, issue and urgency; then the routing rules decide team and tags."""
    ticket, tools = context.ticket, context.tools
    classified = state["classify"]
    outcome = taken(state, tuple(tools.extra_fields), ticket.attempt) or await _asked(context, classified)
    route = decide(
        tools.rules,
        Facts(
            category=Category(classified["category"]),
            priority=Priority(classified["priority"]),
            vip=ticket.vip,
            tags=ticket.tags,
            customer_id=ticket.customer_id,
            channel=ticket.channel,
        ),
    )
    recorded = {**asdict(route), "tags": list(route.tags)}
    tags = list(dict.fromkeys([*ticket.tags, *route.tags]))
    return replace(outcome, update={"route": recorded}, route=recorded, changes={"team": route.team, "tags": tags})


async def _asked(context: RunContext, classified: Mapping[str, Any]) -> Outcome:
    extra_fields = context.tools.extra_fields
    material: dict[str, Any] = {"extra_fields": dict(extra_fields)} if extra_fields else {}
    material |= {"ticket": ticket_material(context), "classification": classified}
    _, outcome = await ask(context, TaskName.EXTRACT, material, extraction_schema(tuple(extra_fields)))
    return outcome
