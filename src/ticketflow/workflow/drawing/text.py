"""A diagram as text: boxes and lines for the console, and Mermaid for Markdown."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace

from ticketflow.workflow.drawing.diagram import Diagram, Node, clean, plain, wrapped
from ticketflow.workflow.drawing.looks import LEGEND, NET_LEGEND, deciding, line_colour, looks
from ticketflow.workflow.drawing.ranks import rank
from ticketflow.workflow.drawing.tracks import Track, plan, side_ports

_COLUMNS = 80
_SQUARE = ("step", "transition")
_DOT = "●"
_ASCII = str.maketrans("─│┄┆┌┐└┘╭╮╰╯├┤┬┴┼▼►◄●", "-|.:" + "+" * 13 + "v><*")


def console(diagram: Diagram, *, ascii_only: bool = False) -> str:
    """The boxes from top to bottom, with rails at the sides for arrows that skip some or run back.

    To fit into 80 columns, long texts in boxes are broken; if that is not enough, the labels beside the rails
    become numbers with notes below. Only a diagram with very many rails is wider.
    ``ascii_only`` keeps to ASCII, both for the lines and for the texts.
    """
    if ascii_only:
        diagram = _spelled(diagram)
    for limit, notes in ((36, False), (24, False), (36, True), (24, True)):
        page = _Page(diagram, limit, notes=notes)
        if page.width <= _COLUMNS:
            break
    text = page.text()
    return text.translate(_ASCII) if ascii_only else text


def _spelled(diagram: Diagram) -> Diagram:
    nodes = (replace(n, title=plain(n.title), subtitle=plain(n.subtitle)) for n in diagram.nodes)
    edges = (replace(edge, label=plain(edge.label)) for edge in diagram.edges)
    notes = tuple(plain(note) for note in diagram.notes)
    return Diagram(plain(diagram.title), tuple(nodes), tuple(edges), plain(diagram.summary), notes)


@dataclass(frozen=True, slots=True)
class _Box:
    """A box's lines of text, its first and last row on the page, and its half width."""

    node: Node
    lines: tuple[str, ...]
    top: int
    bottom: int
    half: int


class _Page:
    """A grid of characters, written back to front."""

    def __init__(self, diagram: Diagram, limit: int, *, notes: bool) -> None:
        self.diagram = diagram
        self.limit = limit
        self.grid: dict[tuple[int, int], str] = {}
        self.order = rank(diagram).order
        place = {id_: i for i, id_ in enumerate(self.order)}
        self.straight: dict[str, int] = {}
        around: list[tuple[int, str, str]] = []
        for index, edge in enumerate(diagram.edges):
            fall = place[edge.target] - place[edge.source]
            if fall == 1 and edge.source not in self.straight:
                self.straight[edge.source] = index
            elif fall:
                around.append((index, edge.source, edge.target))
        self.tracks = plan(around, [[id_] for id_ in self.order], ())
        self.ports = side_ports(self.tracks)
        self.labels = {track.edge: clean(diagram.edges[track.edge].label) for track in self.tracks}
        self.notes: list[str] = []
        if notes:
            for number, label in sorted(self.labels.items()):
                if label:
                    self.notes.append(label)
                    self.labels[number] = f"({len(self.notes)})"
        texts = {node.id: self._lines(node) for node in diagram.nodes}
        self.half = max(len(line) for lines in texts.values() for line in lines) // 2 + 2
        self.zone = {side: self._zone(side) for side in (-1, 1)}
        self.middle = self.half + self.zone[-1] + max(self._rails(-1) - 1, 0)
        self.width = self.middle + self.half + self.zone[1] + self._rails(1) + 1
        self.boxes = self._stacked(texts)

    def _lines(self, node: Node) -> tuple[str, ...]:
        lines = [*wrapped(_titled(node), self.limit), *wrapped(node.subtitle, self.limit)]
        for edge in self.diagram.edges:
            if edge.source == edge.target == node.id:
                lines += wrapped(f"repeats: {edge.label}" if edge.label else "repeats", self.limit)
        return tuple(lines) or (" ",)

    def _zone(self, side: int) -> int:
        """The room for labels between the boxes and the first rail."""
        labels = [self.labels[track.edge] for track in self.tracks if track.side == side]
        return max(len(label) for label in labels) + 5 if labels else 0

    def _rails(self, side: int) -> int:
        return max((2 * track.depth + 1 for track in self.tracks if track.side == side), default=0)

    def _stacked(self, texts: dict[str, tuple[str, ...]]) -> dict[str, _Box]:
        boxes: dict[str, _Box] = {}
        row = 0
        for id_ in self.order:
            node, lines = self.diagram.node(id_), texts[id_]
            ports = max(len(self.ports.get((id_, -1), ())), len(self.ports.get((id_, 1), ())))
            bottom = row + max(len(lines), ports) + 1
            half = self.half if node.kind in _SQUARE else max(len(line) for line in lines) // 2 + 3
            boxes[id_] = _Box(node, lines, row, bottom, half)
            row = bottom + 1 + (len(self._straight_label(id_)) + 1 if id_ in self.straight else 1)
        return boxes

    def _straight_label(self, id_: str) -> tuple[str, ...]:
        label = self.diagram.edges[self.straight[id_]].label
        return wrapped(label, self.half + self.zone[1] - 3) if label else ()

    def text(self) -> str:
        for box in self.boxes.values():
            self._draw_box(box)
        for id_, edge in self.straight.items():
            self._draw_straight(self.boxes[id_], edge)
        for track in self.tracks:
            self._draw_track(track)
        last = max(row for row, _ in self.grid)
        rows = ["".join(self.grid.get((r, c), " ") for c in range(self.width)).rstrip() for r in range(last + 1)]
        head = [text for text in (clean(self.diagram.title), clean(self.diagram.summary)) if text]
        notes = [f"({number}) {note}" for number, note in enumerate(self.notes, 1)]
        legend = ["   ".join(f"{'┄┄┄' if dashed else '───'} {meaning}" for dashed, meaning in LEGEND)]
        below = [*self._net_legend(), *(line for note in self.diagram.notes for line in wrapped(note, _COLUMNS))]
        parts = [head, rows, notes, legend if deciding(self.diagram) else [], below]
        return "\n\n".join("\n".join(part) for part in parts if part) + "\n"

    def _net_legend(self) -> list[str]:
        if not self.diagram.is_net:
            return []
        place, first = NET_LEGEND
        return [f"╭─╮ {place}   {_DOT} {first}   ┌─┐ transition, and who may fire it"]

    def _write(self, row: int, column: int, text: str) -> None:
        for i, character in enumerate(text):
            self.grid[row, column + i] = character

    def _lay(self, row: int, column: int, character: str) -> None:
        """One character of a line; where it meets a line that runs across, the two become a crossing."""
        before = self.grid.get((row, column), " ")
        across = {before, character} & set("─┄") and {before, character} & set("│┆")
        self.grid[row, column] = "┼" if across else character

    def _draw_box(self, box: _Box) -> None:
        left, inner = self.middle - box.half, 2 * box.half - 1
        corners = "┌┐└┘" if box.node.kind in _SQUARE else "╭╮╰╯"
        self._write(box.top, left, corners[0] + "─" * inner + corners[1])
        for row in range(box.top + 1, box.bottom):
            self._write(row, left, "│" + " " * inner + "│")
        self._write(box.bottom, left, corners[2] + "─" * inner + corners[3])
        first = box.top + 1 + (box.bottom - box.top - 1 - len(box.lines)) // 2
        for i, line in enumerate(box.lines):
            self._write(first + i, self.middle - len(line) // 2, line)

    def _draw_straight(self, box: _Box, edge: int) -> None:
        upright = "┆" if self.diagram.edges[edge].dashed else "│"
        self._write(box.bottom, self.middle, "┬")
        row = box.bottom
        for line in self._straight_label(box.node.id):
            row += 1
            self._write(row, self.middle, f"{upright} {line}")
        self._write(row + 1, self.middle, "▼")

    def _draw_track(self, track: Track) -> None:
        edge, side = self.diagram.edges[track.edge], track.side
        across, upright = ("┄", "┆") if edge.dashed else ("─", "│")
        rail = self.middle + side * (self.half + self.zone[side] + 2 * track.depth)
        upper, lower = self._port_row(track.upper.node, track), self._port_row(track.lower.node, track)
        for id_, row, corner in (
            (track.upper.node, upper, "╮" if side > 0 else "╭"),
            (track.lower.node, lower, "╯" if side > 0 else "╰"),
        ):
            start = self.middle + side * self.boxes[id_].half
            for column in range(start + side, rail, side):
                self._lay(row, column, across)
            self.grid[row, rail] = corner
            if id_ == edge.target:
                self._write(row, start + side, "◄" if side > 0 else "►")
            else:
                self._write(row, start, "├" if side > 0 else "┤")
                label = f" {self.labels[track.edge]} " if self.labels[track.edge] else ""
                zone_start = self.middle + side * self.half + (2 if side > 0 else -2 - len(label))
                self._write(row, zone_start + (side < 0), label)
        for row in range(upper + 1, lower):
            self._lay(row, rail, upright)

    def _port_row(self, id_: str, track: Track) -> int:
        edges, box = self.ports[id_, track.side], self.boxes[id_]
        free = box.bottom - box.top - 1 - len(edges)
        return box.top + 1 + free // 2 + edges.index(track.edge)


def _titled(node: Node) -> str:
    return f"{_DOT} {node.title}" if node.token else node.title


_MERMAID_KEYWORDS = re.compile(
    "call|class|classdef|click|default|direction|end|flowchart|graph|href|linkstyle|style|subgraph", re.IGNORECASE
)
_MERMAID_CLASSES = {"start": "entry", "end": "exit"}


def mermaid(diagram: Diagram) -> str:
    """A Mermaid flowchart (``.mmd``, or a ``mermaid`` block in Markdown); texts are escaped as entities."""
    names = {node.id: _name(node.id, i) for i, node in enumerate(diagram.nodes)}
    classes = _classes(diagram)
    lines = ["---", f"title: {json.dumps(clean(diagram.title))}", "---", "flowchart TD"]
    lines += [f"    %% {clean(note)}" for note in diagram.notes]
    for node in diagram.nodes:
        text = _entities(_titled(node))
        if clean(node.subtitle):
            text = f"<b>{text}</b><br/>{_entities(node.subtitle)}"
        box = f'["{text}"]' if node.kind in _SQUARE else f'(["{text}"])'
        lines.append(f"    {names[node.id]}{box}:::{classes[node.id]}")
    for edge in diagram.edges:
        arrow = "-.->" if edge.dashed else "-->"
        label = f'|"{_entities(edge.label)}"|' if clean(edge.label) else ""
        lines.append(f"    {names[edge.source]} {arrow}{label} {names[edge.target]}")
    styles = {classes[id_]: look for id_, look in looks(diagram).items()}
    for name, look in sorted(styles.items()):
        lines.append(f"    classDef {name} fill:{look.fill},stroke:{look.stroke},color:{look.title}")
    if dashed := [str(i) for i, edge in enumerate(diagram.edges) if edge.dashed]:
        lines.append(f"    linkStyle {','.join(dashed)} stroke:{line_colour(True)}")
    return "\n".join(lines) + "\n"


def _classes(diagram: Diagram) -> dict[str, str]:
    """The class of each node by id, one for each way in which boxes look."""
    deciders = deciding(diagram)

    def class_of(node: Node) -> str:
        if node.kind == "transition" and node.group:
            return f"group{diagram.groups.index(node.group) + 1}"
        decides = node.kind == "step" and node.id in deciders
        return "decides" if decides else _MERMAID_CLASSES.get(node.kind, node.kind)

    return {node.id: class_of(node) for node in diagram.nodes}


def _name(id_: str, index: int) -> str:
    """The id itself if Mermaid takes it for a name and not for one of its keywords, else ``n`` and a number."""
    is_name = re.fullmatch("[A-Za-z][A-Za-z0-9_]*", id_) and not re.fullmatch(r"n\d+", id_)
    return id_ if is_name and not _MERMAID_KEYWORDS.fullmatch(id_) else f"n{index}"


def _entities(text: str) -> str:
    """``text`` for a quoted label: whatever Mermaid or HTML could read as markup becomes ``#code;``."""
    return "".join(c if c.isalnum() or c in " ,.()/-_'?!:●" else f"#{ord(c)};" for c in clean(text))
