"""The scores of a classifier, against figures that were worked out by hand."""

from __future__ import annotations

import pytest

from ticketflow.evaluation.scores import calibration_error, majority, scored, wilson

CLASSES = ("a", "b", "c")
PAIRS = [("a", "a"), ("a", "a"), ("a", "b"), ("b", "b"), ("b", "a"), ("b", "b")]


def test_precision_recall_and_f1_of_each_class() -> None:
    found = scored(PAIRS, CLASSES)
    assert (found.n, found.accuracy) == (6, pytest.approx(4 / 6))
    a, b = found.classes["a"], found.classes["b"]
    assert (a.precision, a.recall, a.f1, a.support, a.answered) == (pytest.approx(2 / 3),) * 3 + (3, 3)
    assert (b.precision, b.recall, b.support) == (pytest.approx(2 / 3), pytest.approx(2 / 3), 3)
    assert found.confusion == {
        "a": {"a": 2, "b": 1, "c": 0},
        "b": {"a": 1, "b": 2, "c": 0},
        "c": {"a": 0, "b": 0, "c": 0},
    }


def test_a_class_that_occurs_nowhere_does_not_count_and_one_that_is_only_answered_does() -> None:
    assert set(scored(PAIRS, CLASSES).classes) == {"a", "b"}
    found = scored([("a", "a"), ("a", "c")], CLASSES)
    assert (found.classes["c"].precision, found.classes["c"].recall, found.classes["c"].f1) == (0, 0, 0)
    # a: precision 1, recall 1/2.
    assert found.macro_f1 == pytest.approx((2 / 3 + 0) / 2)


def test_the_baseline_always_answers_the_most_frequent_label() -> None:
    always, baseline = majority([*PAIRS, ("b", "a")], CLASSES)
    assert (always, baseline.accuracy) == ("b", pytest.approx(4 / 7))
    # b: precision 4/7, recall 1; a: 0.
    assert baseline.macro_f1 == pytest.approx((8 / 11 + 0) / 2)


def test_calibration_is_the_distance_between_confidence_and_share_of_right_answers() -> None:
    assert calibration_error([(1.0, True), (1.0, True)]) == 0
    assert calibration_error([(0.9, True), (0.95, False), (0.1, False), (0.15, False)]) == pytest.approx(
        (abs(1.85 - 1) + 0.25) / 4
    )
    # Too sure in one bin and not sure enough in another do not cancel out.
    assert calibration_error([(0.7, False), (0.3, True)]) == pytest.approx(0.7)


def test_the_interval_holds_the_share_and_is_narrower_for_more() -> None:
    assert wilson(8, 10) == (pytest.approx(0.4902, abs=1e-4), pytest.approx(0.9433, abs=1e-4))
    assert wilson(0, 5)[0] == 0
    assert wilson(5, 5)[1] == 1
    assert wilson(800, 1000)[0] > wilson(8, 10)[0]
