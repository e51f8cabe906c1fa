"""The benchmark's rows for people: each figure with its spread, and whether it is what it is to be."""

from __future__ import annotations

from collections.abc import Iterator

from ticketflow.bench.frame import Goal, Measurement
from ticketflow.cli.console import err, show_table

_COLUMNS = ("figure", "median", "min to max", "goal", "reached")


def show(name: str, measured: Measurement) -> None:
    """One row, on stderr: stdout is for the JSON."""
    err.print(f"\n[bold]{name}[/bold]: {measured.what}")
    show_table(_COLUMNS, list(_lines(measured)), flexible=(), to=err)


def _lines(measured: Measurement) -> Iterator[tuple[str, ...]]:
    goals = {goal.figure: goal for goal in measured.goals}
    for name, figure in measured.figures.items():
        wanted = reached = ""
        if goal := goals.get(name):
            wanted = _wanted(goal)
            reached = "[green]yes[/green]" if goal.reached(figure) else "[red]no[/red]"
        yield name, number(figure.median), f"{number(figure.min)} to {number(figure.max)}", wanted, reached


def _wanted(goal: Goal) -> str:
    return f"at least {goal.at_least:g}" if goal.at_least is not None else f"at most {goal.at_most:g}"


def number(value: float) -> str:
    """Three digits, never in the form 1e+03."""
    return f"{float(f'{value:.3g}'):,.10g}"
