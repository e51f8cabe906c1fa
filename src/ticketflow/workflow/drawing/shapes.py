"""What every picture format can draw: plates, strokes, polygons and lines of text."""

from __future__ import annotations

from dataclasses import dataclass

from ticketflow.workflow.drawing.geometry import Path, Point, Rect


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


def moved(shape: Shape, dx: float, dy: float) -> Shape:
    """``shape``, ``dx`` to the right and ``dy`` down."""
    match shape:
        case Plate(rect, radius, fill, stroke, stroke_width, opacity):
            return Plate(rect.moved(dx, dy), radius, fill, stroke, stroke_width, opacity)
        case Stroke(path, colour, width, dash):
            return Stroke(tuple(piece.moved(dx, dy) for piece in path), colour, width, dash)
        case Polygon(points, fill):
            return Polygon(tuple((x + dx, y + dy) for x, y in points), fill)
        case Words(text, x, y, size, colour, bold, centred, room):
            return Words(text, x + dx, y + dy, size, colour, bold, centred, room)
