"""Pictures of the workflow and of the lifecycle, drawn from the compiled LangGraph graph and from the Petri net
themselves, so that they cannot be out of date.

``python -m ticketflow.workflow.visualize [--lifecycle] [OUT]`` writes one, or prints it as text.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from ticketflow.domain.errors import Invalid
from ticketflow.domain.lifecycle import NET, Net, Place
from ticketflow.domain.nets import faults
from ticketflow.domain.roles import Role, held
from ticketflow.workflow.drawing.crossings import untangled
from ticketflow.workflow.drawing.diagram import Diagram, Edge, Kind, Node
from ticketflow.workflow.drawing.layout import lay_out
from ticketflow.workflow.drawing.png import png
from ticketflow.workflow.drawing.svg import svg
from ticketflow.workflow.drawing.text import console, mermaid

if TYPE_CHECKING:
    from langchain_core.runnables.graph import Graph

TITLE = "Ticketflow workflow"
SUMMARY = "How one ticket becomes an answer"

LIFECYCLE_TITLE = "Ticketflow lifecycle"
LIFECYCLE_SUMMARY = "Where a ticket can be, and who may move it on"

SUBTITLES: Mapping[str, str] = MappingProxyType(
    {
        "classify": "category, priority, language",
        "extract": "order, product, issue",
        "research": "articles and history",
        "draft": "reply with citations",
        "review": "model and guardrails",
        "finalize": "the result",
    }
)
"""What each step does, by node id; a step that is not here has none."""

_TERMINALS: Mapping[str, tuple[str, Kind]] = MappingProxyType(
    # LangGraph's own ids, spelled out so that drawing does not import it.
    {"__start__": ("Start", "start"), "__end__": ("End", "end")}
)

_WRITERS: Mapping[str, Callable[[Diagram], bytes]] = MappingProxyType(
    {
        ".png": lambda diagram: png(lay_out(diagram)),
        ".svg": lambda diagram: svg(lay_out(diagram)).encode(),
        ".mmd": lambda diagram: mermaid(diagram).encode(),
        ".txt": lambda diagram: console(diagram).encode(),
    }
)


def diagram_of(graph: Graph) -> Diagram:
    """What ``compiled.get_graph()`` returned as a diagram: conditional edges dashed, their data as labels."""
    nodes = []
    for id_ in graph.nodes:
        title, kind = _TERMINALS.get(id_, (id_.replace("_", " ").strip().capitalize() or id_, "step"))
        nodes.append(Node(id_, title, SUBTITLES.get(id_, ""), kind))
    edges = (
        Edge(edge.source, edge.target, "" if edge.data is None else str(edge.data), edge.conditional)
        for edge in graph.edges
    )
    return Diagram(TITLE, tuple(nodes), tuple(edges), SUMMARY)


def diagram_of_net(net: Net = NET) -> Diagram:
    """The net as a diagram: places and transitions under their own names, an arrow for each arc, and as notes which
    roles include others and what is wrong with the net, if anything is."""
    nodes = [Node(place, place, kind="place", token=net.initial.get(place, 0) > 0) for place in Place]
    edges: list[Edge] = []
    for move, transition in net.transitions.items():
        who = " or ".join(role for role in Role if role in transition.roles)
        nodes.append(Node(move, move, who, "transition", who))
        edges += [Edge(place, move) for place in transition.takes]
        edges += [Edge(move, place) for place in transition.puts]
    inherited = {role: [other for other in Role if other in held(role) - {role}] for role in Role}
    may = [f"{role}: also all that {' and '.join(others)} may do" for role, others in inherited.items() if others]
    notes = (*(f"{said}." for said in may), *faults(net))
    return untangled(Diagram(LIFECYCLE_TITLE, tuple(nodes), tuple(edges), LIFECYCLE_SUMMARY, notes))


def write(diagram: Diagram, path: Path) -> None:
    """Write the picture in the format that the suffix says: ``.png``, ``.svg``, ``.mmd`` (Mermaid) or ``.txt``.

    Raises ``Invalid`` on any other suffix, and ``OSError`` if the file cannot be written.
    """
    writer = _WRITERS.get(path.suffix.lower())
    if writer is None:
        raise Invalid(f"cannot draw {path.name!r}: the name must end in {', '.join(_WRITERS)}")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"cannot write {path}: there is no directory {path.parent}")
    path.write_bytes(writer(diagram))


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; ``argv`` without the program's name. Returns 0, 1 if ``OUT`` cannot be written,
    or 2 if its name says no format."""
    parser = argparse.ArgumentParser(
        "python -m ticketflow.workflow.visualize", description="Draw the workflow or the lifecycle."
    )
    parser.add_argument("out", metavar="OUT", nargs="?", type=Path, help=f"a file in {', '.join(_WRITERS)}")
    parser.add_argument("--ascii", action="store_true", help="print plain ASCII, no box characters")
    parser.add_argument("--lifecycle", action="store_true", help="the lifecycle's Petri net instead of the workflow")
    chosen = parser.parse_args(argv)

    diagram = diagram_of_net() if chosen.lifecycle else _workflow()
    if chosen.out is None:
        sys.stdout.write(console(diagram, ascii_only=chosen.ascii or not _draws_boxes()))
        return 0
    try:
        write(diagram, chosen.out)
    except Invalid as problem:
        sys.stderr.write(f"{problem}\n")
        return 2
    except OSError as problem:
        sys.stderr.write(f"{problem}\n")
        return 1
    return 0


def _workflow() -> Diagram:
    from ticketflow.workflow.graph import compile_graph

    return diagram_of(compile_graph().get_graph())


def _draws_boxes() -> bool:
    """Whether standard output can show the box characters."""
    try:
        "─╭┄►●".encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True


if __name__ == "__main__":
    raise SystemExit(main())
