"""What is drawn: boxes and arrows, with nothing yet about where they go."""

from __future__ import annotations

import unicodedata
from collections import Counter
from dataclasses import dataclass
from typing import Literal

from ticketflow.domain.errors import Invalid

Kind = Literal["start", "end", "step", "place", "transition"]
"""The first three are a graph's, the other two a Petri net's."""


@dataclass(frozen=True, slots=True)
class Node:
    """One box. ``id`` is unique in its diagram; ``title`` and ``subtitle`` may be any text.

    Transitions of the same ``group`` look alike, and a legend names it; ``token`` marks a place that has one at first.
    """

    id: str
    title: str
    subtitle: str = ""
    kind: Kind = "step"
    group: str = ""
    token: bool = False


@dataclass(frozen=True, slots=True)
class Edge:
    """One arrow between two node ids; ``dashed`` means that it is taken only when something decides so."""

    source: str
    target: str
    label: str = ""
    dashed: bool = False


@dataclass(frozen=True, slots=True)
class Diagram:
    """Boxes and the arrows between them; cycles, parallel arrows and arrows to oneself are allowed.

    ``notes`` are sentences that stand below the picture.

    Raises ``Invalid`` if it has no nodes, if two nodes share an id, or if an edge names an unknown node.
    """

    title: str
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    summary: str = ""
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        counts = Counter(node.id for node in self.nodes)
        if not counts:
            raise Invalid("a diagram needs at least one node")
        if twice := [id_ for id_, count in counts.items() if count > 1]:
            raise Invalid(f"node ids used twice: {', '.join(twice)}")
        ends = {end for edge in self.edges for end in (edge.source, edge.target)}
        if unknown := sorted(ends - counts.keys()):
            raise Invalid(f"edges name unknown nodes: {', '.join(unknown)}")

    def node(self, id_: str) -> Node:
        """The node with that id; ``KeyError`` if there is none."""
        for node in self.nodes:
            if node.id == id_:
                return node
        raise KeyError(id_)

    def in_words(self) -> str:
        """Every arrow as a sentence, for people who cannot see the picture."""
        said = []
        for edge in self.edges:
            source, target = (_said(self.node(end)) for end in (edge.source, edge.target))
            said.append(f"{source} leads to {target}" + (f" ({clean(edge.label)})." if edge.label else "."))
        return " ".join([*said, *map(clean, self.notes)])

    @property
    def groups(self) -> tuple[str, ...]:
        """The groups of transitions, in the order in which they first appear."""
        return tuple(dict.fromkeys(node.group for node in self.nodes if node.kind == "transition" and node.group))

    @property
    def is_net(self) -> bool:
        return any(node.kind in ("place", "transition") for node in self.nodes)


def _said(node: Node) -> str:
    title = clean(node.title)
    return f"{title} ({clean(node.subtitle)})" if node.kind == "transition" and node.subtitle else title


def clean(text: str) -> str:
    """``text`` on one line, without control characters: safe for a terminal and for XML."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


_SPELLED = {"→": "->", "←": "<-", "–": "-", "—": "-", "‘": "'", "’": "'", "“": '"', "”": '"',
            "≤": "<=", "≥": ">=", "≠": "!=", "×": "x", "·": "-", "•": "-", "ß": "ss"}  # fmt: skip


def plain(text: str) -> str:
    """``text`` in ASCII: the usual typographic signs spelled out, accents dropped, the rest as ``?``."""
    spelled = "".join(_SPELLED.get(c, c) for c in text)
    bare = "".join(c for c in unicodedata.normalize("NFKD", spelled) if not unicodedata.combining(c))
    return bare.encode("ascii", "replace").decode("ascii")


def wrapped(text: str, limit: int) -> tuple[str, ...]:
    """``text`` as lines of at most ``limit`` characters, broken at spaces, or inside a word that is longer."""
    lines: list[str] = []
    for word in clean(text).split(" "):
        if lines and len(lines[-1]) + 1 + len(word) <= limit:
            lines[-1] += " " + word
            continue
        lines.extend(word[i : i + limit] for i in range(0, len(word), limit))
    return tuple(lines)


def text_width(text: str, size: float) -> float:
    """How wide ``text`` is at ``size``, on the generous side: which font a browser has is not known here."""
    return size * sum(_advance(character) for character in text)


def _advance(character: str) -> float:
    if unicodedata.east_asian_width(character) in "WF":
        return 1.0
    if character in "iljtfrI.,:;'|!()[]/ ":
        return 0.34
    if character in "mwMW@%":
        return 0.92
    return 0.72 if character.isupper() or not character.isascii() else 0.58
