"""The ways around: arrows that run backwards or skip a row travel in a column of their own beside the boxes.

A track joins an upper box to a lower one, whichever of the two the arrow comes from. It leaves a box sideways if
nothing stands between the box and that edge of the picture; otherwise it goes through the gap under (or over)
the box's row, in a channel of its own.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

Side = Literal[-1, 1]


@dataclass(frozen=True, slots=True)
class End:
    """Where a track meets a box; ``channel`` counts from the box's row, ``None`` if it leaves sideways."""

    node: str
    row: int
    hops: int
    channel: int | None = None


@dataclass(frozen=True, slots=True)
class Track:
    """One arrow's way around; ``side`` is -1 for left, ``depth`` counts columns outwards from 0."""

    edge: int
    upper: End
    lower: End
    side: Side
    depth: int = 0

    @property
    def span(self) -> tuple[int, int]:
        """From where to where the column is in use, in quarters of a row."""
        return (
            4 * self.upper.row + (self.upper.hops > 0),
            4 * self.lower.row - (self.lower.hops > 0),
        )

    def meets(self, other: Track) -> bool:
        """Whether both need the same height on the same side."""
        (a, b), (c, d) = self.span, other.span
        return self.side == other.side and a < d and c < b


def plan(arrows: Sequence[tuple[int, str, str]], rows: Sequence[Sequence[str]], walled: Collection[str]) -> list[Track]:
    """A track for each ``(edge, source, target)``; ``rows`` holds the boxes from left to right.

    ``walled`` boxes cannot be left to the right. Short tracks are inside long ones, so that nested ones do not
    cross, and no two tracks that meet have the same depth. Inner tracks come first in the result.
    """
    spot = {id_: (row, i) for row, ids in enumerate(rows) for i, id_ in enumerate(ids)}

    def end(id_: str, side: Side) -> End:
        row, i = spot[id_]
        hops = i if side < 0 else len(rows[row]) - 1 - i
        return End(id_, row, hops + (side > 0 and id_ in walled))

    chosen: list[Track] = []
    for edge, source, target in arrows:
        backwards = spot[source][0] > spot[target][0]
        upper, lower = (target, source) if backwards else (source, target)
        left = Track(edge, end(upper, -1), end(lower, -1), -1)
        right = Track(edge, end(upper, 1), end(lower, 1), 1)
        lean = _detour(left) - _detour(right)
        chosen.append(left if lean < 0 or (lean == 0 and backwards) else right)

    chosen.sort(key=lambda track: (track.span[1] - track.span[0], track.span[0], track.edge))
    tracks: list[Track] = []
    for track in chosen:
        depth = max((other.depth + 1 for other in tracks if other.meets(track)), default=0)
        tracks.append(replace(track, depth=depth))
    return _with_channels(tracks)


def _detour(track: Track) -> int:
    return sum(1 + end.hops for end in (track.upper, track.lower) if end.hops)


def _with_channels(tracks: Sequence[Track]) -> list[Track]:
    """Boxes near the edge get the channels near their row, so that farther ones pass beyond their ports."""
    bands: dict[tuple[int, bool], list[tuple[int, int, int]]] = {}
    for i, track in enumerate(tracks):
        for end, below in ((track.upper, True), (track.lower, False)):
            if end.hops:
                bands.setdefault((end.row, below), []).append((end.hops, -track.depth, i))
    result = list(tracks)
    for (_, below), wanting in bands.items():
        for channel, (_, _, i) in enumerate(sorted(wanting)):
            track = result[i]
            if below:
                result[i] = replace(track, upper=replace(track.upper, channel=channel))
            else:
                result[i] = replace(track, lower=replace(track.lower, channel=channel))
    return result


def side_ports(tracks: Sequence[Track]) -> Mapping[tuple[str, Side], list[int]]:
    """Per box and side, the edges that meet it there, from top to bottom, in the order that avoids crossings."""
    meeting: dict[tuple[str, Side], list[tuple[bool, int, int]]] = {}
    for track in tracks:
        for end, leads_down in ((track.upper, True), (track.lower, False)):
            if end.channel is None:
                # Those that go up come first, the inner ones on top; of those that go down the outer ones.
                outwards = -track.depth if leads_down else track.depth
                meeting.setdefault((end.node, track.side), []).append((leads_down, outwards, track.edge))
    return {place: [edge for *_, edge in sorted(found)] for place, found in meeting.items()}


def columns(
    tracks: Sequence[Track], reach: Mapping[int, float], half: Mapping[int, float], room: float
) -> dict[int, float]:
    """The x of every track by edge, ``tracks`` inner ones first.

    ``reach`` is how far out the boxes and labels beside the track extend, ``half`` half the width of the
    track's own label; ``room`` is the least distance to a box, for an arrowhead and a corner.
    """
    x: dict[int, float] = {}
    done: list[Track] = []
    for track in tracks:
        out = reach[track.edge] + max(room, half[track.edge] + room / 2)
        for other in done:
            if other.meets(track):
                out = max(out, abs(x[other.edge]) + half[other.edge] + half[track.edge] + room / 2)
        x[track.edge] = track.side * out
        done.append(track)
    return x


def label_height(centre: float, height: float, span: tuple[float, float], crossed: Sequence[float]) -> float:
    """The y closest to ``centre`` where a label of ``height`` fits in ``span`` clear of the lines ``crossed``."""
    need = height / 2 + 7
    candidates = [centre, span[0] + need, span[1] - need, *(y + s * need for y in crossed for s in (-1, 1))]
    free = [
        y
        for y in candidates
        if span[0] + need <= y + 1e-6 and y - 1e-6 <= span[1] - need and all(abs(y - c) >= need - 1e-6 for c in crossed)
    ]
    return min(free, key=lambda y: (abs(y - centre), y), default=centre)
