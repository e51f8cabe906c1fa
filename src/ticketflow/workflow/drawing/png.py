"""A layout as a PNG, drawn with Pillow and its built-in font: no fonts or programs of the system are needed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from io import BytesIO
from itertools import pairwise
from math import hypot
from typing import TYPE_CHECKING, assert_never

from ticketflow.workflow.drawing.diagram import plain
from ticketflow.workflow.drawing.geometry import Point, sampled
from ticketflow.workflow.drawing.layout import Layout
from ticketflow.workflow.drawing.scene import scene_of
from ticketflow.workflow.drawing.shapes import Plate, Polygon, Shape, Stroke, Words

if TYPE_CHECKING:
    from PIL import ImageDraw, ImageFont

_FINER = 3


def png(layout: Layout, scale: int = 2) -> bytes:
    """The picture with ``scale`` pixels per unit of the layout, opaque but for its rounded outer corners.

    The built-in font knows ASCII only: other characters are spelled out or shown as ``?``.
    """
    from PIL import Image, ImageDraw

    scene = scene_of(layout)
    width, height = round(scene.width * scale), round(scene.height * scale)
    # Pillow does not smooth shapes, so everything is drawn several times as large and reduced.
    image = Image.new("RGB", (width * _FINER, height * _FINER), "#ffffff")
    pen = ImageDraw.Draw(image, "RGBA")
    for shape in scene.shapes:
        _draw(pen, shape, scale * _FINER)
    mask = Image.new("L", image.size, 0)
    _draw(ImageDraw.Draw(mask), _outline(scene.shapes[0]), scale * _FINER)
    image.putalpha(mask)
    done = image.resize((width, height), Image.Resampling.LANCZOS)
    out = BytesIO()
    done.save(out, "PNG", optimize=True, dpi=(96 * scale, 96 * scale))
    return out.getvalue()


def _outline(canvas: Shape) -> Plate:
    assert isinstance(canvas, Plate)
    return Plate(canvas.rect.grown(canvas.stroke_width / 2), canvas.radius + 1, "#ffffff")


def _draw(pen: ImageDraw.ImageDraw, shape: Shape, unit: float) -> None:
    match shape:
        case Plate():
            _plate(pen, shape, unit)
        case Stroke():
            points = [(x * unit, y * unit) for x, y in sampled(shape.path)]
            for dash in _dashes(points, shape.dash * unit) if shape.dash else [points]:
                _polyline(pen, dash, shape.colour, shape.width * unit)
        case Polygon():
            pen.polygon([(x * unit, y * unit) for x, y in shape.points], fill=shape.fill)
        case Words():
            _words(pen, shape, unit)
        case _:
            assert_never(shape)


def _plate(pen: ImageDraw.ImageDraw, plate: Plate, unit: float) -> None:
    fill = f"{plate.fill}{round(plate.opacity * 255):02x}" if plate.opacity < 1 else plate.fill
    if not plate.stroke:
        _rounded(pen, plate, 0.0, fill, unit)
        return
    # Pillow strokes inwards; SVG strokes on the line. Two fills give the same as SVG.
    _rounded(pen, plate, plate.stroke_width / 2, plate.stroke, unit)
    _rounded(pen, plate, -plate.stroke_width / 2, fill, unit)


def _rounded(pen: ImageDraw.ImageDraw, plate: Plate, grow: float, fill: str, unit: float) -> None:
    rect = plate.rect.grown(grow)
    corners = (round(rect.x * unit), round(rect.y * unit), round(rect.right * unit), round(rect.bottom * unit))
    radius = min(plate.radius + grow, rect.width / 2, rect.height / 2) * unit
    pen.rounded_rectangle(corners, radius, fill=fill)


def _polyline(pen: ImageDraw.ImageDraw, points: Sequence[Point], colour: str, width: float) -> None:
    pen.line(points, fill=colour, width=round(width), joint="curve")


def _dashes(points: Sequence[Point], length: float) -> Iterator[list[Point]]:
    """The polyline cut into pieces of ``length``, every other one left out."""
    dash, left, drawing = [points[0]], length, True
    for a, b in pairwise(points):
        whole = hypot(b[0] - a[0], b[1] - a[1])
        done = 0.0
        while whole - done >= left:
            done += left
            cut = (a[0] + (b[0] - a[0]) * done / whole, a[1] + (b[1] - a[1]) * done / whole)
            if drawing:
                yield [*dash, cut]
            dash, left, drawing = [cut], length, not drawing
        left -= whole - done
        dash.append(b)
    if drawing and len(dash) > 1:
        yield dash


@cache
def _font(size: float) -> ImageFont.FreeTypeFont:
    from PIL import ImageFont

    font = ImageFont.load_default(size)
    assert isinstance(font, ImageFont.FreeTypeFont)
    return font


def _words(pen: ImageDraw.ImageDraw, words: Words, unit: float) -> None:
    text = plain(words.text)
    # The built-in font has one weight; a thin outline in the same colour makes it bolder.
    outline = round(words.size * unit / 42) if words.bold else 0
    size = words.size * unit
    wide = _font(size).getlength(text) + outline * len(text)
    if words.room and wide > words.room * unit:
        size *= words.room * unit / wide
    font, spread = _font(size), outline * 0.6
    x = words.x * unit
    if words.centred:
        x -= (font.getlength(text) + spread * (len(text) - 1)) / 2
    for i, letter in enumerate(text):
        at = (x + font.getlength(text[: i + 1]) - font.getlength(letter) + spread * i, words.y * unit)
        pen.text(at, letter, words.colour, font, "ls", stroke_width=outline, stroke_fill=words.colour)
