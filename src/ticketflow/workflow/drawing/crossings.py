"""How often arrows cross, and the order of boxes in which they do so least."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations, pairwise, permutations

from ticketflow.workflow.drawing.diagram import Diagram
from ticketflow.workflow.drawing.geometry import Point, sampled
from ticketflow.workflow.drawing.layout import Layout, lay_out

_MOST_BRANCHES = 4


def crossings(layout: Layout) -> int:
    """How many pairs of arrows cross."""
    ways = [list(pairwise(sampled(edge.path))) for edge in layout.edges]
    return sum(any(_cross(*a, *b) for a in one for b in other) for one, other in combinations(ways, 2))


def untangled(diagram: Diagram) -> Diagram:
    """The same diagram with boxes that follow on one box in the order that makes the fewest arrows cross.

    The layout prefers the order of the nodes but does not look at the ways around; trying each order of up to four
    branches does.
    """
    best, fewest = diagram, crossings(lay_out(diagram))
    for node in diagram.nodes:
        for other in _reordered(best, node.id):
            if not fewest:
                return best
            if (found := crossings(lay_out(other))) < fewest:
                best, fewest = other, found
    return best


def _reordered(diagram: Diagram, id_: str) -> Iterator[Diagram]:
    """The diagram with what follows on ``id_`` in every other order, in the same places of ``nodes``."""
    follows = {edge.target for edge in diagram.edges if edge.source == id_}
    slots = [i for i, node in enumerate(diagram.nodes) if node.id in follows]
    if len(slots) > _MOST_BRANCHES:
        return
    for order in list(permutations(slots))[1:]:
        nodes = list(diagram.nodes)
        for slot, taken in zip(slots, order, strict=True):
            nodes[slot] = diagram.nodes[taken]
        yield replace(diagram, nodes=tuple(nodes))


def _cross(a: Point, b: Point, c: Point, d: Point) -> bool:
    """Whether the lines from ``a`` to ``b`` and from ``c`` to ``d`` cross; a point on a line counts as to its right,
    so that ways which cross at their corners are found."""
    return (_turn(a, b, c) > 0) != (_turn(a, b, d) > 0) and (_turn(c, d, a) > 0) != (_turn(c, d, b) > 0)


def _turn(a: Point, b: Point, c: Point) -> float:
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
