"""Row: what a ticket costs in tokens, beside one model call for each of five stages.

Both sides ask through the real adapter, over HTTP, about the sample shop's tickets and articles. Nothing is timed, and
nothing varies: one pass tells all.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from pydantic import SecretStr

from ticketflow import samples, wiring
from ticketflow.api.models import NewTicketBody
from ticketflow.bench import five_calls
from ticketflow.bench.counting_endpoint import Call, CountingEndpoint
from ticketflow.bench.frame import Bench, Goal, Measurement, Spread
from ticketflow.bench.stand_ins import Unrecorded
from ticketflow.domain.tickets import Status, Ticket
from ticketflow.evaluation.classify import NothingElse
from ticketflow.llm.openai import OpenAIModel
from ticketflow.llm.port import Usage
from ticketflow.llm.prices import PriceList
from ticketflow.workflow.graph import compile_graph
from ticketflow.workflow.state import FLOW_VERSION, RunContext, State, Tools
from ticketflow.workflow.steps.draft import articles_with_passages
from ticketflow.workflow.steps.frame import ticket_material
from ticketflow.workflow.steps.research import research

MODEL = "gpt-4o-mini"
"""Whose list price the costs are in: the one that is asked where no other is configured."""


@dataclass(frozen=True, slots=True)
class Pass:
    """All tickets through one contender: the calls of each, and what the contender's own count of them says."""

    tickets: Sequence[Sequence[Call]]
    usage: Usage

    @property
    def calls(self) -> list[Call]:
        return [call for calls in self.tickets for call in calls]

    def tokens(self, kind: str) -> int:
        return sum(getattr(call, kind) for call in self.calls)


async def measure(bench: Bench) -> Measurement:
    """Tokens and cost of the sample tickets, ours and the anchor's."""
    tickets = [_ticket(each) for each in samples.tickets()]
    endpoint = CountingEndpoint()
    async with bench.database() as url, endpoint.served():
        given = bench.settings.model_copy(update={"database_url": SecretStr(url), "rabbitmq_url": None})
        async with wiring.connected(given, auto_migrate=True) as app:
            await app.library.add(samples.articles())
            model = OpenAIModel(
                api_key="none",
                base_url=endpoint.url,
                model=MODEL,
                timeout=timedelta(seconds=60),
                prices=PriceList(),
            )
            tools = dataclasses.replace(wiring.tools(app, model), history=NothingElse())
            try:
                ours, states = await _ours(endpoint, tools, tickets)
                theirs = await _five_calls(endpoint, tools, tickets, states)
            finally:
                await model.aclose()
    return _measurement(len(tickets), ours, theirs)


async def _ours(endpoint: CountingEndpoint, tools: Tools, tickets: Sequence[Ticket]) -> tuple[Pass, list[State]]:
    graph = compile_graph()
    endpoint.forget()
    states: list[State] = []
    calls = []
    for ticket in tickets:
        context = RunContext(ticket, tools, Unrecorded())
        states.append(await graph.ainvoke({"flow_version": FLOW_VERSION}, context=context))  # type: ignore[arg-type]
        calls.append(endpoint.taken())
    return Pass(calls, sum((Usage(**state["usage"]) for state in states), Usage())), states


async def _five_calls(
    endpoint: CountingEndpoint, tools: Tools, tickets: Sequence[Ticket], states: Sequence[State]
) -> Pass:
    """The anchor drafts for every ticket; research for those that we hand to a team at once is done here."""
    endpoint.forget()
    spent, calls = Usage(), []
    for ticket, state in zip(tickets, states, strict=True):
        context = RunContext(ticket, tools, Unrecorded())
        if "research" not in state:
            outcome = await research(state, context)
            state = State(**{**state, "research": dict(outcome.output), **outcome.update})  # type: ignore[typeddict-item]
        found = {"articles": articles_with_passages(state), "history": state["research"]["history"]}
        given = {"priority": ticket.priority} if ticket.priority else {}
        usage, _ = await five_calls.run(tools.model, ticket_material(context), given, found)
        spent += usage
        calls.append(endpoint.taken())
    return Pass(calls, spent)


def _measurement(tickets: int, ours: Pass, theirs: Pass) -> Measurement:
    figures: dict[str, float] = {}
    for name, side in (("", ours), ("five_calls_", theirs)):
        figures |= {
            f"{name}model_calls": len(side.calls) / tickets,
            f"{name}input_tokens": side.tokens("input") / tickets,
            f"{name}cached_tokens": side.tokens("cached") / tickets,
            f"{name}output_tokens": side.tokens("output") / tickets,
            f"{name}micro_usd": side.usage.cost_micro_usd / tickets,
        }
    figures["to_five_calls"] = _all(ours) / _all(theirs)
    drafted = [place for place, calls in enumerate(ours.tickets) if len(calls) > 1]
    figures["to_five_calls_where_drafted"] = _all(ours, drafted) / _all(theirs, drafted)
    figures["cost_to_five_calls"] = ours.usage.cost_micro_usd / theirs.usage.cost_micro_usd
    return Measurement(
        what="tokens a ticket, beside five full calls",
        setting={"tickets": tickets, "vocabulary": "o200k_base", "prices_of": MODEL, "answers_by": "offline rules"},
        figures={name: Spread.of([value]) for name, value in figures.items()},
        goals=[Goal("to_five_calls", at_most=1.0)],
        details={"by_answer": {"ours": _by_answer(ours, tickets), "five_calls": _by_answer(theirs, tickets)}},
    )


def _all(side: Pass, places: Sequence[int] | None = None) -> int:
    """Of all tickets, or of those: some are handed to a team at once, and nothing is drafted for them."""
    chosen = side.tickets if places is None else [side.tickets[place] for place in places]
    return sum(call.input + call.output for calls in chosen for call in calls)


def _by_answer(side: Pass, tickets: int) -> dict[str, Any]:
    """Calls and tokens a ticket, by the shape of the answer."""
    parts: dict[str, Any] = {}
    for schema in dict.fromkeys(call.schema for call in side.calls):
        of = Pass([[call for call in side.calls if call.schema == schema]], Usage())
        parts[schema] = {
            "calls": round(len(of.calls) / tickets, 3),
            **{kind: round(of.tokens(kind) / tickets, 1) for kind in ("input", "cached", "output")},
        }
    return parts


def _ticket(fields: dict[str, Any]) -> Ticket:
    new, now = NewTicketBody.model_validate(fields), datetime.now(UTC)
    return Ticket(
        id=uuid4(),
        customer_id=new.customer_id,
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
        tags=tuple(new.tags),
    )
