"""The graph: six steps, two decisions, compiled once and shared by every ticket of a process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from langgraph.graph import END, START, StateGraph

from ticketflow.workflow.state import RunContext, State, StepName
from ticketflow.workflow.steps.classify import classify
from ticketflow.workflow.steps.draft import draft
from ticketflow.workflow.steps.extract import extract
from ticketflow.workflow.steps.finalize import finalize
from ticketflow.workflow.steps.frame import framed
from ticketflow.workflow.steps.research import research
from ticketflow.workflow.steps.review import review

if TYPE_CHECKING:
    from langgraph.checkpoint.base import BaseCheckpointSaver
    from langgraph.graph.state import CompiledStateGraph

STEPS = {
    StepName.CLASSIFY: classify,
    StepName.EXTRACT: extract,
    StepName.RESEARCH: research,
    StepName.DRAFT: draft,
    StepName.REVIEW: review,
    StepName.FINALIZE: finalize,
}

AfterExtract = Literal["answer", "escalate at once"]
AfterReview = Literal["revise (at most 2)", "approve / escalate"]


# Coroutines though they wait for nothing: LangGraph runs a plain function in a thread, which costs more than the
# decision.


async def after_extract(state: State) -> AfterExtract:
    """A route that escalates skips the answer: the team should not wait for a draft it will not send."""
    return "escalate at once" if state["route"]["escalate"] else "answer"


async def after_review(state: State) -> AfterReview:
    """Review itself turns a revision too many into an escalation, so this cannot loop for ever."""
    return "revise (at most 2)" if state["review"]["verdict"] == "revise" else "approve / escalate"


def compile_graph(
    checkpointer: BaseCheckpointSaver[Any] | None = None,
) -> CompiledStateGraph[State, RunContext, State, State]:
    """The runnable graph. Its input is ``{"flow_version": ...}``: everything else is in the run's context."""
    graph: StateGraph[State, RunContext, State, State] = StateGraph(State, context_schema=RunContext)
    for name, step in STEPS.items():
        graph.add_node(name.value, framed(name.value, step))  # type: ignore[call-overload]
    graph.add_edge(START, StepName.CLASSIFY.value)
    graph.add_edge(StepName.CLASSIFY.value, StepName.EXTRACT.value)
    graph.add_conditional_edges(
        StepName.EXTRACT.value,
        after_extract,
        {"answer": StepName.RESEARCH.value, "escalate at once": StepName.FINALIZE.value},
    )
    graph.add_edge(StepName.RESEARCH.value, StepName.DRAFT.value)
    graph.add_edge(StepName.DRAFT.value, StepName.REVIEW.value)
    graph.add_conditional_edges(
        StepName.REVIEW.value,
        after_review,
        {"revise (at most 2)": StepName.DRAFT.value, "approve / escalate": StepName.FINALIZE.value},
    )
    graph.add_edge(StepName.FINALIZE.value, END)
    return graph.compile(checkpointer=checkpointer)
