"""Which colours say what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from ticketflow.workflow.drawing.diagram import Diagram, Kind, Node


@dataclass(frozen=True, slots=True)
class Look:
    """The colours of a box or label."""

    fill: str
    stroke: str
    title: str
    subtitle: str


CANVAS, CANVAS_EDGE = "#f8fafc", "#e2e8f0"
INK, QUIET = "#0f172a", "#64748b"
SHADOW = "#0f172a"
CHIP = Look("#ffffff", "#cbd5e1", "#475569", "")
CHIP_SOMETIMES = Look("#fffbeb", "#fcd34d", "#92400e", "")
_LOOKS: Mapping[Kind, Look] = MappingProxyType(
    {
        "start": Look("#4f46e5", "#4338ca", "#ffffff", "#e0e7ff"),
        "step": Look("#ffffff", "#c7d2fe", "#1e1b4b", "#64748b"),
        "end": Look("#1e293b", "#0f172a", "#ffffff", "#cbd5e1"),
        "place": Look("#ffffff", "#334155", "#0f172a", "#64748b"),
        "transition": Look("#f1f5f9", "#94a3b8", "#0f172a", "#475569"),
    }
)
_DECIDES = Look("#fffbeb", "#fcd34d", "#451a03", "#92704a")
_GROUPS = (
    Look("#eef2ff", "#6366f1", "#312e81", "#4f46e5"),
    Look("#ecfdf5", "#10b981", "#064e3b", "#047857"),
    Look("#fffbeb", "#f59e0b", "#451a03", "#b45309"),
    Look("#fdf2f8", "#ec4899", "#500724", "#be185d"),
)
_ALWAYS, _SOMETIMES = "#64748b", "#d97706"


def looks(diagram: Diagram) -> dict[str, Look]:
    """How each box is coloured, by node id: steps that decide stand out, transitions have their group's colours."""
    deciders = deciding(diagram)

    def look(node: Node) -> Look:
        if node.kind == "transition" and node.group:
            return group_look(diagram, node.group)
        return _DECIDES if node.kind == "step" and node.id in deciders else _LOOKS[node.kind]

    return {node.id: look(node) for node in diagram.nodes}


def group_look(diagram: Diagram, group: str) -> Look:
    return _GROUPS[diagram.groups.index(group) % len(_GROUPS)]


def place_look() -> Look:
    return _LOOKS["place"]


def line_colour(dashed: bool) -> str:
    return _SOMETIMES if dashed else _ALWAYS


def deciding(diagram: Diagram) -> frozenset[str]:
    """The ids of the nodes that dashed arrows leave."""
    return frozenset(edge.source for edge in diagram.edges if edge.dashed)


LEGEND = ((False, "always"), (True, "decided at run time"))
"""What solid and dashed arrows mean."""

NET_LEGEND = ("place", "the first token")
"""What round boxes and dots mean in a net."""
