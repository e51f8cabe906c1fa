"""How large everything is and where it stands; the arrows' paths come after (``routes``)."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ticketflow.workflow.drawing.diagram import Diagram, Edge, Node, text_width, wrapped
from ticketflow.workflow.drawing.geometry import Rect
from ticketflow.workflow.drawing.ranks import rank
from ticketflow.workflow.drawing.rows import Key, ordered, placed
from ticketflow.workflow.drawing.tracks import plan

TITLE_SIZE, SUBTITLE_SIZE, LABEL_SIZE = 16.0, 12.5, 12.0
TITLE_LINE, SUBTITLE_LINE, LABEL_LINE = 21.0, 17.0, 16.0

# Distances from a row down to what leaves it, up to what arrives at it, and between channels; and what more
# the channels below a row need because arrows that run back arrive there from below.
LEAVE, ARRIVE, CHANNEL = 16.0, 28.0, 12.0
HEAD = 8.0
LOOP = 30.0

_EVEN = ("step", "place", "transition")
_PADDING = {"start": 15, "end": 15, "step": 26, "place": 23, "transition": 18}
_LEAST_WIDTH = {"start": 92, "end": 92, "step": 120, "place": 120, "transition": 120}
_TITLE_LIMIT, _SUBTITLE_LIMIT, _LABEL_LIMIT = 28, 36, 24


@dataclass(frozen=True, slots=True)
class PlacedNode:
    """A box with its text broken into lines."""

    node: Node
    rect: Rect
    title: tuple[str, ...]
    subtitle: tuple[str, ...]


class Sheet:
    """Rows of boxes from top to bottom, with the middle column around x = 0 and the first row at y = 0.

    ``onwards`` are the edges to the next row, each passing the labels below its row at ``x[edge]``; ``loops``
    those from a box to itself; ``tracks`` the ways around of all others. Row ``r`` is between ``top[r]`` and
    ``bottom[r]``, and the labels below it are ``label_room[r]`` high around ``label_y[r]``.
    """

    def __init__(self, diagram: Diagram) -> None:
        self.diagram = diagram
        self.labels = [wrapped(edge.label, _LABEL_LIMIT) for edge in diagram.edges]
        self.ranks = rank(diagram)
        self.loops: dict[str, list[int]] = {}
        self.onwards: list[int] = []
        around: list[tuple[int, str, str]] = []
        for index, edge in enumerate(diagram.edges):
            if edge.source == edge.target:
                self.loops.setdefault(edge.source, []).append(index)
            elif index not in self.ranks.back and self._fall(edge) == 1:
                self.onwards.append(index)
            else:
                around.append((index, edge.source, edge.target))
        self.boxes = {node.id: self._sized(node) for node in diagram.nodes}
        self._even_out()
        self._spread()
        self.tracks = plan(around, self.rows, self.loops)
        self._stack()

    def chip(self, index: int) -> tuple[float, float]:
        """Width and height of an edge's label; zero if it has none."""
        lines = self.labels[index]
        if not lines:
            return 0.0, 0.0
        return max(text_width(text, LABEL_SIZE) for text in lines) + 18, len(lines) * LABEL_LINE + 8

    def leaving(self, row: int) -> list[int]:
        """The edges from ``row`` to the next one."""
        return [i for i in self.onwards if self.ranks.row[self.diagram.edges[i].source] == row]

    def loop_heights(self, id_: str) -> list[float]:
        """How much of a box's side each of its loops takes, with its label."""
        return [max(self.chip(i)[1] + 8, 30.0) for i in self.loops.get(id_, ())]

    def _fall(self, edge: Edge) -> int:
        return self.ranks.row[edge.target] - self.ranks.row[edge.source]

    def _sized(self, node: Node) -> PlacedNode:
        title, subtitle = wrapped(node.title, _TITLE_LIMIT), wrapped(node.subtitle, _SUBTITLE_LIMIT)
        widths = [text_width(text, TITLE_SIZE) for text in title]
        widths += [text_width(text, SUBTITLE_SIZE) for text in subtitle]
        high = len(title) * TITLE_LINE + len(subtitle) * SUBTITLE_LINE + _PADDING[node.kind]
        high = max(high, sum(self.loop_heights(node.id)) + 8)
        wide = max([_LEAST_WIDTH[node.kind], *(w + 44 for w in widths)])
        return PlacedNode(node, Rect(0, 0, wide, high), title, subtitle)

    def _even_out(self) -> None:
        """All steps are as wide as the widest, so that a plain sequence reads as one column; so with a net's boxes."""
        for kind in _EVEN:
            alike = [box for box in self.boxes.values() if box.node.kind == kind]
            widest = max((box.rect.width for box in alike), default=0.0)
            for box in alike:
                self.boxes[box.node.id] = replace(box, rect=Rect(0, 0, widest, box.rect.height))

    def _spread(self) -> None:
        """Rows of boxes alternate with rows of labels: an arrow to the next row passes through its label."""
        place = {id_: i for i, id_ in enumerate(self.ranks.order)}
        edges = self.diagram.edges
        rows: list[list[Key]] = []
        for row, ids in enumerate(self.ranks.rows):
            passing = sorted(self.leaving(row), key=lambda i: (place[edges[i].source], place[edges[i].target]))
            rows += [list(ids), list(passing)]
        links: list[tuple[Key, Key]] = []
        for i in self.onwards:
            links += [(edges[i].source, i), (i, edges[i].target)]
        half: dict[Key, float] = {i: max(self.chip(i)[0] / 2, 6.0) for i in self.onwards}
        for id_, box in self.boxes.items():
            # Both sides alike, although loops are on the right only: the box stays in the middle.
            loops = max((LOOP + self.chip(i)[0] for i in self.loops.get(id_, ())), default=0.0)
            half[id_] = box.rect.width / 2 + loops
        # The last row of labels is always empty; every other has what holds the row below it in place.
        best = ordered(rows[:-1], links)
        self.rows = [[key for key in row if isinstance(key, str)] for row in best[::2]]
        self.half = half
        self.x = placed(best, links, half)

    def _stack(self) -> None:
        count = len(self.rows)
        out, into = [0] * count, [0] * count
        self.label_room = [max((self.chip(i)[1] for i in self.leaving(row)), default=0.0) for row in range(count)]
        room = list(self.label_room)
        for track in self.tracks:
            out[track.upper.row] += track.upper.channel is not None
            into[track.lower.row] += track.lower.channel is not None
        for track in self.tracks:
            # At least one gap on its way must have room for the track's label between the channels.
            home = (track.upper.row + track.lower.row - 1) // 2
            free = LEAVE - 4 * (out[home] > 0) + ARRIVE - 14 * (into[home + 1] > 0)
            room[home] = max(room[home], self.chip(track.edge)[1] + 14 - free)
        self.top, self.bottom, self.label_y, y = list[float](), list[float](), list[float](), 0.0
        for row, ids in enumerate(self.rows):
            height = max(self.boxes[id_].rect.height for id_ in ids)
            self.top.append(y)
            self.bottom.append(y + height)
            for id_ in ids:
                box = self.boxes[id_]
                rect = Rect.around((self.x[id_], y + height / 2), box.rect.width, box.rect.height)
                self.boxes[id_] = replace(box, rect=rect)
            if row + 1 < count:
                slack = self._slack(row)
                y += height + LEAVE + HEAD * (out[row] > 0) + out[row] * CHANNEL + slack
                self.label_y.append(y + room[row] / 2)
                y += room[row] + slack + into[row + 1] * CHANNEL + ARRIVE

    def _slack(self, row: int) -> float:
        """Extra height on both sides of labels where arrows go far sideways, so that they do not lie flat."""
        ends = [(i, self.diagram.edges[i]) for i in self.leaving(row)]
        far = [abs(self.x[i] - self.x[end]) for i, edge in ends for end in (edge.source, edge.target)]
        return min(0.18 * max(far), 28.0)
