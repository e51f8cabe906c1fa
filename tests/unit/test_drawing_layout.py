"""The layout of any diagram: nothing covers anything else, and arrows can be told apart."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import combinations, pairwise
from math import dist

from hypothesis import given, settings
from hypothesis import strategies as st

from ticketflow.workflow.drawing.crossings import crossings, untangled
from ticketflow.workflow.drawing.diagram import Diagram, Edge, Kind, Node
from ticketflow.workflow.drawing.geometry import Path, Point, Rect, sampled
from ticketflow.workflow.drawing.layout import Layout, lay_out


def tangled() -> Diagram:
    """Several boxes in a row, loops, parallel and nested arrows, and a label of several lines."""
    nodes = tuple(Node(c, c.upper(), "does something" if c in "bd" else "") for c in "abcdefgh")
    pairs = ["ab", "ac", "ad", "be", "ce", "df", "ef", "ef", "fc", "eb", "cc", "cc", "af", "fg", "ag", "fh", "ha"]
    labels = ["one", "", "a label that is long enough to be broken into lines", "x"]
    edges = tuple(Edge(pair[0], pair[1], labels[i % 4], i % 3 == 0) for i, pair in enumerate(pairs))
    return Diagram("Tangled", nodes, edges)


KINDS: list[Kind] = ["start", "step", "step", "step", "end", "place", "transition"]


@st.composite
def diagrams(draw: st.DrawFn) -> Diagram:
    ids = [f"n{i}" for i in range(draw(st.integers(1, 12)))]
    texts = st.sampled_from(["", "short", "quite a long text that has to be broken into more than one line"])
    nodes = tuple(Node(id_, id_, draw(texts), draw(st.sampled_from(KINDS))) for id_ in ids)
    end = st.sampled_from(ids)
    edges = draw(st.lists(st.builds(Edge, end, end, texts, st.booleans()), max_size=2 * len(ids)))
    return Diagram("Any", nodes, tuple(edges))


@given(diagrams())
@settings(max_examples=60, deadline=None, derandomize=True)
def test_nothing_covers_anything_else_whatever_the_diagram(any_diagram: Diagram) -> None:
    assert_clear(lay_out(any_diagram))


def test_nothing_covers_anything_else_in_a_tangle() -> None:
    assert_clear(lay_out(tangled()))


def assert_clear(layout: Layout) -> None:
    boxes = {box.node.id: box.rect for box in layout.nodes}
    labels = [(edge, edge.label.rect) for edge in layout.edges if edge.label]
    assert len(labels) == sum(bool(edge.label) for edge in layout.diagram.edges)
    rects = [*boxes.values(), *(rect for _, rect in labels)]
    assert not [(a, b) for a, b in combinations(rects, 2) if a.overlaps(b)]
    for edge in layout.edges:
        points = dense(edge.path)
        assert on_border(boxes[edge.edge.source], points[0])
        assert on_border(boxes[edge.edge.target], points[-1])
        blocking = [*boxes.values(), *(rect for other, rect in labels if other is not edge)]
        # A path touches the border of its own boxes, hence the hair's breadth.
        assert not [rect for rect in blocking if any(rect.grown(-0.3).contains(p) for p in points)]
        assert all(0 <= round(x, 6) <= layout.width + 1e-6 for x, _ in points)
        assert all(0 <= round(y, 6) <= layout.height + 1e-6 for _, y in points)


def dense(path: Path) -> list[Point]:
    """Points on the path at most two pixels apart."""
    points = sampled(path)
    found = points[:1]
    for a, b in pairwise(points):
        steps = int(dist(a, b) / 2) + 1
        found += [(a[0] + (b[0] - a[0]) * i / steps, a[1] + (b[1] - a[1]) * i / steps) for i in range(1, steps + 1)]
    return found


def on_border(rect: Rect, point: Point) -> bool:
    return rect.grown(0.2).contains(point) and not rect.grown(-0.2).contains(point)


def chain(letters: str, *more: Edge) -> Diagram:
    edges = (Edge(a, b) for a, b in pairwise(letters))
    return Diagram("Chain", tuple(Node(c, c.upper()) for c in letters), (*edges, *more))


def test_a_plain_sequence_stands_in_one_column_whatever_goes_around_it() -> None:
    layout = lay_out(chain("abcdef", Edge("a", "d", "skip"), Edge("e", "b", "back")))
    assert len({box.rect.centre[0] for box in layout.nodes}) == 1
    tops = [box.rect.y for box in layout.nodes]
    assert tops == sorted(tops)


def test_a_label_makes_way_for_a_line_that_crosses_its_own() -> None:
    # The middle of the way from a to e is beside c, where the other way leaves.
    layout = lay_out(chain("abcdefg", Edge("a", "e", "first"), Edge("c", "g", "second")))
    assert_clear(layout)


def test_nested_ways_around_keep_apart() -> None:
    skips = [Edge(source, target) for source, target in (("a", "f"), ("a", "c"), ("a", "d"), ("d", "f"))]
    backs = [Edge(source, target) for source, target in (("g", "a"), ("f", "b"), ("c", "b"))]
    layout = lay_out(chain("abcdefg", *skips, *backs))
    ways = [dense(edge.path) for edge in layout.edges]
    nearest = min(dist(p, q) for one, other in combinations(ways, 2) for p in one for q in other)
    assert nearest > 5


def test_the_layout_does_not_depend_on_hash_seeds() -> None:
    program = (
        "from ticketflow.workflow.drawing.diagram import *\n"
        "from ticketflow.workflow.drawing.svg import svg\n"
        "from ticketflow.workflow.drawing.layout import lay_out\n"
        "ids = [f'node{i}' for i in range(9)]\n"
        "edges = [Edge(ids[i], ids[i * j % 9], 'x') for i in range(9) for j in (2, 4, 7)]\n"
        "print(svg(lay_out(Diagram('', tuple(Node(i, i) for i in ids), tuple(edges)))))\n"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)},
            check=True,
            capture_output=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(outputs) == 1


def test_crossings_counts_pairs_of_arrows_that_cross() -> None:
    straight = Diagram("", tuple(Node(c, c) for c in "abcd"), (Edge("a", "c"), Edge("b", "d")))
    assert crossings(lay_out(straight)) == 0
    every = tuple(Edge(a, b) for a in "abc" for b in "xyz")
    # Two rows of three, all joined, drawn without ways around: nine pairs cross.
    assert crossings(lay_out(Diagram("", tuple(Node(c, c) for c in "abcxyz"), every))) == 9


def test_untangling_reorders_branches_until_nothing_crosses_and_changes_nothing_else() -> None:
    nodes = tuple(Node(c, c) for c in "abcdefgh")
    edges = tuple(Edge(*pair) for pair in ("ab", "bc", "be", "bd", "cf", "eg", "gb", "fh", "dh"))
    tangle = Diagram("Tangle", tuple(sorted(nodes, key=lambda node: "acbdefgh".index(node.id))), edges)
    loose = untangled(tangle)
    assert crossings(lay_out(loose)) < crossings(lay_out(tangle))
    assert set(loose.nodes) == set(tangle.nodes)
    assert (loose.edges, loose.title) == (tangle.edges, tangle.title)
    assert untangled(loose) == loose
