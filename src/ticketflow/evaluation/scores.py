"""Scores of a classifier: pure functions over pairs of what is right and what was answered."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Pair = tuple[str, str]
"""The label, and the answer."""

_Z = 1.959963984540054
"""The normal distribution's quantile for 95 % in the middle."""


@dataclass(frozen=True, slots=True)
class ClassScores:
    """Of one class. A share of nothing is 0: the precision of a class that was never answered, the recall of one that
    never occurs."""

    precision: float
    recall: float
    f1: float
    support: int
    answered: int


@dataclass(frozen=True, slots=True)
class Scores:
    """``interval`` is Wilson's for the accuracy, at 95 %. ``macro_f1`` is the mean over the classes that occur, as a
    label or as an answer. ``confusion`` counts by label, and then by answer."""

    n: int
    accuracy: float
    interval: tuple[float, float]
    macro_f1: float
    classes: Mapping[str, ClassScores]
    confusion: Mapping[str, Mapping[str, int]]


def scored(pairs: Sequence[Pair], classes: Sequence[str]) -> Scores:
    """The scores of at least one pair. ``classes`` gives the order; those that do not occur are in the matrix alone."""
    counts = Counter(pairs)
    labels, answers = Counter(label for label, _ in pairs), Counter(answer for _, answer in pairs)
    of = {
        name: _class_scores(counts[name, name], labels[name], answers[name])
        for name in classes
        if labels[name] or answers[name]
    }
    right = sum(counts[name, name] for name in classes)
    return Scores(
        n=len(pairs),
        accuracy=right / len(pairs),
        interval=wilson(right, len(pairs)),
        macro_f1=sum(each.f1 for each in of.values()) / len(of),
        classes=of,
        confusion={label: {answer: counts[label, answer] for answer in classes} for label in classes},
    )


def majority(pairs: Sequence[Pair], classes: Sequence[str]) -> tuple[str, Scores]:
    """The most frequent label, and the scores of whoever always answers it: what any classifier has to beat."""
    labels = Counter(label for label, _ in pairs)
    always = max(classes, key=lambda name: labels[name])
    return always, scored([(label, always) for label, _ in pairs], classes)


def calibration_error(judged: Sequence[tuple[float, bool]], bins: int = 10) -> float:
    """The expected calibration error: how far stated confidence and share of right answers are apart, on average over
    bins of equal width, weighted by their size (Naeini, Cooper and Hauskrecht, 2015). 0 is best."""
    held: dict[int, list[tuple[float, bool]]] = {}
    for confidence, right in judged:
        held.setdefault(min(int(confidence * bins), bins - 1), []).append((confidence, right))
    gaps = (abs(sum(confidence for confidence, _ in each) - sum(right for _, right in each)) for each in held.values())
    return sum(gaps) / len(judged)


def wilson(right: int, n: int) -> tuple[float, float]:
    """Wilson's score interval for a share, at 95 %."""
    share, spread = right / n, _Z**2 / n
    centre = (share + spread / 2) / (1 + spread)
    reach = _Z * math.sqrt(share * (1 - share) / n + spread / (4 * n)) / (1 + spread)
    return max(0.0, centre - reach), min(1.0, centre + reach)


def _class_scores(hits: int, support: int, answered: int) -> ClassScores:
    return ClassScores(
        precision=hits / answered if answered else 0.0,
        recall=hits / support if support else 0.0,
        f1=2 * hits / (support + answered),
        support=support,
        answered=answered,
    )
