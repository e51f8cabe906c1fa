"""The pieces that pictures and their legends are put together from: arrows, boxes and labels."""

from __future__ import annotations

from math import hypot

from ticketflow.workflow.drawing.geometry import Path, Point, Rect, shortened
from ticketflow.workflow.drawing.layout import PlacedEdge, PlacedLabel
from ticketflow.workflow.drawing.looks import CHIP, CHIP_SOMETIMES, SHADOW, Look, line_colour
from ticketflow.workflow.drawing.shapes import Plate, Polygon, Shape, Stroke, Words
from ticketflow.workflow.drawing.sheet import (
    LABEL_LINE,
    LABEL_SIZE,
    SUBTITLE_LINE,
    SUBTITLE_SIZE,
    TITLE_LINE,
    TITLE_SIZE,
    PlacedNode,
)

_DASH = 5.0
_RADIUS = {"step": 12.0, "transition": 3.0}
_BAR, _TOKEN = 5.0, 5.0


def arrow(path: Path, dashed: bool) -> list[Shape]:
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


def box(placed: PlacedNode, look: Look) -> list[Shape]:
    rect, kind = placed.rect, placed.node.kind
    radius = _RADIUS.get(kind, rect.height / 2)
    shapes: list[Shape] = []
    # Three faint plates make a soft shadow that every format can draw.
    for drop, grow, opacity in ((3.0, 2.0, 0.025), (2.0, 1.0, 0.035), (1.0, 0.5, 0.05)):
        shadow = rect.grown(grow).moved(0, drop)
        shapes.append(Plate(shadow, radius + grow, SHADOW, opacity=opacity))
    shapes.append(Plate(rect, radius, look.fill, look.stroke, 1.5))
    if kind == "transition":
        shapes.append(bar(rect, look))
    if placed.node.token:
        shapes.append(token((rect.x + 20, rect.centre[1]), look))

    x, _ = rect.centre
    y = rect.centre[1] - (len(placed.title) * TITLE_LINE + len(placed.subtitle) * SUBTITLE_LINE) / 2
    for text in placed.title:
        baseline = y + TITLE_LINE / 2 + 0.35 * TITLE_SIZE
        shapes.append(Words(text, x, baseline, TITLE_SIZE, look.title, bold=True, room=rect.width - 20))
        y += TITLE_LINE
    for text in placed.subtitle:
        baseline = y + SUBTITLE_LINE / 2 + 0.35 * SUBTITLE_SIZE
        shapes.append(Words(text, x, baseline, SUBTITLE_SIZE, look.subtitle, room=rect.width - 20))
        y += SUBTITLE_LINE
    return shapes


def bar(rect: Rect, look: Look) -> Plate:
    """The strong edge by which a transition's group is told from afar."""
    return Plate(Rect(rect.x, rect.y, _BAR, rect.height), 1.5, look.stroke, look.stroke, 1.5)


def token(centre: Point, look: Look) -> Plate:
    return Plate(Rect.around(centre, 2 * _TOKEN, 2 * _TOKEN), _TOKEN, look.title)


def chip(placed: PlacedEdge, label: PlacedLabel) -> list[Shape]:
    look = CHIP_SOMETIMES if placed.edge.dashed else CHIP
    shapes: list[Shape] = [Plate(label.rect, 12, look.fill, look.stroke, 1.0)]
    x, y = label.rect.centre
    y -= (len(label.lines) - 1) * LABEL_LINE / 2
    for text in label.lines:
        room = label.rect.width - 10
        shapes.append(Words(text, x, y + 0.35 * LABEL_SIZE, LABEL_SIZE, look.title, room=room))
        y += LABEL_LINE
    return shapes
