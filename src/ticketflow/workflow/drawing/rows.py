"""Order and horizontal place of what stands in each row: boxes, and between them the labels of arrows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

# A box by its node id, or the place where an arrow passes between two rows of boxes by its edge index.
Key = str | int
Links = Mapping[Key, Sequence[Key]]

_ORDER_SWEEPS = 12
_PLACE_SWEEPS = 24
_BETWEEN_BOXES = 40.0
_BETWEEN_LABELS = 18.0


def ordered(rows: Sequence[Sequence[Key]], links: Sequence[tuple[Key, Key]]) -> list[list[Key]]:
    """The rows reordered so that few links cross; a link joins a key to one in the next row.

    Barycentre sweeps down and up (Sugiyama, Tagawa and Toda 1981), keeping the best order seen.
    """
    above, below = _neighbours(links)
    current = [list(row) for row in rows]
    best, fewest = [list(row) for row in current], _crossings(current, below)
    for sweep in range(_ORDER_SWEEPS):
        downwards = sweep % 2 == 0
        indexes = range(1, len(rows)) if downwards else range(len(rows) - 2, -1, -1)
        for i in indexes:
            fixed, near = (current[i - 1], above) if downwards else (current[i + 1], below)
            place = {key: position for position, key in enumerate(fixed)}
            current[i] = _by_barycentre(current[i], place, near)
        if (crossings := _crossings(current, below)) < fewest:
            best, fewest = [list(row) for row in current], crossings
    return best


def placed(
    rows: Sequence[Sequence[Key]], links: Sequence[tuple[Key, Key]], half: Mapping[Key, float]
) -> dict[Key, float]:
    """The centre x of every key, ``half`` being half its width: near its neighbours, never overlapping."""
    above, below = _neighbours(links)
    x: dict[Key, float] = {}
    for row in rows:
        offsets = _offsets(row, half)
        for key, offset in zip(row, offsets, strict=True):
            x[key] = offset - offsets[-1] / 2
    # The last sweep goes down and looks up only, so that chains end up straight.
    for sweep in range(_PLACE_SWEEPS + 1):
        near, turn = (above, rows) if sweep % 2 == 0 else (below, rows[::-1])
        for row in turn:
            wanted = [_mean([x[other] for other in near.get(key, ())], x[key]) for key in row]
            x.update(zip(row, _settled(wanted, _offsets(row, half)), strict=True))
    return {key: round(value, 1) for key, value in x.items()}


def _neighbours(links: Sequence[tuple[Key, Key]]) -> tuple[Links, Links]:
    above: dict[Key, list[Key]] = {}
    below: dict[Key, list[Key]] = {}
    for upper, lower in links:
        below.setdefault(upper, []).append(lower)
        above.setdefault(lower, []).append(upper)
    return above, below


def _by_barycentre(row: Sequence[Key], place: Mapping[Key, int], near: Links) -> list[Key]:
    def centre(item: tuple[int, Key]) -> float:
        position, key = item
        return _mean([place[other] for other in near.get(key, ())], position)

    return [key for _, key in sorted(enumerate(row), key=centre)]


def _mean(values: Sequence[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise


def _crossings(rows: Sequence[Sequence[Key]], below: Links) -> int:
    count = 0
    for upper, lower in pairwise(rows):
        place = {key: position for position, key in enumerate(lower)}
        ends = [sorted(place[other] for other in below.get(key, ())) for key in upper]
        flat = [(i, end) for i, targets in enumerate(ends) for end in targets]
        count += sum(a[0] < b[0] and a[1] > b[1] for a in flat for b in flat)
    return count


def _offsets(row: Sequence[Key], half: Mapping[Key, float]) -> list[float]:
    offsets = [0.0]
    for left, right in pairwise(row):
        space = _BETWEEN_BOXES if isinstance(left, str) else _BETWEEN_LABELS
        offsets.append(offsets[-1] + half[left] + half[right] + space)
    return offsets


def _settled(wanted: Sequence[float], offsets: Sequence[float]) -> list[float]:
    """The places closest to ``wanted`` (least squares) whose distances are at least those of ``offsets``.

    Subtracting the offsets turns this into isotonic regression, solved by pooling adjacent violators.
    """
    pools: list[tuple[float, int]] = []
    for want, offset in zip(wanted, offsets, strict=True):
        total, count = want - offset, 1
        while pools and pools[-1][0] / pools[-1][1] > total / count:
            earlier = pools.pop()
            total, count = total + earlier[0], count + earlier[1]
        pools.append((total, count))
    means = [total / count for total, count in pools for _ in range(count)]
    return [mean + offset for mean, offset in zip(means, offsets, strict=True)]
