"""The release after this one, as a program: its graph has another flow version. ``draft`` is called ``compose`` there,
``triage`` has come in after ``classify``, and ``research`` is gone.

``python -m tests.support.next_release worker`` is ``ticketflow worker`` of that release. With ``--forget`` as the first
argument it no longer knows this release's flow.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, TypedDict

from langgraph.graph import END, START, StateGraph

from ticketflow.workflow import flows
from ticketflow.workflow.state import FLOW_VERSION, RunContext
from ticketflow.workflow.steps.classify import classify
from ticketflow.workflow.steps.frame import Outcome, framed

if TYPE_CHECKING:
    from langgraph.checkpoint.base import BaseCheckpointSaver

NEXT = "next"
STEPS = ["classify", "triage", "compose", "finalize"]


class NextState(TypedDict, total=False):
    flow_version: str
    classify: dict[str, Any]
    triage: dict[str, Any]
    compose: dict[str, Any]
    finalize: dict[str, Any]
    usage: dict[str, int]


async def triage(state: Any, context: RunContext) -> Outcome:
    return Outcome({"desk": state["classify"]["category"]})


async def compose(state: Any, context: RunContext) -> Outcome:
    return Outcome({"text": f"The {state['triage']['desk']} desk has your ticket."})


async def finalize(state: Any, context: RunContext) -> Outcome:
    reply = state["compose"]["text"]
    result = {
        "category": state["classify"]["category"],
        "entities": {},
        "reply": reply,
        "sources": [],
        "review": None,
        "disposition": "answered",
        "model": context.tools.model.name,
        "usage": {"calls": 1, "input_tokens": 0, "output_tokens": 0, "cost_usd": 0.0},
    }
    return Outcome({"reply": reply}, result=result)


def compile_next(checkpointer: BaseCheckpointSaver[Any] | None = None) -> Any:
    graph: StateGraph[Any, RunContext, Any, Any] = StateGraph(NextState, context_schema=RunContext)
    for name, step in zip(STEPS, (classify, triage, compose, finalize), strict=True):
        graph.add_node(name, framed(name, step), input_schema=NextState)
    for before, after in zip([START, *STEPS], [*STEPS, END], strict=True):
        graph.add_edge(before, after)
    return graph.compile(checkpointer=checkpointer)


def main(arguments: list[str]) -> int:
    from ticketflow.cli.main import main as run

    known = dict(flows.FLOWS)
    if arguments[:1] == ["--forget"]:
        arguments = arguments[1:]
        del known[FLOW_VERSION]
    flows.FLOWS = {NEXT: compile_next, **known}
    sys.argv[1:] = arguments
    return run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
