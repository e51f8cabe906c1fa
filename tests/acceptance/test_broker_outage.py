"""RabbitMQ out of reach, or without its memory: tickets are delayed, never refused and never lost."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import aio_pika
import pytest

from tests.support import services
from tests.support.deployment import Deployment
from tests.support.gate import Gate
from tests.support.model import Model
from tests.support.processes import until
from tests.support.proxy import ThreadedProxy, wired_broker
from ticketflow.broker.rabbitmq import queue_name
from ticketflow.domain.routing import Lane

SOON = {"TICKETFLOW_SWEEP_AFTER_SECONDS": "0.5"}
"""How long a ticket lies still before the sweeper asks why."""


@pytest.fixture
def wire(deployment: Deployment, rabbitmq_url: str) -> Iterator[ThreadedProxy]:
    """Between the processes and RabbitMQ."""
    with wired_broker(rabbitmq_url) as (deployment.environment["RABBITMQ_URL"], proxy):
        yield proxy


@pytest.fixture
def wired(deployment: Deployment, wire: ThreadedProxy) -> Deployment:
    """A deployment whose RabbitMQ stands at the other end of the wire."""
    return deployment


def outbox(deployment: Deployment) -> int:
    return int(deployment.sql("select count(*) from outbox")[0][0])


def ready_messages(rabbitmq_url: str) -> int:
    async def count() -> int:
        async with await aio_pika.connect(rabbitmq_url) as connection:
            channel = await connection.channel()
            queues = [await channel.declare_queue(queue_name(lane), passive=True) for lane in Lane]
            return sum(queue.declaration_result.message_count or 0 for queue in queues)

    return asyncio.run(count())


def test_tickets_posted_while_rabbitmq_is_away_are_taken_and_completed_when_it_is_back(
    wired: Deployment, wire: ThreadedProxy, model: Model
) -> None:
    wired.api()
    [worker] = wired.workers(1)
    before = wired.post_many(5)
    wired.until_completed(before)
    wire.cut()
    meanwhile = wired.post_many(20)
    assert outbox(wired) == 20
    status, _, ready = wired.request("GET", "/ready")
    assert (status, ready["checks"]) == (200, {"database": "ok", "broker": "broker_unavailable"})
    wire.restore()
    wired.until_completed(meanwhile)
    wired.assert_completed_once([*before, *meanwhile])
    model.assert_asked([*before, *meanwhile])
    until(lambda: outbox(wired) == 0, 10, "the outbox to be empty")
    assert worker.popen.poll() is None


def test_a_worker_that_loses_rabbitmq_with_tickets_in_hand_keeps_them(
    wired: Deployment, wire: ThreadedProxy, gate: Gate, model: Model
) -> None:
    wired.api()
    [worker] = wired.workers(1, "--concurrency", "5")
    with gate.closed("draft"):
        tickets = wired.post_many(15)
        gate.caught()
        wire.cut()
        worker.wait_for_event("broker.connection_lost")
        wire.restore()
        # Their messages come again, to the worker that has the tickets still.
        until(lambda: len(worker.events("broker.consuming")) == 2, 30, "the worker to be back")
    wired.until_completed(tickets)
    wired.assert_completed_once(tickets)
    model.assert_asked(tickets)


def test_tickets_whose_messages_were_wiped_are_found_by_the_sweeper(
    deployment: Deployment, rabbitmq_url: str, model: Model
) -> None:
    deployment.api(**SOON)
    tickets = deployment.post_many(20)
    until(lambda: outbox(deployment) == 0 and ready_messages(rabbitmq_url) == 20, 30, "RabbitMQ to have all messages")
    asyncio.run(services.empty(rabbitmq_url))
    workers = deployment.workers(2, **SOON)
    deployment.until_completed(tickets)
    deployment.assert_completed_once(tickets)
    model.assert_asked(tickets)
    assert sum(record["tickets"] for worker in workers for record in worker.events("sweeper.woken")) == 20


def test_queues_deleted_under_a_connected_worker_are_made_again_and_every_ticket_completes(
    deployment: Deployment, gate: Gate, rabbitmq_url: str, model: Model
) -> None:
    deployment.api(**SOON)
    [worker] = deployment.workers(1, "--concurrency", "5", **SOON)
    with gate.closed("draft"):
        tickets = deployment.post_many(15)
        gate.caught()
        until(lambda: outbox(deployment) == 0, 30, "RabbitMQ to have all messages")
        asyncio.run(services.empty(rabbitmq_url))
    deployment.until_completed(tickets)
    later = deployment.post_many(5)
    deployment.until_completed(later)
    deployment.assert_completed_once([*tickets, *later])
    model.assert_asked([*tickets, *later])
    assert worker.popen.poll() is None
