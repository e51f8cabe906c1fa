"""The flows that this release can run: the present graph, and those before it as long as tickets are under way on them.

A ticket keeps the flow version that its first step ran on, so a deploy that adds, renames or removes a step leaves it
on the graph that it began with. To change the graph in such a way: give the new one the next version in ``FLOWS`` and
``state.FLOW_VERSION``, and keep the old entry until
``select distinct flow_version from tickets where completed_at is null`` no longer names it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ticketflow.workflow.graph import compile_graph
from ticketflow.workflow.state import FLOW_VERSION, RunContext, State

if TYPE_CHECKING:
    from langgraph.checkpoint.base import BaseCheckpointSaver
    from langgraph.graph.state import CompiledStateGraph

    Flow = CompiledStateGraph[State, RunContext, State, State]
    Build = Callable[[BaseCheckpointSaver[Any] | None], Flow]

FLOWS: Mapping[str, Build] = {FLOW_VERSION: compile_graph}
"""The graph of each version; new tickets start on the first."""
