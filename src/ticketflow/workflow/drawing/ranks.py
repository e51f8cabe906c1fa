"""Which arrows run backwards, and on which row each box stands."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ticketflow.workflow.drawing.diagram import Diagram


@dataclass(frozen=True, slots=True)
class Ranks:
    """The direction found in a diagram.

    ``order`` lists all node ids so that arrows that are not in ``back`` (indexes of edges) lead onwards, and a
    chain stays together; ``row`` numbers the rows from 0, and such an arrow always leads to a higher row.
    """

    order: tuple[str, ...]
    row: dict[str, int]
    back: frozenset[int]

    @property
    def rows(self) -> list[list[str]]:
        """The node ids of each row, in reading order."""
        found: list[list[str]] = [[] for _ in range(max(self.row.values()) + 1)]
        for id_ in self.order:
            found[self.row[id_]].append(id_)
        return found


def rank(diagram: Diagram) -> Ranks:
    """Depth-first search for the arrows that close a cycle, then longest-path layering of the others."""
    place = {node.id: i for i, node in enumerate(diagram.nodes)}
    edges = sorted(enumerate(diagram.edges), key=lambda item: place[item[1].target])
    leaving: dict[str, list[tuple[int, str]]] = {id_: [] for id_ in place}
    for index, edge in edges:
        leaving[edge.source].append((index, edge.target))
    entered = {edge.target for _, edge in edges if edge.source != edge.target}
    first = [node.id for node in diagram.nodes if node.id not in entered or node.kind == "start" or node.token]
    # Where a cycle can be entered in two places, the order of the nodes says which arrow of it runs back.
    _, back = _search([*first, *place], leaving)

    onwards = {id_: [way for way in ways if way[0] not in back] for id_, ways in leaving.items()}
    entered = {target for ways in onwards.values() for _, target in ways}
    # What is finished last is read first, so this search goes through everything in the opposite order.
    roots = [id_ for id_ in reversed(place) if id_ not in entered]
    finished, _ = _search(roots, {id_: ways[::-1] for id_, ways in onwards.items()})
    order = tuple(reversed(finished))
    row = dict.fromkeys(order, 0)
    for id_ in order:
        for _, target in onwards[id_]:
            row[target] = max(row[target], row[id_] + 1)
    return Ranks(order, row, back)


def _search(roots: Sequence[str], leaving: Mapping[str, Sequence[tuple[int, str]]]) -> tuple[list[str], frozenset[int]]:
    """Depth-first: the nodes in the order in which they are finished, and the edges that close a cycle."""
    finished: list[str] = []
    seen: set[str] = set()
    back: set[int] = set()
    for root in roots:
        if root in seen:
            continue
        seen.add(root)
        path: dict[str, Iterator[tuple[int, str]]] = {root: iter(leaving[root])}
        while path:
            id_, pending = next(reversed(path.items()))
            for index, target in pending:
                if target in path:
                    back.add(index)
                elif target not in seen:
                    seen.add(target)
                    path[target] = iter(leaving[target])
                    break
            else:
                del path[id_]
                finished.append(id_)
    return finished, frozenset(back)
