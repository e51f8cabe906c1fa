"""A rolling deploy: the previous release's worker goes on while this release's schema and API are there already.

Only collected where the previous release is at hand: in a checkout with its history.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.acceptance.conftest import PREVIOUS
from tests.acceptance.test_flow_versions import trail
from tests.support.deployment import STEPS, Deployment
from tests.support.gate import Gate
from tests.support.model import Model
from tests.support.processes import until
from tests.support.services import ROOT


@pytest.fixture
def previous(tmp_path: Path) -> Path:
    """The previous release's source tree."""
    command = ["git", "archive", PREVIOUS, "src", "migrations"]
    archive = subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout
    subprocess.run(["tar", "-x"], cwd=tmp_path, input=archive, check=True)
    return tmp_path / "src"


def test_the_previous_releases_worker_runs_on_this_schema_and_both_releases_finish_each_others_tickets(
    deployment: Deployment, gate: Gate, model: Model, previous: Path
) -> None:
    deployment.api()
    old = deployment.start_module("ticketflow", "worker", "--metrics-port", "0", PYTHONPATH=str(previous))
    old.wait_for_event("broker.consuming")
    first = deployment.post_many(5)
    deployment.until_completed(first)
    # It was the old one: it knows no lifecycle.
    assert deployment.sql("select count(*) from events where event_type = 'lifecycle'") == [(0,)]
    # What people have is not for it: one that is theirs from the start, and one that they take while it works on it.
    theirs = deployment.post(assignee="mia")
    model.faults(held=["review"])
    taken = deployment.post()
    model.until_waiting("review", 1)
    for move in ("assign", "start_work"):
        status, _, answer = deployment.request("POST", f"/tickets/{taken.id}/transitions/{move}", {})
        assert status == 200, answer
    model.faults(held=[])
    lost = old.wait_for_event("lease.lost")
    assert lost["ticket_id"] == taken.id
    unanswered = "select count(*) from tickets where id = any(%s::uuid[]) and result is null"
    assert deployment.sql(unanswered, [theirs.id, taken.id]) == [(2,)]
    with gate.closed("draft"):
        under_way = deployment.post_many(3)
        gate.caught()
        old.kill()
        for waiting in gate.waiting():
            deployment.sql("select pg_terminate_backend(%s)", waiting)
    [new] = deployment.workers(1)
    deployment.until_completed([*under_way, theirs, taken])
    suggested = "select distinct result->>'disposition' from tickets where id = any(%s::uuid[])"
    assert deployment.sql(suggested, [theirs.id, taken.id]) == [("suggested",)]
    with gate.closed("review"), gate.closed("extract"):
        # Some stand in the middle, and some where this release has already noted what the next step commits.
        back = deployment.post_many(3)
        until(lambda: gate.done("classify") >= 3, 30, "the tickets to be read")
        gate.caught()
        # A roll-back of the deploy.
        deployment.start_module("ticketflow", "worker", "--metrics-port", "0", PYTHONPATH=str(previous))
        new.kill()
        for waiting in gate.waiting():
            deployment.sql("select pg_terminate_backend(%s)", waiting)
    deployment.until_completed(back)
    deployment.assert_completed_once([*first, *under_way, *back, theirs, taken])
    for ticket in (*under_way, *back):
        assert trail(deployment, ticket) == list(STEPS)
