"""A deploy that changes the graph while tickets are under way: two releases, as real processes."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.support import next_release
from tests.support.deployment import STEPS, Deployment, Posted
from tests.support.model import Model
from tests.support.processes import Process, until

NEXT = "tests.support.next_release"


def trail(deployment: Deployment, ticket: Posted) -> list[str]:
    query = "select step_name from events where ticket_id = %s and event_type = 'step_complete' order by seq"
    return [step for (step,) in deployment.sql(query, ticket.id)]


def flow_of(deployment: Deployment, ticket: Posted) -> str:
    return str(deployment.sql("select flow_version from tickets where id = %s", ticket.id)[0][0])


@pytest.fixture
def stopped_in_draft(deployment: Deployment, model: Model) -> list[Posted]:
    """Tickets of this release that stand before their draft, and no worker any more."""
    deployment.api()
    [worker] = deployment.workers(1)
    model.faults(held=["draft"])
    tickets = deployment.post_many(3)
    model.until_waiting("draft", 3)
    worker.kill()
    model.faults(held=[])
    return tickets


def worker_of_the_next_release(deployment: Deployment, *first: str) -> Process:
    process = deployment.start_module(NEXT, *first, "worker", "--metrics-port", "0")
    process.wait_for_event("broker.consuming")
    return process


def test_tickets_under_way_complete_on_the_graph_they_began_with_and_new_ones_on_the_new(
    deployment: Deployment, model: Model, stopped_in_draft: list[Posted]
) -> None:
    worker_of_the_next_release(deployment)
    deployment.until_completed(stopped_in_draft)
    deployment.assert_completed_once(stopped_in_draft)
    later = deployment.post()
    deployment.until_completed([later])
    assert [flow_of(deployment, ticket) for ticket in (*stopped_in_draft, later)] == ["1", "1", "1", next_release.NEXT]
    assert trail(deployment, later) == next_release.STEPS
    deployment.assert_consistent()
    status, _, flow = deployment.request("GET", f"/tickets/{later.id}/workflow")
    assert (status, [step["step"] for step in flow["steps"]]) == (200, next_release.STEPS)


def test_a_worker_leaves_a_ticket_of_a_flow_it_does_not_know_to_one_that_does(
    deployment: Deployment, model: Model, stopped_in_draft: list[Posted]
) -> None:
    # One release forward or back is the same: here the worker that stays behind knows only the next one's flow.
    stranger = worker_of_the_next_release(deployment, "--forget")
    until(lambda: len(stranger.events("ticket.other_flow")) >= 3, 30, "the tickets to be offered")
    fresh = deployment.post()
    deployment.until_completed([fresh])
    assert [trail(deployment, ticket) for ticket in stopped_in_draft] == [list(STEPS[:3])] * 3
    assert deployment.statuses() == Counter(completed=1, processing=3)
    deployment.workers(1)
    deployment.until_completed(stopped_in_draft)
    deployment.assert_completed_once(stopped_in_draft)
    assert deployment.sql("select count(*) from dead_letters") == [(0,)]
