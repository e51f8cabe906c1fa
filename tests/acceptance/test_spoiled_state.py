"""What stands in the queue or in the database and is of no use: each ends in a defined place, and work goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import aio_pika
import pytest

from tests.support.deployment import Deployment, Posted
from tests.support.messages import publish, wake_up
from tests.support.model import Model
from tests.support.processes import Process, until
from ticketflow.broker.rabbitmq import DELIVERY_LIMIT, queue_name
from ticketflow.domain.routing import Lane

SOON = {"TICKETFLOW_SWEEP_AFTER_SECONDS": "0.5", "TICKETFLOW_RETRY_BASE_SECONDS": "0.01"}


@pytest.fixture
def api(deployment: Deployment) -> Process:
    return deployment.api()


@pytest.fixture(autouse=True)
def _work_goes_on(deployment: Deployment, api: Process) -> Iterator[None]:
    """Whatever the test left behind, the last worker that it started lives, and the next ticket completes."""
    yield
    worker = deployment.started[-1]
    deployment.until_completed([deployment.post()])
    assert worker.popen.poll() is None
    assert worker.events("message.failed") == worker.events("upkeep.failed") == []


def letters(deployment: Deployment) -> list[dict[str, Any]]:
    status, _, page = deployment.request("GET", "/dead-letters?limit=100")
    assert status == 200
    items: list[dict[str, Any]] = page["items"]
    return items


def trail(deployment: Deployment, ticket: Posted) -> list[tuple[Any, ...]]:
    return deployment.sql("select seq, event_type, changes from events where ticket_id = %s order by seq", ticket.id)


def test_messages_for_a_finished_ticket_change_nothing(deployment: Deployment, rabbitmq_url: str) -> None:
    [worker] = deployment.workers(1)
    ticket = deployment.post()
    deployment.until_completed([ticket])
    before = trail(deployment, ticket)
    asyncio.run(publish(rabbitmq_url, [wake_up(ticket_id=ticket.id)] * 5, list(Lane)))
    until(lambda: len(worker.events("message.not_needed")) == 5, 30, "the messages to be passed over")
    assert trail(deployment, ticket) == before
    assert letters(deployment) == []


def test_a_message_that_comes_back_too_often_is_a_dead_letter_and_its_ticket_is_woken_by_the_sweeper(
    deployment: Deployment, rabbitmq_url: str
) -> None:
    async def give_back_for_ever() -> int:
        async with await aio_pika.connect(rabbitmq_url) as connection:
            queue = await (await connection.channel()).get_queue(queue_name(Lane.NORMAL))
            times = 0
            while (message := await queue.get(fail=False, timeout=10)) or times == 0:
                if message is not None:
                    await message.nack(requeue=True)
                    times += 1
            return times

    tickets = deployment.post_many(2)
    until(lambda: deployment.sql("select count(*) from outbox") == [(0,)], 30, "the messages to be published")
    assert asyncio.run(give_back_for_ever()) > DELIVERY_LIMIT * len(tickets)
    [worker] = deployment.workers(1, **SOON)
    deployment.until_completed(tickets)
    until(lambda: len(letters(deployment)) == len(tickets), 30, "the dead letters to be recorded")
    assert {letter["detail"] for letter in letters(deployment)} == {"dead-lettered by the broker: delivery_limit"}
    assert {letter["ticket_id"] for letter in letters(deployment)} == {ticket.id for ticket in tickets}
    assert sum(record["tickets"] for record in worker.events("sweeper.woken")) >= len(tickets)
    deployment.assert_completed_once(tickets)


@pytest.mark.parametrize(
    "spoiled",
    [
        """channels = (select jsonb_object_agg(key, value - 'j' || '{"t": "msgpack", "b": "wQ=="}')
                       from jsonb_each(channels))""",
        """channels = (select jsonb_object_agg(key, value - 'j' || '{"t": "pickle", "b": "gASVBAAAAA=="}')
                       from jsonb_each(channels))""",
        """channels = (select jsonb_object_agg(key, value - 'j' || '{"t": 1}') from jsonb_each(channels))""",
    ],
    ids=["no msgpack", "pickle", "no value"],
)
def test_a_checkpoint_that_cannot_be_read_fails_its_ticket_and_says_so(
    deployment: Deployment, model: Model, spoiled: str
) -> None:
    [victim] = deployment.workers(1)
    model.faults(held=["draft"])
    ticket = deployment.post()
    until(lambda: model.asked(ticket.marker)["draft"] == 1, 30, "the draft to be under way")
    victim.kill()
    deployment.sql(f"update checkpoints set {spoiled}")
    model.faults(held=[])
    deployment.workers(1, **SOON)
    failed = "select error->>'code', error->>'message' from tickets where status = 'failed_permanent'"
    [(code, message)] = until(lambda: deployment.sql(failed), 30, "the ticket to fail")
    assert code == "poison"
    assert "a checkpoint value cannot be read" in message
    [letter] = letters(deployment)
    assert (letter["ticket_id"], letter["reason"]) == (ticket.id, "poison")
    assert model.asked(ticket.marker)["draft"] == 1


def test_timers_that_mean_nothing_are_dropped(deployment: Deployment) -> None:
    ticket = deployment.post()
    timer = "insert into timers (ticket_id, kind, due_at) values (%s, %s, now())"
    deployment.sql(timer, str(uuid4()), "retry")
    deployment.sql(timer, ticket.id, "retry")
    deployment.sql(timer, ticket.id, "nap")
    [worker] = deployment.workers(1, **SOON)
    until(lambda: len(worker.events("timer.dropped")) == 3, 30, "the timers to be dropped")
    assert deployment.sql("select count(*) from timers") == [(0,)]
    deployment.until_completed([ticket])
    deployment.assert_completed_once([ticket])
