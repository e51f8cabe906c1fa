"""The benchmark's growth row, at sizes that a test can wait for: what it measures, not how long it takes."""

from __future__ import annotations

import psycopg
import pytest

from ticketflow.bench import growth
from ticketflow.bench.frame import Bench, Plan
from ticketflow.cli.throwaway import throwaway_database
from ticketflow.settings import Settings

SIZES = [60, 600, 6000]


async def test_each_operation_is_measured_at_each_size(
    postgres_server: str, template: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(growth, "CALLS", 2)
    plan = Plan(rounds=2, growth_tickets=SIZES[-1])
    measured = await growth.measure(Bench(lambda: throwaway_database(postgres_server, "growth"), plan, Settings()))
    assert measured.setting["tickets"] == SIZES
    assert all(figure.min > 0 for figure in measured.figures.values())
    assert {goal.figure for goal in measured.goals} >= {"intake", "get", "list", "claim_and_step"}
    assert measured.figures.keys() >= {goal.figure for goal in measured.goals}
    [plot] = measured.plots
    assert plot.lines.keys() == growth.OPERATIONS.keys()
    assert all([x for x, _ in line] == SIZES for line in plot.lines.values())
    for size, rows in measured.details["rows"].items():
        assert rows["tickets"] > int(size)
    with psycopg.connect(postgres_server) as server:
        left = server.execute("select datname from pg_database where datname like 'ticketflow_growth_%'").fetchall()
    assert left == []
