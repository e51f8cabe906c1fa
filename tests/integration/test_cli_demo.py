"""``demo --crash`` and ``--compare``: real processes are killed, nothing is lost, and nothing stays behind."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from uuid import uuid4

import psutil
import psycopg
import pytest
from psycopg import sql

from tests.support.cli import Cli
from tests.support.processes import clean_environment, until
from tests.support.services import as_role

MARK = "DEMO_UNDER_TEST"


class Ground:
    """A role that may make databases, so that those which are left over can be told from other people's."""

    def __init__(self, server: str, role: str) -> None:
        self._server = server
        self.role = role
        self.url = as_role(server, role, "secret")

    def databases(self) -> list[str]:
        with psycopg.connect(self._server) as connection:
            owned = "select datname from pg_database d join pg_roles r on r.oid = d.datdba where r.rolname = %s"
            return [name for (name,) in connection.execute(owned, (self.role,)).fetchall()]

    def processes(self) -> list[str]:
        """The command lines of processes that were started from this test, other than this one."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get(MARK) == self.role:
                    found.append(" ".join(process.cmdline()))
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
        return found


@pytest.fixture
def ground(postgres_server: str) -> Iterator[Ground]:
    role = f"ticketflow_test_{uuid4().hex[:12]}"
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute(sql.SQL("create role {} login createdb password 'secret'").format(sql.Identifier(role)))
        try:
            ground = Ground(postgres_server, role)
            yield ground
            for name in ground.databases():
                connection.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))
        finally:
            connection.execute(sql.SQL("drop role {}").format(sql.Identifier(role)))


def test_workers_are_killed_nothing_is_lost_and_the_loop_beside_is_measured_too(cli: Cli, ground: Ground) -> None:
    arguments = ("demo", "--tickets", "2", "--crash", "--compare", "--seed", "3", "--json")
    done = cli(*arguments, DATABASE_URL=ground.url, **{MARK: ground.role})
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert (figures["tickets"], figures["lost"], figures["violations"], figures["steps_repeated"]) == (2, 0, 0, 0)
    assert figures["results_per_ticket"] == {"1": 2}
    assert figures["seed"] == 3
    held = [each for kill in figures["kills"] for each in kill["held"]]
    assert len(figures["kills"]) == 1
    assert held
    taken = [each for each in held if each["taken_over_by"] is not None]
    assert len(taken) == figures["taken_over"] > 0
    killed = {kill["pid"] for kill in figures["kills"]}
    for each in taken:
        assert each["after_seconds"] > 0
        assert f"goes on with #{each['ticket']} " in done.stderr
    assert all(f"killed worker {pid} with " in done.stderr for pid in killed)
    assert figures["model_calls"] > figures["model_calls_in_vain"] >= 0
    assert len(figures["items"]) == 2

    loop = figures["loop"]
    assert (loop["tickets"], loop["answered"], loop["answered_twice"], loop["same_replies"]) == (2, 2, 0, 2)
    assert len(loop["kills"]) == 1
    assert all(kill["after_seconds"] > 0 for kill in loop["kills"])
    assert loop["model_calls"] - loop["model_calls_in_vain"] == figures["model_calls"] - figures["model_calls_in_vain"]
    assert (ground.processes(), ground.databases()) == ([], [])


def test_an_interrupted_demo_leaves_no_process_and_no_database_behind(cli: Cli, ground: Ground) -> None:
    environment = clean_environment(DATABASE_URL=ground.url, **{MARK: ground.role})
    with subprocess.Popen(
        [sys.executable, "-m", "ticketflow", "demo", "--crash"],
        env=environment, cwd=cli.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as demo:  # fmt: skip
        assert demo.stderr is not None
        assert any("killed worker" in line for line in demo.stderr)
        assert len(ground.databases()) == 1
        # All may have been killed by now, and be on their way back.
        worker = "ticketflow.cli.demo.worker"
        until(lambda: any(worker in line for line in ground.processes()), 30, "a worker to be there")
        demo.send_signal(signal.SIGINT)
        _, rest = demo.communicate(timeout=60)
    assert demo.returncode != 0
    assert "Traceback" not in rest
    assert (ground.processes(), ground.databases()) == ([], [])


def test_a_benchmark_that_is_told_to_end_leaves_no_process_and_no_database_behind(cli: Cli, ground: Ground) -> None:
    environment = clean_environment(DATABASE_URL=ground.url, **{MARK: ground.role})
    with subprocess.Popen(
        [sys.executable, "-m", "ticketflow", "bench", "intake", "--rounds", "1"],
        env=environment, cwd=cli.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as bench:  # fmt: skip
        until(lambda: bool(ground.databases()), 30, "a database to be there")
        bench.send_signal(signal.SIGTERM)
        bench.communicate(timeout=60)
    assert bench.returncode != 0
    assert (ground.processes(), ground.databases()) == ([], [])
