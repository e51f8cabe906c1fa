"""SIGKILL for RabbitMQ with tickets in its queues, and then it is back, with its disk or without."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.deployment import Deployment, deployed
from tests.support.model import Model
from tests.support.nursery import Nursery
from tests.support.processes import until
from tests.support.rabbit_node import RabbitNode, rabbit_node
from ticketflow.broker.rabbitmq import DeadMessage, RabbitBroker

pytestmark = pytest.mark.chaos


@pytest.fixture(scope="module")
def node() -> Iterator[RabbitNode]:
    """A node that has had its queues for a while: one that dies in a queue's first second may never open it again."""

    async def nobody(_: DeadMessage) -> None:
        raise AssertionError("nothing is dead yet")

    async def declare(url: str) -> None:
        broker = RabbitBroker(url, nobody)
        await broker.ping()
        await broker.aclose()

    with rabbit_node() as started:
        asyncio.run(declare(started.url))
        started.stop()
        started.start()
        yield started


@pytest.fixture
def on_node(
    tmp_path: Path, database_url: str, node: RabbitNode, model: Model, nursery: Nursery
) -> Iterator[Deployment]:
    with deployed(tmp_path, database_url, node.url, model.url, nursery.running) as own:
        yield own


@pytest.mark.parametrize(
    ("wiped", "sweep_after"), [(False, "3600"), (True, "0.5")], ids=["its messages survive", "the sweeper finds them"]
)
def test_a_killed_rabbitmq_delays_tickets_and_loses_none(
    on_node: Deployment, node: RabbitNode, model: Model, wiped: bool, sweep_after: str
) -> None:
    on_node.environment |= {
        "TICKETFLOW_SWEEP_AFTER_SECONDS": sweep_after,
        # However long the node takes to start again.
        "TICKETFLOW_MODEL_TIMEOUT_SECONDS": "600",
    }
    on_node.api()
    [worker] = on_node.workers(1, "--concurrency", "5")
    model.faults(held=["draft"])
    tickets = on_node.post_many(15)
    model.until_waiting("draft", 5)
    until(lambda: on_node.sql("select count(*) from outbox") == [(0,)], 30, "RabbitMQ to have all messages")
    node.kill()
    worker.wait_for_event("broker.connection_lost")
    tickets += on_node.post_many(5)
    if wiped:
        node.wipe()
    node.start()
    model.faults(held=[])
    on_node.until_completed(tickets)
    on_node.assert_completed_once(tickets)
    model.assert_asked(tickets)
    assert bool(worker.events("sweeper.woken")) is wiped
