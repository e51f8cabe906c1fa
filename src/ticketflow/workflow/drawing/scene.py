"""A layout as shapes and colours, back to front, so that every picture format shows the same."""

from __future__ import annotations

from dataclasses import dataclass
from math import hypot

from ticketflow.workflow.drawing.diagram import Diagram, Kind, clean, text_width
from ticketflow.workflow.drawing.geometry import Path, Point, Rect, line, shortened
from ticketflow.workflow.drawing.layout import Layout, PlacedEdge, PlacedLabel
from ticketflow.workflow.drawing.sheet import (
    LABEL_LINE,
    LABEL_SIZE,
    SUBTITLE_LINE,
    SUBTITLE_SIZE,
    TITLE_LINE,
    TITLE_SIZE,
    PlacedNode,
)

_MARGIN = 40.0
_HEADING, _SUMMARY = 21.0, 13.0


@dataclass(frozen=True, slots=True)
class Plate:
    """A rounded rectangle; ``opacity`` is that of the fill, colours are ``#rrggbb``, no stroke if empty."""

    rect: Rect
    radius: float
    fill: str
    stroke: str = ""
    stroke_width: float = 1.25
    opacity: float = 1.0


@dataclass(frozen=True, slots=True)
class Stroke:
    """A line of ``width`` along a path; ``dash`` is the length of dashes and of gaps, 0 for none."""

    path: Path
    colour: str
    width: float
    dash: float = 0.0


@dataclass(frozen=True, slots=True)
class Polygon:
    points: tuple[Point, ...]
    fill: str


@dataclass(frozen=True, slots=True)
class Words:
    """One line of text; ``x`` is its middle if ``centred``, else its left, and ``y`` its baseline."""

    text: str
    x: float
    y: float
    size: float
    colour: str
    bold: bool = False
    centred: bool = True
    room: float = 0.0
    """The width that the text must not exceed."""


Shape = Plate | Stroke | Polygon | Words


@dataclass(frozen=True, slots=True)
class Scene:
    """All shapes, between (0, 0) and (``width``, ``height``)."""

    title: str
    description: str
    width: float
    height: float
    shapes: tuple[Shape, ...]


@dataclass(frozen=True, slots=True)
class Look:
    """The colours of a box or label."""

    fill: str
    stroke: str
    title: str
    subtitle: str


_CANVAS, _CANVAS_EDGE = "#f8fafc", "#e2e8f0"
_INK, _QUIET = "#0f172a", "#64748b"
_SHADOW = "#0f172a"
_LOOKS: dict[Kind, Look] = {
    "start": Look("#4f46e5", "#4338ca", "#ffffff", "#e0e7ff"),
    "step": Look("#ffffff", "#c7d2fe", "#1e1b4b", "#64748b"),
    "end": Look("#1e293b", "#0f172a", "#ffffff", "#cbd5e1"),
}
_DECIDES = Look("#fffbeb", "#fcd34d", "#451a03", "#92704a")
_ALWAYS, _SOMETIMES = "#64748b", "#d97706"
_CHIP = Look("#ffffff", "#cbd5e1", "#475569", "")
_CHIP_SOMETIMES = Look("#fffbeb", "#fcd34d", "#92400e", "")
_DASH = 5.0


def look_of(kind: Kind, decides: bool) -> Look:
    """How a box is coloured; ``decides`` marks a step that dashed arrows leave."""
    return _DECIDES if decides and kind == "step" else _LOOKS[kind]


def line_colour(dashed: bool) -> str:
    return _SOMETIMES if dashed else _ALWAYS


def deciding(diagram: Diagram) -> frozenset[str]:
    """The ids of the nodes that dashed arrows leave."""
    return frozenset(edge.source for edge in diagram.edges if edge.dashed)


LEGEND = ((False, "always"), (True, "decided at run time"))
"""What solid and dashed arrows mean."""


def scene_of(layout: Layout) -> Scene:
    """The picture with its heading, and a legend if some arrows are dashed."""
    diagram = layout.diagram
    title, summary = clean(diagram.title), clean(diagram.summary)
    legend = _legend() if any(edge.dashed for edge in diagram.edges) else ([], 0.0)
    inner = max(layout.width, text_width(title, _HEADING) * 1.04, text_width(summary, _SUMMARY) * 1.04, legend[1])
    width = inner + 2 * _MARGIN
    head = _MARGIN + (28 if title else 0) + (20 if summary else 0) + (20 if title or summary else 0)
    foot = head + layout.height
    height = foot + (56 if legend[0] else 0) + _MARGIN - 8

    canvas = Rect(0.75, 0.75, width - 1.5, height - 1.5)
    shapes: list[Shape] = [Plate(canvas, 16, _CANVAS, _CANVAS_EDGE, 1.5)]
    if title:
        words = Words(title, _MARGIN, _MARGIN + 17, _HEADING, _INK, bold=True, centred=False, room=inner)
        shapes.append(words)
    if summary:
        y = _MARGIN + (39 if title else 13)
        shapes.append(Words(summary, _MARGIN, y, _SUMMARY, _QUIET, centred=False, room=inner))
    shapes += _body(layout, (width - layout.width) / 2, head)
    shapes += [_moved(shape, (width - legend[1]) / 2, foot) for shape in legend[0]]
    return Scene(title, diagram.in_words(), width, height, tuple(shapes))


def _body(layout: Layout, dx: float, dy: float) -> list[Shape]:
    decides = deciding(layout.diagram)
    shapes: list[Shape] = []
    # Dashed ones on top of solid ones, labels on top of all lines.
    for placed in sorted(layout.edges, key=lambda placed: placed.edge.dashed):
        shapes += _arrow(placed.path, placed.edge.dashed)
    for box in layout.nodes:
        shapes += _box(box, box.node.id in decides)
    for placed in layout.edges:
        shapes += _chip(placed, placed.label) if placed.label else []
    return [_moved(shape, dx, dy) for shape in shapes]


def _arrow(path: Path, dashed: bool) -> list[Shape]:
    colour = line_colour(dashed)
    start, tip = path[-1].start, path[-1].end
    length = hypot(tip[0] - start[0], tip[1] - start[1])
    ux, uy = (tip[0] - start[0]) / length, (tip[1] - start[1]) / length
    # The tip stands a little off, so that it does not melt into the border of the box.
    tip = (tip[0] - 1.5 * ux, tip[1] - 1.5 * uy)
    back = (tip[0] - 9.5 * ux, tip[1] - 9.5 * uy)
    notch = (tip[0] - 7.5 * ux, tip[1] - 7.5 * uy)
    head = (
        tip,
        (back[0] - 4.8 * uy, back[1] + 4.8 * ux),
        notch,
        (back[0] + 4.8 * uy, back[1] - 4.8 * ux),
    )
    return [Stroke(shortened(path, 8.5), colour, 1.75, _DASH if dashed else 0.0), Polygon(head, colour)]


def _box(box: PlacedNode, decides: bool) -> list[Shape]:
    rect, kind = box.rect, box.node.kind
    look = look_of(kind, decides)
    radius = 12.0 if kind == "step" else rect.height / 2
    shapes: list[Shape] = []
    # Three faint plates make a soft shadow that every format can draw.
    for drop, grow, opacity in ((3.0, 2.0, 0.025), (2.0, 1.0, 0.035), (1.0, 0.5, 0.05)):
        shadow = rect.grown(grow).moved(0, drop)
        shapes.append(Plate(shadow, radius + grow, _SHADOW, opacity=opacity))
    shapes.append(Plate(rect, radius, look.fill, look.stroke, 1.5))

    x, _ = rect.centre
    y = rect.centre[1] - (len(box.title) * TITLE_LINE + len(box.subtitle) * SUBTITLE_LINE) / 2
    for text in box.title:
        baseline = y + TITLE_LINE / 2 + 0.35 * TITLE_SIZE
        shapes.append(Words(text, x, baseline, TITLE_SIZE, look.title, bold=True, room=rect.width - 20))
        y += TITLE_LINE
    for text in box.subtitle:
        baseline = y + SUBTITLE_LINE / 2 + 0.35 * SUBTITLE_SIZE
        shapes.append(Words(text, x, baseline, SUBTITLE_SIZE, look.subtitle, room=rect.width - 20))
        y += SUBTITLE_LINE
    return shapes


def _chip(placed: PlacedEdge, label: PlacedLabel) -> list[Shape]:
    look = _CHIP_SOMETIMES if placed.edge.dashed else _CHIP
    shapes: list[Shape] = [Plate(label.rect, 12, look.fill, look.stroke, 1.0)]
    x, y = label.rect.centre
    y -= (len(label.lines) - 1) * LABEL_LINE / 2
    for text in label.lines:
        room = label.rect.width - 10
        shapes.append(Words(text, x, y + 0.35 * LABEL_SIZE, LABEL_SIZE, look.title, room=room))
        y += LABEL_LINE
    return shapes


def _legend() -> tuple[list[Shape], float]:
    """What the two kinds of lines mean, with its left at 0 and its middle at y = 42; and its width."""
    shapes: list[Shape] = []
    x = 0.0
    for dashed, text in LEGEND:
        if x:
            x += 28
        shapes += _arrow((line((x, 42), (x + 40, 42)),), dashed)
        room = text_width(text, LABEL_SIZE)
        shapes.append(Words(text, x + 50, 46.2, LABEL_SIZE, _QUIET, centred=False, room=room))
        x += 50 + room
    return shapes, x


def _moved(shape: Shape, dx: float, dy: float) -> Shape:
    match shape:
        case Plate(rect, radius, fill, stroke, stroke_width, opacity):
            return Plate(rect.moved(dx, dy), radius, fill, stroke, stroke_width, opacity)
        case Stroke(path, colour, width, dash):
            return Stroke(tuple(piece.moved(dx, dy) for piece in path), colour, width, dash)
        case Polygon(points, fill):
            return Polygon(tuple((x + dx, y + dy) for x, y in points), fill)
        case Words(text, x, y, size, colour, bold, centred, room):
            return Words(text, x + dx, y + dy, size, colour, bold, centred, room)
