"""Pictures of a compiled graph: what they show, and how they are written."""

from __future__ import annotations

import io
import sys
import types
import xml.etree.ElementTree as ET
from itertools import combinations
from pathlib import Path
from typing import Any, TypedDict

import pytest
from langgraph.graph import END, START, StateGraph
from PIL import Image

from ticketflow.domain.errors import Invalid
from ticketflow.domain.lifecycle import NET, Move, Net, Place, Transition
from ticketflow.workflow import visualize
from ticketflow.workflow.drawing.crossings import crossings
from ticketflow.workflow.drawing.diagram import Diagram, Edge, Node
from ticketflow.workflow.drawing.layout import lay_out
from ticketflow.workflow.drawing.png import png
from ticketflow.workflow.drawing.svg import svg
from ticketflow.workflow.drawing.text import console, mermaid

STEPS = ["classify", "extract", "research", "draft", "review", "finalize"]
TITLES = ["Start", *(step.capitalize() for step in STEPS), "End"]
LABELS = ["answer", "escalate at once", "revise (at most 2)", "approve / escalate"]
HOSTILE = '</text><script>alert("x")</script> & \x1b[31m\x00 `--> |]] #quot; ]]>'
SVG = "{http://www.w3.org/2000/svg}"


class State(TypedDict):
    text: str


def step(state: State) -> State:
    return state


def choose(state: State) -> str:
    return state["text"]


@pytest.fixture(scope="module")
def compiled() -> Any:
    graph = StateGraph(State)
    for name in STEPS:
        graph.add_node(name, step)
    graph.add_edge(START, "classify")
    graph.add_edge("classify", "extract")
    graph.add_conditional_edges("extract", choose, {"answer": "research", "escalate at once": "finalize"})
    graph.add_edge("research", "draft")
    graph.add_edge("draft", "review")
    graph.add_conditional_edges("review", choose, {"revise (at most 2)": "draft", "approve / escalate": "finalize"})
    graph.add_edge("finalize", END)
    return graph.compile()


@pytest.fixture(scope="module")
def diagram(compiled: Any) -> Diagram:
    return visualize.diagram_of(compiled.get_graph())


def svg_texts(document: str) -> list[str]:
    return [element.text or "" for element in ET.fromstring(document).iter(f"{SVG}text")]


def test_diagram_takes_steps_labels_and_conditions_from_the_compiled_graph(diagram: Diagram) -> None:
    assert [node.title for node in diagram.nodes] == TITLES
    assert [node.kind for node in diagram.nodes] == ["start", *["step"] * 6, "end"]
    assert diagram.node("classify").subtitle == "category, priority, language"
    assert sorted(edge.label for edge in diagram.edges if edge.dashed) == sorted(LABELS)
    assert Edge("review", "draft", "revise (at most 2)", dashed=True) in diagram.edges
    assert Edge("__start__", "classify") in diagram.edges


def test_a_step_unknown_here_is_drawn_without_a_subtitle() -> None:
    graph = StateGraph(State)
    graph.add_node("ask_twice", step)
    graph.add_edge(START, "ask_twice")
    graph.add_edge("ask_twice", END)
    assert Node("ask_twice", "Ask twice") in visualize.diagram_of(graph.compile().get_graph()).nodes


def test_every_text_form_shows_every_step_and_every_label(diagram: Diagram) -> None:
    subtitles = list(visualize.SUBTITLES.values())
    words = "\n".join(svg_texts(svg(lay_out(diagram))))
    for form in (words, mermaid(diagram), console(diagram), console(diagram, ascii_only=True)):
        assert [text for text in [*TITLES, *LABELS, *subtitles] if text not in form] == []


def test_svg_says_every_arrow_in_words_for_those_who_cannot_see_it(diagram: Diagram) -> None:
    root = ET.fromstring(svg(lay_out(diagram)))
    assert root.findtext(f"{SVG}title") == "Ticketflow workflow"
    assert "Review leads to Draft (revise (at most 2))." in (root.findtext(f"{SVG}desc") or "")


def test_hostile_texts_stay_texts() -> None:
    nodes = (Node("end", HOSTILE, HOSTILE), Node("]]; b", HOSTILE, kind="end"))
    hostile = Diagram(HOSTILE, nodes, (Edge("end", "]]; b", HOSTILE), Edge("]]; b", "end", HOSTILE, dashed=True)))

    root = ET.fromstring(svg(lay_out(hostile)))
    assert {element.tag.removeprefix(SVG) for element in root.iter()} == {
        "svg", "title", "desc", "rect", "path", "polygon", "text"
    }  # fmt: skip
    assert "<script>" in "".join(root.itertext()).replace(" ", "")

    drawn = mermaid(hostile)
    body = drawn.split("---\n", 2)[2]
    assert "script>" not in body
    assert "#60;script#62;" in body
    assert "\n    end" not in body, "a keyword of Mermaid as a node's name breaks the chart"
    for text in (drawn, console(hostile), console(hostile, ascii_only=True)):
        assert not [c for c in text if c < " " and c != "\n"]
    png(lay_out(hostile), scale=1)


def test_console_picture_fits_80_columns_and_keeps_to_ascii_when_asked(diagram: Diagram) -> None:
    letters = "abcdefgh"
    skips = (Edge(a, b, f"from {a} to {b}") for a, b in combinations(letters, 2))
    crowded = Diagram(
        "Crowded", tuple(Node(c, c, "does something that takes many words") for c in letters), tuple(skips)
    )
    for shown in (diagram, crowded):
        for ascii_only in (False, True):
            lines = console(shown, ascii_only=ascii_only).splitlines()
            assert max(map(len, lines)) <= 80
    assert console(crowded, ascii_only=True).isascii()
    assert console(Diagram("é → ü", (Node("a", "naïve"),), ()), ascii_only=True).startswith("e -> u\n")


def test_console_labels_that_do_not_fit_become_notes() -> None:
    long = "a label beside a rail that is far too long to stand there, whatever is done to the boxes"
    nodes = tuple(Node(c, c.upper()) for c in "abc")
    text = console(Diagram("", nodes, (Edge("a", "b"), Edge("b", "c"), Edge("a", "c", long))))
    assert "├─ (1) ─╮" in text
    assert f"\n(1) {long}\n" in text


def test_console_shows_each_way_around() -> None:
    nodes = tuple(Node(c, c.upper()) for c in "abc")
    edges = (Edge("a", "b"), Edge("b", "c"), Edge("a", "c", "skip"), Edge("b", "a", "back", True))
    assert console(Diagram("", nodes, edges)) == WAYS_AROUND


WAYS_AROUND = """\
         ┌───┐
╭┄┄┄┄┄┄┄►│ A ├─ skip ─╮
┆        └─┬─┘        │
┆          ▼          │
┆        ┌───┐        │
╰┄ back ┄┤ B │        │
         └─┬─┘        │
           ▼          │
         ┌───┐        │
         │ C │◄───────╯
         └───┘

─── always   ┄┄┄ decided at run time
"""


def test_png_shows_the_boxes_labels_and_texts_where_the_svg_has_them(diagram: Diagram) -> None:
    root = ET.fromstring(svg(lay_out(diagram)))
    image = Image.open(io.BytesIO(png(lay_out(diagram))))
    image.load()
    assert image.format == "PNG"
    assert image.size == tuple(round(float(root.attrib[side]) * 2) for side in ("width", "height"))

    def number(element: ET.Element, name: str) -> float:
        return float(element.attrib[name]) * 2

    plates = [e for e in root.iter(f"{SVG}rect") if "stroke" in e.attrib][1:]
    assert len(plates) == len(TITLES) + len(LABELS)
    for plate in plates:
        inside = (int(number(plate, "x")) + 10, int(number(plate, "y") + number(plate, "height") / 2))
        fill = "#{:02x}{:02x}{:02x}".format(*image.getpixel(inside)[:3])  # type: ignore[index]
        assert fill == plate.attrib["fill"]
        assert fill != "#f8fafc", "as the background"
    heading = [number(text, "y") for text in root.iter(f"{SVG}text")][:2]
    assert min(number(plate, "y") for plate in plates) > max(heading)
    assert min(number(plate, "x") for plate in plates) >= 60
    assert max(number(plate, "x") + number(plate, "width") for plate in plates) <= image.width - 60
    for text in root.iter(f"{SVG}text"):
        x, y = int(number(text, "x")), int(number(text, "y"))
        tones = image.crop((x, y - 16, x + 24, y)).convert("L").getextrema()
        assert tones[1] - tones[0] > 60, f"no ink at {text.text!r}"  # type: ignore[operator]


@pytest.mark.parametrize("suffix", [".png", ".svg", ".mmd", ".txt", ".SVG"])
def test_write_chooses_the_form_by_suffix_and_repeats_itself_exactly(
    compiled: Any, tmp_path: Path, suffix: str
) -> None:
    first, second = tmp_path / f"first{suffix}", tmp_path / f"second{suffix}"
    visualize.write(visualize.diagram_of(compiled.get_graph()), first)
    visualize.write(visualize.diagram_of(compiled.get_graph()), second)
    starts = {".png": b"\x89PNG\r\n", ".svg": b"<svg ", ".mmd": b"---\ntitle: ", ".txt": b"Ticketflow workflow\n"}
    assert first.read_bytes().startswith(starts[suffix.lower()])
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize("name", ["picture.pdf", "picture", ".png"])
def test_other_suffixes_are_refused_and_the_allowed_ones_named(compiled: Any, tmp_path: Path, name: str) -> None:
    with pytest.raises(Invalid, match=r"\.png, \.svg, \.mmd, \.txt"):
        visualize.write(visualize.diagram_of(compiled.get_graph()), tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_directory_is_refused_and_not_made(compiled: Any, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no directory"):
        visualize.write(visualize.diagram_of(compiled.get_graph()), tmp_path / "missing" / "picture.svg")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("nodes", "edges"),
    [((), ()), ((Node("a", "A"), Node("a", "B")), ()), ((Node("a", "A"),), (Edge("a", "b"),))],
    ids=["empty", "same id twice", "unknown node"],
)
def test_impossible_diagrams_are_refused(nodes: tuple[Node, ...], edges: tuple[Edge, ...]) -> None:
    with pytest.raises(Invalid):
        Diagram("", nodes, edges)


@pytest.fixture
def fake_workflow(compiled: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("ticketflow.workflow.graph")
    module.compile_graph = lambda checkpointer=None: compiled  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)


@pytest.mark.usefixtures("fake_workflow")
def test_command_prints_without_a_file_and_writes_with_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert visualize.main(["--ascii"]) == 0
    printed = capsys.readouterr().out
    assert printed.isascii()
    assert [title for title in TITLES if title not in printed] == []
    assert visualize.main([str(tmp_path / "picture.svg")]) == 0
    ET.parse(tmp_path / "picture.svg")
    assert capsys.readouterr().out == ""


@pytest.mark.usefixtures("fake_workflow")
def test_command_exits_with_2_and_says_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert visualize.main([str(tmp_path / "picture.pdf")]) == 2
    assert ".svg" in capsys.readouterr().err
    assert visualize.main([str(tmp_path / "missing" / "picture.svg")]) == 1
    with pytest.raises(SystemExit, match="2"):
        visualize.main(["one.svg", "two.svg"])


@pytest.fixture(scope="module")
def net_diagram() -> Diagram:
    return visualize.diagram_of_net()


NET_TEXTS = [
    *Place, *Move, "customer or admin", "supervisor",
    "supervisor: also all that agent may do.", "admin: also all that agent and supervisor may do.",
]  # fmt: skip


def test_the_nets_diagram_has_its_places_transitions_roles_and_arcs(net_diagram: Diagram) -> None:
    assert {node.id: node.token for node in net_diagram.nodes if node.kind == "place"} == {
        place: place is Place.NEW for place in Place
    }
    assert {node.id: node.subtitle for node in net_diagram.nodes if node.kind == "transition"} == {
        **dict.fromkeys(Move, "agent"),
        Move.CUSTOMER_REPLY: "customer or admin",
        Move.REOPEN: "customer or admin",
        Move.RESOLVE_ESCALATED: "supervisor",
    }
    arcs = {(place, move) for move, t in NET.transitions.items() for place in t.takes}
    arcs |= {(move, place) for move, t in NET.transitions.items() for place in t.puts}
    assert {(edge.source, edge.target) for edge in net_diagram.edges} == arcs
    assert len(net_diagram.edges) == len(arcs)


def test_no_arcs_of_the_lifecycle_cross_and_nothing_covers_anything(net_diagram: Diagram) -> None:
    layout = lay_out(net_diagram)
    assert crossings(layout) == 0
    assert not [(a, b) for a, b in combinations([box.rect for box in layout.nodes], 2) if a.overlaps(b)]


def test_every_form_of_the_lifecycle_shows_places_transitions_roles_and_notes(net_diagram: Diagram) -> None:
    words = "\n".join(svg_texts(svg(lay_out(net_diagram))))
    for form in (words, mermaid(net_diagram), console(net_diagram), console(net_diagram, ascii_only=True)):
        assert [text for text in NET_TEXTS if text not in form] == []
    assert "\n│ ╭─────►│  in_progress  ├" in console(net_diagram)
    assert "│  ● new  │" in console(net_diagram)
    assert "|  * new  |" in console(net_diagram, ascii_only=True)
    assert max(map(len, console(net_diagram).splitlines())) <= 80


def test_the_lifecycle_in_words_says_who_may_fire_what(net_diagram: Diagram) -> None:
    said = net_diagram.in_words()
    assert "escalated leads to resolve_escalated (supervisor). " in said
    assert "reopen (customer or admin) leads to new. " in said


def test_places_are_round_transitions_square_and_coloured_by_role(net_diagram: Diagram) -> None:
    root = ET.fromstring(svg(lay_out(net_diagram)))
    outlines = [rect for rect in root.iter(f"{SVG}rect") if rect.get("stroke-width") == "1.5"][1:]
    round_ones = [rect for rect in outlines if float(rect.attrib["rx"]) * 2 == float(rect.attrib["height"])]
    square = [rect.attrib["stroke"] for rect in outlines if rect.attrib["rx"] == "3"]
    assert len(round_ones) == len(Place)
    assert len(square) == len(Move)
    assert sorted(square.count(colour) for colour in set(square)) == [1, 2, 6]
    drawn = mermaid(net_diagram)
    assert 'new(["● new"]):::place' in drawn
    assert 'reopen["<b>reopen</b><br/>customer or admin"]:::group2' in drawn


def test_the_legend_explains_only_the_signs_that_are_there(net_diagram: Diagram, diagram: Diagram) -> None:
    net_words, graph_words = (svg_texts(svg(lay_out(shown))) for shown in (net_diagram, diagram))
    assert {"place", "the first token", "agent", "supervisor", "customer or admin"} <= set(net_words)
    assert not {"always", "decided at run time"} & set(net_words)
    assert {"always", "decided at run time"} <= set(graph_words)
    assert not {"place", "the first token"} & set(graph_words)
    assert "╭─╮ place" not in console(diagram)
    plain_chain = Diagram("", (Node("a", "A"), Node("b", "B")), (Edge("a", "b"),))
    assert svg_texts(svg(lay_out(plain_chain))) == ["A", "B"]


def test_the_picture_of_a_broken_net_says_what_is_wrong_with_it() -> None:
    fork = Transition((Place.RESOLVED,), (Place.CLOSED, Place.NEW), frozenset(), "")
    shown = console(visualize.diagram_of_net(Net(NET.initial, {**NET.transitions, Move.CLOSE: fork})))
    assert "Nobody may fire close." in shown
    assert "There is no end of tokens" in shown


@pytest.mark.parametrize(
    ("suffix", "start"),
    [(".png", b"\x89PNG\r\n"), (".svg", b"<svg "), (".mmd", b"---\ntitle: "), (".txt", b"Ticketflow lifecycle\n")],
)
def test_command_writes_the_lifecycle_in_each_form(tmp_path: Path, suffix: str, start: bytes) -> None:
    out = tmp_path / f"picture{suffix}"
    assert visualize.main(["--lifecycle", str(out)]) == 0
    assert out.read_bytes().startswith(start)


def test_command_prints_the_lifecycle_and_refuses_what_it_cannot_write(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert visualize.main(["--lifecycle", "--ascii"]) == 0
    printed = capsys.readouterr().out
    assert printed.isascii()
    assert [text for text in NET_TEXTS if text not in printed] == []
    assert visualize.main(["--lifecycle", str(tmp_path / "picture.pdf")]) == 2
    assert visualize.main(["--lifecycle", str(tmp_path / "missing" / "picture.svg")]) == 1
    assert list(tmp_path.iterdir()) == []
