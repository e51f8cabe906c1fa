"""What the signs in a picture mean, and the notes below it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ticketflow.workflow.drawing.diagram import Diagram, clean, text_width
from ticketflow.workflow.drawing.geometry import Rect, line
from ticketflow.workflow.drawing.looks import LEGEND, NET_LEGEND, QUIET, group_look, place_look
from ticketflow.workflow.drawing.marks import arrow, bar, token
from ticketflow.workflow.drawing.shapes import Plate, Shape, Words, moved
from ticketflow.workflow.drawing.sheet import LABEL_SIZE

_FIRST, _LINE, _APART = 42.0, 25.0, 28.0


@dataclass(frozen=True, slots=True)
class Legend:
    """Lines of signs and words, each around the middle of ``width``, with some air above."""

    shapes: tuple[Shape, ...]
    width: float
    height: float


def legend_of(diagram: Diagram) -> Legend:
    """Empty, and without size, if there is nothing to explain."""
    lines = [_in_a_row(list(_signs(diagram)))] if any(edge.dashed for edge in diagram.edges) or diagram.is_net else []
    lines += [_words(clean(note), 0) for note in diagram.notes]
    if not lines:
        return Legend((), 0.0, 0.0)
    width = max(wide for _, wide in lines)
    shapes = [
        moved(shape, (width - wide) / 2, _FIRST + n * _LINE) for n, (found, wide) in enumerate(lines) for shape in found
    ]
    return Legend(tuple(shapes), width, _FIRST + 14 + (len(lines) - 1) * _LINE)


_Sign = tuple[list[Shape], float]
"""Shapes that begin at x = 0, around y = 0, and how far they reach."""


def _signs(diagram: Diagram) -> Iterator[_Sign]:
    if any(edge.dashed for edge in diagram.edges):
        for dashed, text in LEGEND:
            yield _before_words(arrow((line((0, 0), (40, 0)),), dashed), 50, text)
    if diagram.is_net:
        place, first = NET_LEGEND
        look = place_look()
        yield _before_words([Plate(Rect(0, -9, 30, 18), 9, look.fill, look.stroke)], 38, place)
        yield _before_words([token((6, 0), look)], 18, first)
    for group in diagram.groups:
        look = group_look(diagram, group)
        rect = Rect(0, -9, 24, 18)
        yield _before_words([Plate(rect, 3, look.fill, look.stroke), bar(rect, look)], 32, clean(group))


def _before_words(shapes: list[Shape], at: float, text: str) -> _Sign:
    words, wide = _words(text, at)
    return [*shapes, *words], at + wide


def _words(text: str, at: float) -> _Sign:
    room = text_width(text, LABEL_SIZE)
    return [Words(text, at, 4.2, LABEL_SIZE, QUIET, centred=False, room=room)], room


def _in_a_row(signs: list[_Sign]) -> _Sign:
    shapes: list[Shape] = []
    x = 0.0
    for found, wide in signs:
        shapes += [moved(shape, x, 0) for shape in found]
        x += wide + _APART
    return shapes, x - _APART
