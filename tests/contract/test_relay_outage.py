"""The relay between a real outbox and a real RabbitMQ: what was committed arrives, whatever the broker does."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from urllib.parse import urlsplit, urlunsplit
from uuid import UUID

import psycopg
import pytest
import structlog

from tests.support import services
from tests.support.proxy import TcpProxy
from tests.support.trails import new_ticket
from ticketflow.broker import relay as relaying
from ticketflow.broker.messages import Message, parse
from ticketflow.broker.rabbitmq import DeadMessage, RabbitBroker
from ticketflow.broker.relay import Relay
from ticketflow.db.commits import Commits
from ticketflow.db.outbox import Outbox
from ticketflow.domain.errors import BrokerUnavailable


@contextlib.asynccontextmanager
async def connected(url: str) -> AsyncIterator[RabbitBroker]:
    async def nothing_dies(dead: DeadMessage) -> None:
        raise AssertionError(dead)

    broker = RabbitBroker(url, nothing_dies)
    try:
        yield broker
    finally:
        await broker.aclose()


@contextlib.asynccontextmanager
async def running(relay: Relay) -> AsyncIterator[None]:
    task = asyncio.create_task(relay.run())
    try:
        yield
        assert not task.done(), task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def arrived(broker: RabbitBroker, count: int) -> set[UUID]:
    """The tickets that the next messages name."""
    async with asyncio.timeout(30), broker.consume(10) as consumer:
        found = set()
        for _ in range(count):
            delivery = await consumer.next()
            found.add(parse(delivery.body, delivery.headers).ticket_id)
            await delivery.ack()
        return found


async def emptied(database_url: str) -> None:
    """Return once the outbox holds nothing."""
    async with asyncio.timeout(30), await psycopg.AsyncConnection.connect(database_url, autocommit=True) as database:
        while await (await database.execute("select 1 from outbox limit 1")).fetchone():  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def test_what_was_committed_while_the_broker_was_away_arrives_when_it_is_back(
    commits: Commits, outbox: Outbox, rabbitmq_url: str, database_url: str
) -> None:
    parts = urlsplit(rabbitmq_url)
    async with TcpProxy(parts.hostname or "127.0.0.1", parts.port or 5672) as wire:
        through = urlunsplit(parts._replace(netloc=f"{parts.username}:{parts.password}@127.0.0.1:{wire.port}"))
        async with connected(through) as broker, connected(rabbitmq_url) as reader, running(Relay(outbox, broker)):
            before = await new_ticket(commits)
            assert await arrived(reader, 1) == {before}
            await wire.cut()
            meanwhile = {await new_ticket(commits) for _ in range(3)}
            await wire.restore()
            assert await arrived(reader, 3) == meanwhile
            await emptied(database_url)


async def test_a_broker_that_is_away_at_the_start_is_said_once_without_any_message_and_so_is_its_return(
    outbox: Outbox, rabbitmq_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries, back = asyncio.Semaphore(0), asyncio.Event()
    monkeypatch.setattr(relaying, "LONGEST_PAUSE_SECONDS", 0.01)
    with structlog.testing.capture_logs() as logged:
        async with connected(rabbitmq_url) as broker:
            ping = broker.ping

            async def away() -> None:
                tries.release()
                if not back.is_set():
                    raise BrokerUnavailable("RabbitMQ refuses the user or the password")
                await ping()

            monkeypatch.setattr(broker, "ping", away)
            async with asyncio.timeout(30), running(Relay(outbox, broker)):
                for _ in range(3):
                    await tries.acquire()
                back.set()
                while not any(line["event"] == "relay.broker_back" for line in logged):  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
    assert [(line["event"], line.get("error")) for line in logged] == [
        ("relay.broker_away", "RabbitMQ refuses the user or the password"),
        ("relay.broker_back", None),
    ]


async def test_queues_that_were_deleted_are_made_again(
    commits: Commits, outbox: Outbox, rabbitmq_url: str, database_url: str
) -> None:
    async with connected(rabbitmq_url) as broker, running(Relay(outbox, broker)):
        await new_ticket(commits)
        await emptied(database_url)
        await services.empty(rabbitmq_url)
        ticket_id = await new_ticket(commits)
        await emptied(database_url)
        async with connected(rabbitmq_url) as reader:
            assert await arrived(reader, 1) == {ticket_id}


async def test_an_error_that_nobody_foresaw_does_not_end_it(
    commits: Commits, outbox: Outbox, rabbitmq_url: str, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relaying, "LONGEST_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(relaying, "HOLD", timedelta(milliseconds=10))
    async with connected(rabbitmq_url) as broker:
        publish, failed = broker.publish, asyncio.Event()

        async def fails_once(messages: Sequence[Message]) -> None:
            if not failed.is_set():
                failed.set()
                raise ValueError("nobody thought of this")
            await publish(messages)

        monkeypatch.setattr(broker, "publish", fails_once)
        async with running(Relay(outbox, broker)):
            ticket_id = await new_ticket(commits)
            await emptied(database_url)
        assert failed.is_set()
        assert await arrived(broker, 1) == {ticket_id}
