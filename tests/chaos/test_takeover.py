"""A worker that is gone, or that stood still for too long: others go on with its tickets, and it changes nothing."""

from __future__ import annotations

import signal
from collections.abc import Callable

import pytest

from tests.support.deployment import ASKED, Deployment, Posted, new_marker
from tests.support.gate import Gate
from tests.support.model import Model
from tests.support.processes import Process, until

pytestmark = pytest.mark.chaos

NEVER = {"TICKETFLOW_LEASE_SECONDS": "3600", "TICKETFLOW_SWEEP_AFTER_SECONDS": "3600"}
"""Neither a lease that runs out nor the sweeper can be what moves a ticket on."""


@pytest.fixture
def in_hand(deployment: Deployment, model: Model) -> Callable[[int, Process], list[Posted]]:
    """Tickets that this worker has claimed and that wait for the model until ``model.faults(held=[])``."""

    def hold(count: int, worker: Process) -> list[Posted]:
        markers = [new_marker() for _ in range(count)]
        model.faults(held=markers)
        tickets = [deployment.post(marker=marker) for marker in markers]
        until_held_by(deployment, worker, tickets)
        model.until_waiting("classify", count)
        return tickets

    return hold


def until_held_by(deployment: Deployment, worker: Process, tickets: list[Posted]) -> None:
    query = "select count(*) from leases where ticket_id = any(%s::uuid[]) and worker like %s"
    ids, name = [ticket.id for ticket in tickets], f"%:{worker.pid}:%"
    until(lambda: deployment.sql(query, ids, name) == [(len(tickets),)], 30, "the worker to have the tickets")


def trails(deployment: Deployment) -> list[tuple[str, ...]]:
    return deployment.sql("select ticket_id, seq, event_type, changes from events order by ticket_id, seq")


@pytest.mark.parametrize("queue", ["rabbitmq", "embedded"])
def test_all_tickets_of_a_killed_worker_go_on_at_another(
    deployment: Deployment, model: Model, in_hand: Callable[[int, Process], list[Posted]], queue: str
) -> None:
    lease = NEVER
    if queue == "embedded":
        # Here a silent worker is noticed, within the lease time; the sweeper is still not what moves a ticket.
        del deployment.environment["RABBITMQ_URL"]
        lease = NEVER | {"TICKETFLOW_LEASE_SECONDS": "1"}
    deployment.api()
    victim = deployment.worker(**lease)
    tickets = in_hand(40, victim)
    heir = deployment.worker(**lease)
    heir.wait_for_event("worker.started")
    victim.kill()
    until_held_by(deployment, heir, tickets)
    model.faults(held=[])
    deployment.until_completed(tickets)
    deployment.assert_completed_once(tickets)
    # Once by each of the two; no other step was done again.
    model.assert_asked(tickets, [*ASKED, "classify"])
    assert heir.events("lease.lost") == []


def test_a_commit_of_a_dead_worker_that_is_still_on_its_way_counts(
    deployment: Deployment, model: Model, gate: Gate
) -> None:
    deployment.api()
    deployment.workers(2, **NEVER)
    with gate.closed("draft"):
        ticket = deployment.post()
        commit = gate.caught()
        [(name,)] = deployment.sql("select worker from leases")
        next(worker for worker in deployment.started if f":{worker.pid}:" in name).kill()
        # The dead worker's commit and the next worker's claim now stand before the same row.
        gate.wait_for_claim_behind(commit)
    deployment.until_completed([ticket])
    deployment.assert_completed_once([ticket])
    model.assert_asked([ticket])


@pytest.mark.parametrize("seconds", ["1", "3600"], ids=["its heartbeat may see it", "only the fence can see it"])
def test_a_worker_that_stood_still_past_its_lease_changes_nothing_and_says_so(
    deployment: Deployment, model: Model, in_hand: Callable[[int, Process], list[Posted]], seconds: str
) -> None:
    deployment.api()
    [stopped] = deployment.workers(1, TICKETFLOW_LEASE_SECONDS=seconds)
    tickets = in_hand(5, stopped)
    stopped.popen.send_signal(signal.SIGSTOP)
    if seconds == "3600":
        # An hour later, for the database. The worker's next heartbeat is twenty minutes away.
        deployment.sql("update leases set expires_at = now()")
    [heir] = deployment.workers(1, TICKETFLOW_LEASE_SECONDS="3600", TICKETFLOW_SWEEP_AFTER_SECONDS="0.2")
    until_held_by(deployment, heir, tickets)
    model.until_waiting("classify", 10)
    heir.popen.send_signal(signal.SIGSTOP)
    before = trails(deployment)
    model.faults(held=[])
    # It has its answers now, for tickets that another worker holds.
    stopped.popen.send_signal(signal.SIGCONT)
    until(lambda: len(stopped.events("lease.lost")) == 5, 30, "the worker to say what it lost")
    if trails(deployment) != before:
        raise AssertionError(deployment.story(tickets))
    heir.popen.send_signal(signal.SIGCONT)
    deployment.until_completed(tickets)
    deployment.assert_completed_once(tickets)
    model.assert_asked(tickets, [*ASKED, "classify"])
    assert stopped.popen.poll() is None


def test_a_second_sigterm_ends_a_worker_at_once_and_others_take_up_what_it_had(
    deployment: Deployment, model: Model, in_hand: Callable[[int, Process], list[Posted]]
) -> None:
    deployment.api()
    [impatient] = deployment.workers(1, TICKETFLOW_DRAIN_SECONDS="3600", **NEVER)
    tickets = in_hand(10, impatient)
    impatient.popen.terminate()
    assert impatient.wait_for_event("worker.draining")["tickets"] == 10
    impatient.popen.terminate()
    assert impatient.popen.wait(30) == -signal.SIGTERM
    assert impatient.events("worker.drained") == []
    [heir] = deployment.workers(1, **NEVER)
    until_held_by(deployment, heir, tickets)
    model.faults(held=[])
    deployment.until_completed(tickets)
    deployment.assert_completed_once(tickets)
    model.assert_asked(tickets, [*ASKED, "classify"])
