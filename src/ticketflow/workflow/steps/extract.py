"""Extract: the facts in the ticket, and with them the ticket's route."""

from __future__ import annotations

from dataclasses import asdict, replace
from functools import lru_cache
from typing import cast

from pydantic import create_model

from ticketflow.domain.routing import Facts, decide
from ticketflow.domain.tickets import Category, Priority
from ticketflow.llm.tasks import Extraction, Fact, TaskName
from ticketflow.workflow.state import RunContext, State
from ticketflow.workflow.steps.frame import Outcome, ask, ticket_material


@lru_cache(maxsize=8)
def extraction_schema(extra_fields: tuple[str, ...]) -> type[Extraction]:
    """``Extraction`` with the configured further fields, each a text or null."""
    if not extra_fields:
        return Extraction
    fields = dict.fromkeys(extra_fields, (Fact, ...))
    return cast(type[Extraction], create_model("Extraction", __base__=Extraction, **fields))  # type: ignore[call-overload]


async def extract(state: State, context: RunContext) -> Outcome:
    """Order, product, issue and urgency; then the routing rules decide team and tags."""
    ticket, tools = context.ticket, context.tools
    classified = state["classify"]
    _, outcome = await ask(
        context,
        TaskName.EXTRACT,
        {
            "ticket": ticket_material(context),
            "classification": classified,
            "extra_fields": dict(tools.extra_fields),
        },
        extraction_schema(tuple(tools.extra_fields)),
    )
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
