"""The arrows' paths and the places of their labels, once everything stands (``sheet``)."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from ticketflow.workflow.drawing.geometry import Path, Point, Rect, Segment, line, rounded, swing
from ticketflow.workflow.drawing.sheet import ARRIVE, CHANNEL, HEAD, LEAVE, LOOP, Sheet
from ticketflow.workflow.drawing.tracks import End, Side, Track, columns, label_height, side_ports

_CORNER = 22.0
_ROOM = 34.0
_ARROW_ROOM = 12.0
_PORTS_APART = 36.0


@dataclass(frozen=True, slots=True)
class Route:
    """An arrow's path from source to target, and the room of its label if it has one."""

    path: Path
    label: Rect | None


def routes(sheet: Sheet) -> list[Route]:
    """One route per edge, in the diagram's order."""
    found: dict[int, Route] = {}
    below = _ports(sheet, below=True)
    above = _ports(sheet, below=False)
    for row in range(len(sheet.rows)):
        for i in sheet.leaving(row):
            edge = sheet.diagram.edges[i]
            found[i] = _onward(sheet, row, i, below[edge.source, i], above[edge.target, i])
    for id_, loops in sheet.loops.items():
        y = sheet.boxes[id_].rect.centre[1] - sum(sheet.loop_heights(id_)) / 2
        for i, height in zip(loops, sheet.loop_heights(id_), strict=True):
            found[i] = _loop(sheet, i, sheet.boxes[id_].rect.right, y + height / 2)
            y += height
    found.update(_around(sheet, {**above, **below}))
    return [found[i] for i in range(len(sheet.diagram.edges))]


def _onward(sheet: Sheet, row: int, i: int, start: Point, end: Point) -> Route:
    leave, arrive = (start[0], sheet.bottom[row]), (end[0], sheet.top[row + 1] - _ARROW_ROOM)
    x, y, room = sheet.x[i], sheet.label_y[row], sheet.label_room[row]
    if room:
        # Every arrow of a row with labels passes it upright, in the place kept for it.
        upper, lower = (x, y - room / 2), (x, y + room / 2)
        middle = [swing(leave, upper), line(upper, lower), swing(lower, arrive)]
    else:
        middle = [swing(leave, arrive)]
    label = Rect.around((x, y), *sheet.chip(i)) if sheet.labels[i] else None
    return Route(_joined([line(start, leave), *middle, line(arrive, end)]), label)


def _loop(sheet: Sheet, i: int, x: float, y: float) -> Route:
    out = x + LOOP - 8
    path = rounded([(x, y - 9), (out, y - 9), (out, y + 9), (x, y + 9)], 9)
    width, height = sheet.chip(i)
    label = Rect(x + LOOP, y - height / 2, width, height) if sheet.labels[i] else None
    return Route(path, label)


def _around(sheet: Sheet, ports: dict[tuple[str, int], Point]) -> dict[int, Route]:
    half = {track.edge: sheet.chip(track.edge)[0] / 2 for track in sheet.tracks}
    x = columns(sheet.tracks, {t.edge: _reach(sheet, t) for t in sheet.tracks}, half, _ROOM)
    for (id_, side), edges in side_ports(sheet.tracks).items():
        rect = sheet.boxes[id_].rect
        apart = min(16.0, (rect.height - 16) / len(edges))
        for n, i in enumerate(edges):
            port_y = rect.centre[1] + (n - (len(edges) - 1) / 2) * apart
            ports[id_, i] = (rect.right if side > 0 else rect.x, port_y)

    def height(track: Track, end: End, below: bool) -> float:
        if end.channel is None:
            return ports[end.node, track.edge][1]
        if below:
            return sheet.bottom[end.row] + LEAVE + HEAD + end.channel * CHANNEL
        return sheet.top[end.row] - ARRIVE + 2 - end.channel * CHANNEL

    heights = {t.edge: (height(t, t.upper, True), height(t, t.lower, False)) for t in sheet.tracks}
    found: dict[int, Route] = {}
    for track in sheet.tracks:
        i = track.edge
        first, last = heights[i]
        corners = [ports[track.upper.node, i], (ports[track.upper.node, i][0], first), (x[i], first)]
        corners += [(x[i], last), (ports[track.lower.node, i][0], last), ports[track.lower.node, i]]
        if sheet.diagram.edges[i].source == track.lower.node:
            corners.reverse()
        found[i] = Route(rounded(_distinct(corners), _CORNER), None)
        if sheet.labels[i]:
            crossed = [
                y
                for other in sheet.tracks
                if other.side == track.side and other is not track
                if abs(x[other.edge]) > abs(x[i]) - half[i]
                for y in heights[other.edge]
            ]
            high = sheet.chip(i)[1]
            y = label_height((first + last) / 2, high, (first, last), crossed)
            found[i] = Route(found[i].path, Rect.around((x[i], y), *sheet.chip(i)))
    return found


def _reach(sheet: Sheet, track: Track) -> float:
    """How far boxes and labels stretch to the track's side on its way."""
    first, last = track.upper.row, track.lower.row
    beside: list[str | int] = [id_ for ids in sheet.rows[first : last + 1] for id_ in ids]
    beside += [i for row in range(first, last) for i in sheet.leaving(row)]
    return max(track.side * sheet.x[key] + sheet.half[key] for key in beside)


def _ports(sheet: Sheet, *, below: bool) -> dict[tuple[str, int], Point]:
    """Where edges meet the lower (or upper) side of each box: those to the next row in the middle, by x."""
    found: dict[tuple[str, int], Point] = {}
    for id_, box in sheet.boxes.items():
        edges = sheet.diagram.edges
        middle = [i for i in sheet.onwards if id_ == (edges[i].source if below else edges[i].target)]
        middle.sort(key=lambda i: sheet.x[i])
        left = _through(sheet, id_, -1, below)
        right = _through(sheet, id_, 1, below)
        both = max(len(left), len(right)) * 2 + len(middle) - 1
        apart = min(_PORTS_APART, (box.rect.width - 48) / max(both, 1))
        order = [*reversed(left), *middle, *right]
        shift = len(left) + (len(middle) - 1) / 2 if middle else (len(order) - 1) / 2
        for n, i in enumerate(order):
            x = box.rect.centre[0] + (n - shift) * apart
            found[id_, i] = (x, box.rect.bottom if below else box.rect.y)
    return found


def _through(sheet: Sheet, id_: str, side: Side, below: bool) -> list[int]:
    """The edges that leave a box through the gap, from the middle of the box outwards."""
    ends = [
        (end.channel, track.edge)
        for track in sheet.tracks
        for end in ((track.upper if below else track.lower),)
        if end.node == id_ and track.side == side and end.channel is not None
    ]
    return [edge for _, edge in sorted(ends, reverse=True)]


def _distinct(points: list[Point]) -> list[Point]:
    return [points[0], *(b for a, b in pairwise(points) if a != b)]


def _joined(pieces: list[Segment]) -> Path:
    """The pieces without empty ones; if all of them are upright in one line, a single one."""
    kept = [piece for piece in pieces if piece.start != piece.end]
    if all(piece.straight for piece in kept) and len({round(piece.end[0], 1) for piece in kept}) == 1:
        return (line(kept[0].start, kept[-1].end),)
    return tuple(kept)
