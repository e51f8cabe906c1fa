"""PostgreSQL out of reach: at the start it is one line, while running it is a pause."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from tests.support.deployment import Deployment
from tests.support.gate import Gate
from tests.support.model import Model
from tests.support.processes import clean_environment, until
from tests.support.proxy import ThreadedProxy, wired_database

ROLES = (["api", "--port", "0"], ["worker", "--metrics-port", "0"], ["up", "--port", "0"])


@pytest.mark.parametrize(
    ("server", "reason"),
    [("someone:hunter2@127.0.0.1:1/x", "refused"), ("someone:hunter2@no-such-host.invalid/x", "resolve")],
    ids=["refused", "unknown host"],
)
def test_a_database_that_is_away_at_the_start_is_one_line_and_exit_1(tmp_path: Path, server: str, reason: str) -> None:
    environment = clean_environment(DATABASE_URL=f"postgresql://{server}", RABBITMQ_URL="amqp://u:hunter2@127.0.0.1:1/")

    def run(role: list[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "ticketflow", *role],
            env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    with ThreadPoolExecutor(3) as pool:
        for done in pool.map(run, ROLES):
            [line] = done.stderr.splitlines()
            assert (done.returncode, done.stdout) == (1, "")
            assert line.startswith("ticketflow: ")
            assert reason in line
            assert "hunter2" not in line


def test_a_database_that_holds_something_else_is_left_alone_and_the_command_is_named(
    tmp_path: Path, empty_database_url: str
) -> None:
    with psycopg.connect(empty_database_url) as database:
        database.execute("create table somebody_elses (id integer)")
    for role in ROLES[:2]:
        done = subprocess.run(
            [sys.executable, "-m", "ticketflow", *role],
            env=clean_environment(DATABASE_URL=empty_database_url),
            cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        [line] = done.stderr.splitlines()
        assert (done.returncode, "`ticketflow migrate`" in line) == (1, True)
    with psycopg.connect(empty_database_url) as database:
        assert database.execute("select tablename from pg_tables where schemaname = 'public'").fetchall() == [
            ("somebody_elses",)
        ]


@pytest.fixture
def wire(deployment: Deployment) -> Iterator[ThreadedProxy]:
    """Between the processes and PostgreSQL; the test itself goes past it."""
    with wired_database(deployment.database_url) as (deployment.environment["DATABASE_URL"], proxy):
        yield proxy


@pytest.fixture
def wired(deployment: Deployment, wire: ThreadedProxy) -> Deployment:
    """A deployment whose PostgreSQL stands at the other end of the wire."""
    return deployment


def test_a_database_that_goes_away_and_comes_back_costs_time_and_nothing_else(
    wired: Deployment, wire: ThreadedProxy, gate: Gate, model: Model
) -> None:
    api = wired.api()
    [worker] = wired.workers(1, "--concurrency", "5")
    with gate.closed("draft"):
        tickets = wired.post_many(12)
        gate.caught()
        wire.cut()
        body = {"subject": "While you were out", "body": "Is anybody there?", "customer_id": "cus_1"}
        status, headers, problem = wired.request("POST", "/tickets", body)
        assert (status, headers["content-type"]) == (503, "application/problem+json")
        assert int(headers["retry-after"]) >= 1
        assert problem["code"] == "store_unavailable"
        status, _, ready = wired.request("GET", "/ready")
        assert (status, ready["checks"]["database"]) == (503, "store_unavailable")
        assert wired.request("GET", "/health")[0] == 200
        assert wired.sql("select count(*) from tickets") == [(12,)]
    # What stood at the gate is committed now, by a server whose client never heard of it.
    until(lambda: gate.done("draft") > 0, 30, "the commits without a listener to land")
    wire.restore()
    wired.until_completed(tickets)
    until(lambda: wired.request("GET", "/ready")[0] == 200, 30, "the API to be ready", every=0.2)
    later = [wired.post(), wired.post()]
    wired.until_completed(later)
    wired.assert_completed_once([*tickets, *later])
    model.assert_asked([*tickets, *later])
    assert (api.popen.poll(), worker.popen.poll()) == (None, None)
    assert worker.events("lease.lost") == []


def test_a_stop_while_the_database_hangs_ends_with_the_grace_period(
    wired: Deployment, wire: ThreadedProxy, model: Model
) -> None:
    api = wired.api(TICKETFLOW_DRAIN_SECONDS="1")
    [worker] = wired.workers(1, TICKETFLOW_DRAIN_SECONDS="1")
    model.faults(held=["draft"])
    tickets = wired.post_many(3)
    model.until_waiting("draft", 3)
    wire.stall()
    # 45 seconds it took while each call that hung was waited for.
    assert (worker.stop(20), api.stop(20)) == (1, 1)
    assert worker.events("stop.forced")
    wire.flow()
    model.faults(held=[])
    wired.api()
    wired.workers(1, TICKETFLOW_SWEEP_AFTER_SECONDS="1")
    wired.until_completed(tickets)
    wired.assert_completed_once(tickets)
