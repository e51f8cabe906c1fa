"""SIGKILL for PostgreSQL while tickets are posted and worked on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.chaos.asked import assert_explained
from tests.chaos.customers import post_all
from tests.support import services
from tests.support.deployment import QUESTION, Deployment, deployed
from tests.support.model import Model
from tests.support.nursery import Nursery
from tests.support.postgres_cluster import PostgresCluster, postgres_cluster
from tests.support.processes import until
from ticketflow.db.migrate import migrate
from ticketflow.wiring import WORKER_PATIENCE_SECONDS

pytestmark = pytest.mark.chaos


@pytest.fixture(scope="module")
def cluster() -> Iterator[PostgresCluster]:
    with postgres_cluster() as started:
        yield started


@pytest.fixture
def on_cluster(
    tmp_path: Path, cluster: PostgresCluster, rabbitmq_url: str, model: Model, nursery: Nursery
) -> Iterator[Deployment]:
    with services.database(cluster.url) as url:
        asyncio.run(migrate(url))
        with deployed(tmp_path, url, rabbitmq_url, model.url, nursery.running) as own:
            yield own


@pytest.mark.parametrize(
    "seconds_away",
    [0.0, pytest.param(WORKER_PATIENCE_SECONDS + 3, marks=[pytest.mark.long_form, pytest.mark.timeout(300)])],
    ids=["started again at once", "away for longer than a worker waits"],
)
def test_a_killed_postgresql_delays_tickets_and_loses_none(
    on_cluster: Deployment, cluster: PostgresCluster, model: Model, seconds_away: float
) -> None:
    model.faults(latency_seconds=0.05)
    api = on_cluster.api()
    workers = on_cluster.workers(2, "--concurrency", "5")
    with ThreadPoolExecutor(1) as pool:
        customers = pool.submit(post_all, on_cluster, lambda: [on_cluster.address], 60, 3.0, [QUESTION])
        until(lambda: on_cluster.statuses()["completed"] >= 5, 30, "tickets to be under way")
        cluster.kill()
        time.sleep(seconds_away)
        cluster.start()
        on_cluster.reconnect()
        customers.result()
    on_cluster.until_completed(on_cluster.posted, 90)
    on_cluster.assert_completed_once(on_cluster.posted)
    assert_explained(on_cluster, model, on_cluster.posted)
    assert [process.popen.poll() for process in (api, *workers)] == [None] * 3
