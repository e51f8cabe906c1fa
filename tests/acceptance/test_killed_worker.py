"""SIGKILL for a worker at every boundary of a ticket's way: before each commit, and after it was sent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.support.deployment import ASKED, STEPS, Deployment, Posted
from tests.support.gate import CLAIM, Gate
from tests.support.model import Model
from tests.support.processes import Process

LEASE_SECONDS = "3600"
"""Nobody can have waited for a lease to run out."""


class Fleet:
    """An API and two workers; who is killed is replaced."""

    def __init__(self, deployment: Deployment) -> None:
        self.deployment = deployment
        deployment.api()
        self._workers: list[Process] = []
        self.replace()

    def post(self) -> Posted:
        """A ticket that two workers wait for."""
        for worker in self._workers:
            worker.wait_for_event("broker.consuming")
        return self.deployment.post()

    def kill_whoever_has(self, ticket: Posted) -> None:
        [(name,)] = self.deployment.sql("select worker from leases where ticket_id = %s", ticket.id)
        self._kill([worker for worker in self._workers if f":{worker.pid}:" in name])
        self.replace()

    def kill_all(self) -> None:
        self._kill(self._workers)

    def _kill(self, victims: list[Process]) -> None:
        assert victims
        for victim in victims:
            victim.kill()
        self._workers = [worker for worker in self._workers if worker not in victims]

    def replace(self) -> None:
        while len(self._workers) < 2:
            self._workers.append(
                self.deployment.start("worker", "--metrics-port", "0", TICKETFLOW_LEASE_SECONDS=LEASE_SECONDS)
            )


@pytest.fixture(scope="module")
def fleet(shared: Deployment) -> Fleet:
    return Fleet(shared)


@pytest.fixture(scope="module")
def gate(shared: Deployment) -> Iterator[Gate]:
    with closing(Gate(shared.database_url)) as made:
        yield made


def takeovers(deployment: Deployment, ticket: Posted) -> int:
    query = "select count(*) from events where ticket_id = %s and payload->>'reason' = 'takeover'"
    return int(deployment.sql(query, ticket.id)[0][0])


@pytest.mark.parametrize("step", STEPS)
def test_killed_before_a_step_is_committed_another_worker_repeats_that_step_alone(
    fleet: Fleet, gate: Gate, model: Model, step: str
) -> None:
    with gate.closed(step):
        ticket = fleet.post()
        commit = gate.caught()
        fleet.kill_whoever_has(ticket)
        gate.roll_back(commit)
    fleet.deployment.until_completed([ticket])
    fleet.deployment.assert_completed_once([ticket])
    assert takeovers(fleet.deployment, ticket) == 1
    assert model.asked(ticket.marker) == Counter(ASKED) + Counter([step] if step in ASKED else [])


@pytest.mark.parametrize("step", STEPS)
def test_killed_after_a_commit_was_sent_the_commit_counts_and_nothing_is_repeated(
    fleet: Fleet, gate: Gate, model: Model, step: str
) -> None:
    with gate.closed(step):
        ticket = fleet.post()
        commit = gate.caught()
        fleet.kill_whoever_has(ticket)
        # The dead worker's commit and the next worker's claim now stand before the same row.
        gate.wait_for_claim_behind(commit)
    fleet.deployment.until_completed([ticket])
    fleet.deployment.assert_completed_once([ticket])
    assert takeovers(fleet.deployment, ticket) == (0 if step == "finalize" else 1)
    assert model.asked(ticket.marker) == Counter(ASKED)


@pytest.mark.parametrize("lands", [False, True], ids=["lost", "landed"])
def test_killed_while_it_claims_another_worker_takes_the_ticket(
    fleet: Fleet, gate: Gate, model: Model, lands: bool
) -> None:
    with gate.closed(CLAIM):
        ticket = fleet.post()
        claim = gate.caught()
        # Nobody holds the ticket yet that could be seen holding it, so all workers go.
        fleet.kill_all()
        if not lands:
            gate.roll_back(claim)
        fleet.replace()
    fleet.deployment.until_completed([ticket])
    fleet.deployment.assert_completed_once([ticket])
    assert takeovers(fleet.deployment, ticket) == int(lands)
    assert model.asked(ticket.marker) == Counter(ASKED)
