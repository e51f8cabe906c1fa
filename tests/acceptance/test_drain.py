"""SIGTERM for a worker with tickets in hand: they end here, or go on elsewhere at once."""

from __future__ import annotations

from tests.support.deployment import ASKED, Deployment
from tests.support.gate import Gate
from tests.support.model import Model
from tests.support.processes import until

PATIENT = {"TICKETFLOW_LEASE_SECONDS": "3600", "TICKETFLOW_SWEEP_AFTER_SECONDS": "3600"}
"""Neither a lease that runs out nor the sweeper can be what moves a ticket on."""


def test_a_worker_that_is_told_to_stop_finishes_what_it_has_and_leaves_the_rest(
    deployment: Deployment, gate: Gate, model: Model
) -> None:
    deployment.api()
    [worker] = deployment.workers(1, "--concurrency", "5", **PATIENT)
    with gate.closed("draft"):
        tickets = deployment.post_many(12)
        until(lambda: len(worker.events("ticket.claimed")) == 5, 30, "the worker to have its hands full")
        gate.caught()
        worker.popen.terminate()
        assert worker.wait_for_event("worker.draining")["tickets"] == 5
    assert worker.popen.wait(40) == 0
    assert deployment.statuses() == {"completed": 5, "pending": 7}
    assert worker.events("worker.drained")[0]["released"] == 0
    assert deployment.sql("select count(*) from leases") == [(0,)]

    deployment.workers(1, **PATIENT)
    deployment.until_completed(tickets)
    deployment.assert_completed_once(tickets)
    model.assert_asked(tickets)


def test_what_is_not_done_when_the_grace_period_ends_goes_on_elsewhere_at_once(
    deployment: Deployment, model: Model
) -> None:
    deployment.api()
    [worker] = deployment.workers(1, TICKETFLOW_DRAIN_SECONDS="0", **PATIENT)
    model.faults(held=["draft"])
    tickets = deployment.post_many(5)
    model.until_waiting("draft", 5)
    deployment.workers(1, **PATIENT)
    assert worker.stop() == 0
    assert len(worker.events("ticket.released")) == 5
    model.faults(held=[])
    deployment.until_completed(tickets)
    deployment.assert_completed_once(tickets)
    # Only the step under way is done again.
    model.assert_asked(tickets, [*ASKED, "draft"])


def test_an_api_that_is_told_to_stop_leaves_nothing_in_its_hands(deployment: Deployment) -> None:
    api = deployment.api()
    tickets = deployment.post_many(40)
    assert api.stop() == 0
    # A message that it took from the outbox and did not publish would be held back for seconds.
    assert deployment.sql("select count(*) from outbox where available_at > clock_timestamp()") == [(0,)]
    assert deployment.statuses() == {"pending": 40}
    deployment.workers(1)
    deployment.until_completed(tickets)
    deployment.assert_completed_once(tickets)
