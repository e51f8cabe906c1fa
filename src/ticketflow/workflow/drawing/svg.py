"""A layout as an SVG document that needs nothing else: no fonts, no scripts, no style sheets."""

from __future__ import annotations

from typing import assert_never
from xml.sax.saxutils import escape, quoteattr

from ticketflow.workflow.drawing.diagram import clean
from ticketflow.workflow.drawing.geometry import Path, Point
from ticketflow.workflow.drawing.layout import Layout
from ticketflow.workflow.drawing.scene import Scene, scene_of
from ticketflow.workflow.drawing.shapes import Plate, Polygon, Shape, Stroke, Words

_FONTS = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"


def svg(layout: Layout) -> str:
    """The document, with a title and every arrow in words for screen readers; all text is escaped."""
    scene: Scene = scene_of(layout)
    width, height = _number(scene.width), _number(scene.height)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}"'
        f' viewBox="0 0 {width} {height}" role="img" aria-labelledby="diagram-title diagram-desc"'
        f' font-family="{_FONTS}">',
        f'<title id="diagram-title">{escape(scene.title)}</title>',
        f'<desc id="diagram-desc">{escape(clean(scene.description))}</desc>',
        *(_element(shape) for shape in scene.shapes),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _element(shape: Shape) -> str:
    match shape:
        case Plate():
            return _plate(shape)
        case Stroke():
            dash = f' stroke-dasharray="{_number(shape.dash)}"' if shape.dash else ""
            return (
                f'<path d="{_path(shape.path)}" fill="none" stroke={quoteattr(shape.colour)}'
                f' stroke-width="{_number(shape.width)}"{dash}/>'
            )
        case Polygon():
            points = " ".join(_point(point) for point in shape.points)
            return f'<polygon points="{points}" fill={quoteattr(shape.fill)}/>'
        case Words():
            weight = ' font-weight="600"' if shape.bold else ""
            anchor = ' text-anchor="middle"' if shape.centred else ""
            return (
                f'<text x="{_number(shape.x)}" y="{_number(shape.y)}" font-size="{_number(shape.size)}"'
                f"{weight}{anchor} fill={quoteattr(shape.colour)}>{escape(shape.text)}</text>"
            )
        case _:
            assert_never(shape)


def _plate(plate: Plate) -> str:
    rect = plate.rect
    stroke = f" stroke={quoteattr(plate.stroke)}" if plate.stroke else ""
    stroke += f' stroke-width="{_number(plate.stroke_width)}"' if plate.stroke else ""
    opacity = f' fill-opacity="{plate.opacity:g}"' if plate.opacity < 1 else ""
    return (
        f'<rect x="{_number(rect.x)}" y="{_number(rect.y)}" width="{_number(rect.width)}"'
        f' height="{_number(rect.height)}" rx="{_number(plate.radius)}" fill={quoteattr(plate.fill)}'
        f"{opacity}{stroke}/>"
    )


def _path(path: Path) -> str:
    steps = [f"M{_point(path[0].start)}"]
    for piece in path:
        if piece.straight:
            steps.append(f"L{_point(piece.end)}")
        else:
            steps.append(f"C{_point(piece.handle_out)} {_point(piece.handle_in)} {_point(piece.end)}")
    return " ".join(steps)


def _point(point: Point) -> str:
    return f"{_number(point[0])},{_number(point[1])}"


def _number(value: float) -> str:
    """At most two decimals, and never ``-0``."""
    return f"{round(value, 2) + 0.0:.2f}".rstrip("0").rstrip(".")
