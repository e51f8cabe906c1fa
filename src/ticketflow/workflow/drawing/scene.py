"""A layout as shapes and colours, back to front, so that every picture format shows the same."""

from __future__ import annotations

from dataclasses import dataclass

from ticketflow.workflow.drawing.diagram import clean, text_width
from ticketflow.workflow.drawing.geometry import Rect
from ticketflow.workflow.drawing.layout import Layout
from ticketflow.workflow.drawing.legend import legend_of
from ticketflow.workflow.drawing.looks import CANVAS, CANVAS_EDGE, INK, QUIET, looks
from ticketflow.workflow.drawing.marks import arrow, box, chip
from ticketflow.workflow.drawing.shapes import Plate, Shape, Words, moved

_MARGIN = 40.0
_HEADING, _SUMMARY = 21.0, 13.0


@dataclass(frozen=True, slots=True)
class Scene:
    """All shapes, between (0, 0) and (``width``, ``height``)."""

    title: str
    description: str
    width: float
    height: float
    shapes: tuple[Shape, ...]


def scene_of(layout: Layout) -> Scene:
    """The picture with its heading, and a legend if some arrows are dashed."""
    diagram = layout.diagram
    title, summary = clean(diagram.title), clean(diagram.summary)
    legend = legend_of(diagram)
    inner = max(layout.width, text_width(title, _HEADING) * 1.04, text_width(summary, _SUMMARY) * 1.04, legend.width)
    width = inner + 2 * _MARGIN
    head = _MARGIN + (28 if title else 0) + (20 if summary else 0) + (20 if title or summary else 0)
    foot = head + layout.height
    height = foot + legend.height + _MARGIN - 8

    canvas = Rect(0.75, 0.75, width - 1.5, height - 1.5)
    shapes: list[Shape] = [Plate(canvas, 16, CANVAS, CANVAS_EDGE, 1.5)]
    if title:
        words = Words(title, _MARGIN, _MARGIN + 17, _HEADING, INK, bold=True, centred=False, room=inner)
        shapes.append(words)
    if summary:
        y = _MARGIN + (39 if title else 13)
        shapes.append(Words(summary, _MARGIN, y, _SUMMARY, QUIET, centred=False, room=inner))
    shapes += _body(layout, (width - layout.width) / 2, head)
    shapes += [moved(shape, (width - legend.width) / 2, foot) for shape in legend.shapes]
    return Scene(title, diagram.in_words(), width, height, tuple(shapes))


def _body(layout: Layout, dx: float, dy: float) -> list[Shape]:
    colours = looks(layout.diagram)
    shapes: list[Shape] = []
    # Dashed ones on top of solid ones, labels on top of all lines.
    for placed in sorted(layout.edges, key=lambda placed: placed.edge.dashed):
        shapes += arrow(placed.path, placed.edge.dashed)
    for node in layout.nodes:
        shapes += box(node, colours[node.node.id])
    for placed in layout.edges:
        shapes += chip(placed, placed.label) if placed.label else []
    return [moved(shape, dx, dy) for shape in shapes]
