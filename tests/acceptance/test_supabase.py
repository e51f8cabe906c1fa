"""A deployment that has a Supabase project's address and key, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.deployment import Deployment, deployed_on
from tests.support.model import Model
from tests.support.nursery import Nursery
from tests.support.postgrest import RestApi
from tests.support.postgrest.faults import BAD_GATEWAY, DROPPED, HALF, PAUSED, UNAVAILABLE
from tests.support.processes import Process, until
from tests.support.project import Project, stand_in
from tests.support.supabase import Supabase

SOON = {"TICKETFLOW_LEASE_SECONDS": "3"}
"""How soon a worker that is gone is missed."""


@pytest.fixture
def shop(rest_project: Project, tmp_path: Path, _model: Model, nursery: Nursery) -> Iterator[Deployment]:
    with deployed_on(rest_project, tmp_path, _model.url, nursery.running) as own:
        yield own


@pytest.fixture
def project(project_server: Supabase) -> Iterator[Project]:
    """One that can be made to fail."""
    with stand_in(project_server) as own:
        yield own


@pytest.fixture
def api(project: Project) -> RestApi:
    assert project.api is not None
    return project.api


@pytest.fixture
def frail(project: Project, tmp_path: Path, _model: Model, nursery: Nursery) -> Iterator[Deployment]:
    with deployed_on(project, tmp_path, _model.url, nursery.running) as own:
        yield own


def workers(deployment: Deployment, count: int) -> list[Process]:
    started = [deployment.worker("--concurrency", "10", **SOON) for _ in range(count)]
    for process in started:
        process.wait_for_event("worker.started")
    return started


def test_two_hundred_tickets_complete_once_although_a_worker_is_killed(shop: Deployment, model: Model) -> None:
    shop.api()
    victim, _ = workers(shop, 2)
    tickets = shop.post_many(200)
    until(lambda: shop.statuses()["completed"] >= 40, 60, "some to be completed")
    until(
        lambda: shop.sql("select count(*) from leases where worker like %s", f"%:{victim.pid}:%")[0][0] > 0, 30, "work"
    )
    victim.kill()
    shop.until_completed(tickets, 100)
    shop.assert_completed_once(tickets)
    assert len(model.stats()["markers"]) == 200


def test_nothing_is_done_twice_although_answers_are_lost(frail: Deployment, api: RestApi) -> None:
    frail.api()
    workers(frail, 2)
    for lost, every in ((DROPPED, 11), (HALF, 13), (BAD_GATEWAY, 17), (UNAVAILABLE, 19)):
        api.faults.after(lost, times=None, every=every)
    tickets = frail.post_many(60)
    frail.until_completed(tickets, 100)
    api.faults.clear()
    frail.assert_completed_once(tickets)


def test_a_project_that_is_paused_and_restored_loses_nothing(frail: Deployment, api: RestApi) -> None:
    frail.api()
    workers(frail, 1)
    tickets = frail.post_many(20)
    api.faults.instead(PAUSED, times=None)
    status, headers, problem = frail.request(
        "POST", "/tickets", {"subject": "Paused?", "body": "?", "customer_id": "c"}
    )
    assert (status, problem["code"]) == (503, "store_unavailable")
    assert int(headers["retry-after"]) > 0
    api.faults.clear()
    api.stop()
    assert frail.request("GET", "/ready")[0] == 503
    api.start()
    frail.until_completed(tickets, 100)
    frail.assert_completed_once(tickets)
