"""SIGKILL at every boundary that the code crosses, before and after; the code itself says which there are."""

from __future__ import annotations

import pytest

from tests.chaos.asked import assert_explained
from tests.chaos.kill_points import API, WORKER, KillPoint, Theatre
from tests.chaos.scenarios import SCENARIOS, Scenario
from tests.support.deployment import STEPS, Deployment
from tests.support.model import Model

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600)]


@pytest.mark.parametrize("queue", ["rabbitmq", pytest.param("embedded", marks=pytest.mark.long_form)])
def test_a_process_that_dies_at_any_boundary_costs_time_and_nothing_else(
    deployment: Deployment, model: Model, rabbitmq_url: str, queue: str
) -> None:
    theatre = Theatre(deployment, model, rabbitmq_url if queue == "rabbitmq" else None)
    died: set[KillPoint] = set()

    def kill_at(scenario: Scenario, points: set[KillPoint]) -> None:
        for role in (WORKER, API):
            died.update(theatre.kill_at(scenario, sorted(point for point in points - died if point.role == role)))

    crossed: list[tuple[Scenario, set[KillPoint]]] = []
    for scenario in SCENARIOS:
        points = theatre.rehearse(scenario)
        crossed.append((scenario, points))
        kill_at(scenario, points)
    # Once more where another process was always quicker.
    for scenario, points in crossed:
        kill_at(scenario, points)
    met = {point for _, points in crossed for point in points}
    theatre.finish(deployment.posted)

    # Whether a heartbeat falls into a scenario is a matter of time.
    assert {point for point in met - died if "keep_leases" not in point.place} == set()
    # The hook cannot have been forgotten where it matters most.
    for step in STEPS:
        assert any(f"step_complete/{step}" in point.place for point in met if point.role == WORKER), step
    changes = {(point.role, point.place.partition("ticketflow_commit ")[2]) for point in met}
    for change in (
        (API, "created/pending"),
        (API, "message + lifecycle"),
        (API, "message + lifecycle + lifecycle + replayed/pending"),
        (API, "message + replayed/pending"),
        (WORKER, "step_complete/finalize + message + status_change/completed"),
        (WORKER, "lifecycle"),
    ):
        assert change in changes, changes

    deployment.assert_consistent()
    deployment.assert_all_said_once()
    assert_explained(deployment, model, deployment.posted)
    lost = {ticket.id for ticket in deployment.posted} - {
        id for (id,) in deployment.sql("select id::text from tickets")
    }
    assert lost == set()
