"""Points, rectangles and smooth paths; x grows to the right and y downwards, in pixels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import hypot

Point = tuple[float, float]

# How far a cubic's handles reach so that it looks like a quarter circle.
_QUARTER = 0.5523


@dataclass(frozen=True, slots=True)
class Rect:
    """An axis-parallel rectangle by its top left corner and size."""

    x: float
    y: float
    width: float
    height: float

    @property
    def right(self) -> float:
        return self.x + self.width

    @property
    def bottom(self) -> float:
        return self.y + self.height

    @property
    def centre(self) -> Point:
        return self.x + self.width / 2, self.y + self.height / 2

    def moved(self, dx: float, dy: float) -> Rect:
        return Rect(self.x + dx, self.y + dy, self.width, self.height)

    def grown(self, by: float) -> Rect:
        return Rect(self.x - by, self.y - by, self.width + 2 * by, self.height + 2 * by)

    def overlaps(self, other: Rect) -> bool:
        """Whether the two share area; touching sides do not count."""
        return self.x < other.right and other.x < self.right and self.y < other.bottom and other.y < self.bottom

    def contains(self, point: Point) -> bool:
        """Whether ``point`` is strictly inside."""
        return self.x < point[0] < self.right and self.y < point[1] < self.bottom

    @staticmethod
    def around(centre: Point, width: float, height: float) -> Rect:
        return Rect(centre[0] - width / 2, centre[1] - height / 2, width, height)


@dataclass(frozen=True, slots=True)
class Segment:
    """A cubic Bezier piece of a path; a straight piece has its handles on its ends."""

    start: Point
    handle_out: Point
    handle_in: Point
    end: Point

    @property
    def straight(self) -> bool:
        return self.handle_out == self.start and self.handle_in == self.end

    def at(self, t: float) -> Point:
        a, b, c, d = (1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t * t * (1 - t), t**3
        p, q, r, s = self.start, self.handle_out, self.handle_in, self.end
        return a * p[0] + b * q[0] + c * r[0] + d * s[0], a * p[1] + b * q[1] + c * r[1] + d * s[1]

    def points(self) -> Iterator[Point]:
        """Points along the piece without its start, about three pixels apart on a curve."""
        if self.straight:
            yield self.end
            return
        reach = hypot(self.end[0] - self.start[0], self.end[1] - self.start[1])
        steps = max(8, round(reach / 3))
        for i in range(1, steps + 1):
            yield self.at(i / steps)

    def reversed(self) -> Segment:
        return Segment(self.end, self.handle_in, self.handle_out, self.start)

    def moved(self, dx: float, dy: float) -> Segment:
        points = (self.start, self.handle_out, self.handle_in, self.end)
        return Segment(*((x + dx, y + dy) for x, y in points))


Path = tuple[Segment, ...]


def line(start: Point, end: Point) -> Segment:
    """A straight piece."""
    return Segment(start, start, end, end)


def swing(start: Point, end: Point) -> Segment:
    """A piece that leaves and arrives vertically; straight if one point is above the other."""
    if abs(start[0] - end[0]) < 0.5:
        return line(start, end)
    middle = (start[1] + end[1]) / 2
    return Segment(start, (start[0], middle), (end[0], middle), end)


def rounded(points: Sequence[Point], radius: float) -> Path:
    """The polyline through ``points`` with corners of up to ``radius``; needs two distinct points or more."""
    pieces: list[Segment] = []
    here = points[0]
    for before, corner, after in zip(points, points[1:], points[2:], strict=False):
        r = min(radius, _distance(before, corner) / 2, _distance(corner, after) / 2)
        enter, leave = _towards(corner, before, r), _towards(corner, after, r)
        bend = r * (1 - _QUARTER)
        pieces.append(line(here, enter))
        pieces.append(Segment(enter, _towards(corner, before, bend), _towards(corner, after, bend), leave))
        here = leave
    pieces.append(line(here, points[-1]))
    return tuple(pieces)


def sampled(path: Path) -> list[Point]:
    """The path as a polyline close enough to look smooth."""
    return [path[0].start, *(point for piece in path for point in piece.points())]


def shortened(path: Path, by: float) -> Path:
    """The path without its last ``by`` pixels; its last piece must be straight and longer than that."""
    *rest, last = path
    return (*rest, line(last.start, _towards(last.end, last.start, by)))


def _distance(a: Point, b: Point) -> float:
    return hypot(b[0] - a[0], b[1] - a[1])


def _towards(a: Point, b: Point, by: float) -> Point:
    whole = _distance(a, b)
    share = by / whole if whole else 0.0
    return a[0] + (b[0] - a[0]) * share, a[1] + (b[1] - a[1]) * share
