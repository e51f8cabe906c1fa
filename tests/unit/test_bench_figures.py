"""The benchmark's figures: spreads, goals, percentiles, the table of them, and the plots."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ticketflow.bench import plots
from ticketflow.bench.frame import Goal, Measurement, Plot, Spread, of_development, percentile
from ticketflow.cli import bench_table
from ticketflow.domain.errors import ConfigurationError


def test_a_spread_is_median_and_extremes() -> None:
    assert Spread.of([3, 1, 2]) == Spread(2, 1, 3)


def test_a_ratio_is_taken_round_by_round() -> None:
    # The machine was twice as fast in the second round, for both.
    assert Spread.of_ratios([10, 20, 30], [5, 10, 10]) == Spread(2, 2, 3)
    with pytest.raises(ValueError, match="shorter"):
        Spread.of_ratios([1, 2], [1])


@pytest.mark.parametrize(
    ("goal", "median", "reached"),
    [
        (Goal("x", at_least=3), 3.0, True),
        (Goal("x", at_least=3), 2.99, False),
        (Goal("x", at_most=2), 2.0, True),
        (Goal("x", at_most=2), 2.01, False),
        (Goal("x", at_most=0), 0.0, True),
        (Goal("x", at_least=0), -1.0, False),
    ],
)
def test_a_goal_is_about_the_median(goal: Goal, median: float, reached: bool) -> None:
    assert goal.reached(Spread(median, -100, 100)) is reached


@pytest.mark.parametrize(("share", "value"), [(0.0, 1), (0.5, 50), (0.99, 99), (0.991, 100), (1.0, 100)])
def test_a_percentile_is_one_of_the_values(share: float, value: int) -> None:
    assert percentile([*range(100, 0, -1)], share) == value
    assert percentile([7], share) == 7


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.04567, "0.0457"), (1.0, "1"), (1234.5, "1,230"), (12_345_678, "12,300,000"), (99.96, "100"), (0, "0")],
)
def test_numbers_have_three_digits(value: float, shown: str) -> None:
    assert bench_table.number(value) == shown


def test_the_table_says_of_each_figure_whether_it_is_what_it_is_to_be(capsys: pytest.CaptureFixture[str]) -> None:
    figures = {"ratio": Spread(2.5, 2, 3), "seconds": Spread(1, 0.5, 1500), "calls": Spread(9, 9, 9)}
    goals = [Goal("ratio", at_least=3), Goal("calls", at_most=9)]
    bench_table.show("a-row", Measurement("what it measures", {}, figures, goals))
    told = capsys.readouterr()
    assert told.out == ""
    title, head, *lines = (line.rstrip() for line in told.err.strip().splitlines())
    assert title == "a-row: what it measures"
    assert head.split() == ["figure", "median", "min", "to", "max", "goal", "reached"]
    assert lines == [
        "ratio    2.5     2 to 3        at least 3  no",
        "seconds  1       0.5 to 1,500",
        "calls    9       9 to 9        at most 9   yes",
    ]


LINES = {"p99": [(1.0, 2.0), (10.0, 40.0), (1000.0, 900.0)], "p50": [(1.0, 1.0), (10.0, 3.0), (1000.0, 80.0)]}


@pytest.mark.parametrize("logarithmic", [True, False])
def test_the_same_figures_give_the_same_bytes(tmp_path: Path, logarithmic: bool) -> None:
    plot = Plot("latency", "How long", "in flight", "milliseconds", LINES, log_x=logarithmic, log_y=logarithmic)
    folders = [tmp_path / "made" / "first", tmp_path / "second"]
    for folder in folders:
        plots.check(folder)
    first, second = (plots.write(plot, folder) for folder in folders)
    assert first == tmp_path / "made" / "first" / "latency.svg"
    assert first.read_bytes() == second.read_bytes()
    drawn = first.read_text()
    # Text is drawn as paths; what each says stands beside it in a comment.
    for text in ("How long", "in flight", "milliseconds", "p99", "p50", *(["1,000"] if logarithmic else ["0"])):
        assert f"<!-- {text} -->" in drawn
    assert "<dc:date>" not in drawn


def test_a_plot_of_nothing_but_zeros_can_be_drawn(tmp_path: Path) -> None:
    assert plots.write(Plot("none", "None", "x", "y", {"line": [(0, 0)]}), tmp_path).exists()


def _a_file(folder: Path) -> Path:
    (folder / "file").touch()
    return folder / "file"


@pytest.mark.parametrize("place", [_a_file, lambda folder: _a_file(folder) / "below"])
def test_a_folder_that_cannot_be_written_to_is_refused(tmp_path: Path, place: Callable[[Path], Path]) -> None:
    with pytest.raises(ConfigurationError, match="plots cannot be written to"):
        plots.check(place(tmp_path))


def test_a_plot_whose_place_is_taken_is_refused(tmp_path: Path) -> None:
    (tmp_path / "latency.svg").mkdir()
    with pytest.raises(ConfigurationError, match=r"latency\.svg cannot be written"):
        plots.write(Plot("latency", "How long", "x", "y", LINES), tmp_path)


def test_a_package_that_is_missing_is_named() -> None:
    with pytest.raises(ConfigurationError, match=r"needs no_such_package, .*pip install"), of_development():
        import no_such_package  # noqa: F401
