"""The whole picture as coordinates: rows of boxes from top to bottom, arrows between them, and ways around.

By construction no arrow crosses a box or another arrow's label, and no label covers anything: boxes have their
rows, labels theirs, and whatever skips a row or runs backwards has a column of its own (``tracks``).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from ticketflow.workflow.drawing.diagram import Diagram, Edge
from ticketflow.workflow.drawing.geometry import Path, Rect, sampled
from ticketflow.workflow.drawing.routes import routes
from ticketflow.workflow.drawing.sheet import PlacedNode, Sheet


@dataclass(frozen=True, slots=True)
class PlacedLabel:
    """An arrow's label and the room it takes."""

    rect: Rect
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PlacedEdge:
    """An arrow from its source to its target; the last piece of ``path`` is straight and at least 10 long."""

    edge: Edge
    path: Path
    label: PlacedLabel | None


@dataclass(frozen=True, slots=True)
class Layout:
    """The picture between (0, 0) and (``width``, ``height``); nodes and edges in the diagram's order."""

    diagram: Diagram
    width: float
    height: float
    nodes: tuple[PlacedNode, ...]
    edges: tuple[PlacedEdge, ...]


def lay_out(diagram: Diagram) -> Layout:
    """Layered layout (Sugiyama's method) of a small diagram, the same for the same diagram every time."""
    sheet = Sheet(diagram)
    ways = routes(sheet)
    rects = [box.rect for box in sheet.boxes.values()] + [way.label for way in ways if way.label]
    points = [point for way in ways for point in sampled(way.path)]
    xs = [x for rect in rects for x in (rect.x, rect.right)] + [x for x, _ in points]
    ys = [y for rect in rects for y in (rect.y, rect.bottom)] + [y for _, y in points]
    dx, dy = -min(xs), -min(ys)

    edges: list[PlacedEdge] = []
    for edge, way, lines in zip(diagram.edges, ways, sheet.labels, strict=True):
        label = PlacedLabel(way.label.moved(dx, dy), lines) if way.label else None
        edges.append(PlacedEdge(edge, tuple(piece.moved(dx, dy) for piece in way.path), label))
    return Layout(
        diagram,
        width=max(xs) + dx,
        height=max(ys) + dy,
        nodes=tuple(replace(box, rect=box.rect.moved(dx, dy)) for box in sheet.boxes.values()),
        edges=tuple(edges),
    )
