"""One suite for every broker: what the worker relies on holds for RabbitMQ and for the embedded queue alike."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from urllib.parse import urlsplit, urlunsplit
from uuid import UUID, uuid4

import psycopg
import pytest
import structlog

from tests.support.proxy import behind
from ticketflow.broker.embedded import EmbeddedBroker, EmbeddedConsumer
from ticketflow.broker.messages import Message, parse
from ticketflow.broker.port import Broker, Consumer, Delivery
from ticketflow.broker.rabbitmq import RabbitBroker, RabbitConsumer
from ticketflow.db.gateway import Gateway
from ticketflow.db.postgres import PostgresGateway
from ticketflow.db.reads import Reads
from ticketflow.domain.errors import BrokerUnavailable, StoreUnavailable
from ticketflow.domain.routing import Lane

WAIT = 10


@dataclass
class Adapter:
    """A broker, a way to publish raw bytes to the normal lane, and where its dead letters end."""

    broker: Broker
    put_raw: Callable[[bytes], Awaitable[None]]
    dead: Callable[[], Awaitable[list[tuple[str, str]]]]


@pytest.fixture(params=["rabbitmq", "embedded"])
async def adapter(request: pytest.FixtureRequest, gateway: PostgresGateway) -> AsyncIterator[Adapter]:
    reads = Reads(gateway)

    async def dead() -> list[tuple[str, str]]:
        return [(letter.detail, letter.payload["body"]) for letter in await reads.dead_letters(limit=50)]

    opened: AbstractAsyncContextManager[Adapter]
    if request.param == "rabbitmq":
        opened = _rabbit(request.getfixturevalue("rabbitmq_url"), reads, dead)
    else:
        opened = _embedded(gateway, dead)
    async with opened as made:
        yield made


@contextlib.asynccontextmanager
async def _rabbit(
    url: str, reads: Reads, dead: Callable[[], Awaitable[list[tuple[str, str]]]]
) -> AsyncIterator[Adapter]:
    import aio_pika

    broker = RabbitBroker(
        url, lambda message: reads.record_dead_message(message.id, None, "message", message.reason, message.payload)
    )

    async def put_raw(body: bytes) -> None:
        connection = await aio_pika.connect(url)
        async with connection:
            channel = await connection.channel()
            await channel.default_exchange.publish(aio_pika.Message(body), "tickets.normal")

    try:
        await broker.ping()  # The queues are there from now on, whoever publishes first.
        yield Adapter(broker, put_raw, dead)
    finally:
        await broker.aclose()


@contextlib.asynccontextmanager
async def _embedded(
    gateway: PostgresGateway, dead: Callable[[], Awaitable[list[tuple[str, str]]]]
) -> AsyncIterator[Adapter]:
    async def put_raw(body: bytes) -> None:
        await gateway.call("ticketflow_queue_put", {"messages": [{"lane": "normal", "body": body.decode()}]})

    yield Adapter(EmbeddedBroker(gateway, timedelta(seconds=2)), put_raw, dead)


def message(lane: Lane = Lane.NORMAL, **headers: str) -> Message:
    return Message(lane, uuid4(), "test", datetime.now(UTC), headers)


async def arrival(consumer: Consumer) -> Delivery:
    return await asyncio.wait_for(consumer.next(), WAIT)


def named(delivery: Delivery) -> UUID:
    return parse(delivery.body, delivery.headers).ticket_id


async def test_what_is_published_arrives_with_its_headers(adapter: Adapter) -> None:
    sent = message(**{"x-request-id": "req-1", "traceparent": "00-" + "a" * 32 + "-" + "b" * 16 + "-01"})
    await adapter.broker.publish([sent])
    async with adapter.broker.consume(5) as consumer:
        delivery = await arrival(consumer)
        assert named(delivery) == sent.ticket_id
        assert delivery.headers["x-request-id"] == "req-1"
        assert delivery.headers["traceparent"].startswith("00-aaa")
        assert delivery.lane is Lane.NORMAL
        assert not delivery.redelivered
        await delivery.ack()


async def test_a_consumer_that_was_there_first_is_woken(adapter: Adapter) -> None:
    async with adapter.broker.consume(5) as consumer:
        waiting = asyncio.create_task(arrival(consumer))
        sent = message()
        await adapter.broker.publish([sent])
        assert named(await waiting) == sent.ticket_id


async def test_what_was_acked_does_not_come_again(adapter: Adapter) -> None:
    sent = [message() for _ in range(5)]
    await adapter.broker.publish(sent)
    async with adapter.broker.consume(10) as consumer:
        for _ in sent:
            await (await arrival(consumer)).ack()
    async with adapter.broker.consume(10) as consumer:
        last = message()
        await adapter.broker.publish([last])
        assert named(await arrival(consumer)) == last.ticket_id


async def test_what_was_not_settled_comes_again_and_says_so(adapter: Adapter) -> None:
    sent = message()
    await adapter.broker.publish([sent])
    async with adapter.broker.consume(5) as consumer:
        await arrival(consumer)
    async with adapter.broker.consume(5) as consumer:
        again = await arrival(consumer)
        assert named(again) == sent.ticket_id
        assert again.redelivered
        await again.ack()


async def test_a_requeued_message_comes_again(adapter: Adapter) -> None:
    sent = message()
    await adapter.broker.publish([sent])
    async with adapter.broker.consume(5) as consumer:
        await (await arrival(consumer)).requeue()
        again = await arrival(consumer)
        assert named(again) == sent.ticket_id
        assert again.redelivered
        await again.ack()


async def test_a_rejected_message_ends_in_the_dead_letters_with_its_reason(adapter: Adapter) -> None:
    async with adapter.broker.consume(5) as consumer:
        await adapter.put_raw(b"this is no JSON")
        await (await arrival(consumer)).reject("the message is not JSON")
        for _ in range(WAIT * 20):
            if found := await adapter.dead():
                break
            await asyncio.sleep(0.05)
        assert found == [("the message is not JSON", "this is no JSON")]


async def test_no_more_than_the_agreed_number_is_unsettled_in_a_lane(adapter: Adapter) -> None:
    await adapter.broker.publish([message() for _ in range(6)])
    async with adapter.broker.consume(3) as consumer:
        held = [await arrival(consumer) for _ in range(3)]
        fourth = asyncio.create_task(consumer.next())
        other = message(Lane.LOW)
        # A message of another lane passes the full one; had there been room, the fourth would have come first.
        await adapter.broker.publish([other])
        passed = await asyncio.wait_for(fourth, WAIT)
        assert passed.lane is Lane.LOW
        await held[0].ack()
        assert (await arrival(consumer)).lane is Lane.NORMAL


async def test_every_message_reaches_exactly_one_of_two_consumers(adapter: Adapter) -> None:
    sent = [message(lane) for lane in Lane for _ in range(20)]
    seen: Counter[UUID] = Counter()
    done = asyncio.Event()

    async def work(consumer: Consumer) -> None:
        while True:
            delivery = await consumer.next()
            seen[named(delivery)] += 1
            await delivery.ack()
            if len(seen) == len(sent):
                done.set()

    async with adapter.broker.consume(4) as one, adapter.broker.consume(4) as two:
        workers = [asyncio.create_task(work(consumer)) for consumer in (one, two)]
        await adapter.broker.publish(sent)
        await asyncio.wait_for(done.wait(), WAIT)
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
    assert seen == Counter(item.ticket_id for item in sent)


async def test_depths_count_what_waits_in_each_lane(adapter: Adapter) -> None:
    await adapter.broker.publish([message(Lane.HIGH), message(Lane.LOW), message(Lane.LOW)])

    async def deep() -> bool:
        return dict(await adapter.broker.depths()) == {Lane.HIGH: 1, Lane.NORMAL: 0, Lane.LOW: 2}

    for _ in range(WAIT * 20):
        if await deep():
            break
        await asyncio.sleep(0.05)
    assert await deep()


async def test_ping_succeeds_while_the_broker_is_there(adapter: Adapter) -> None:
    await adapter.broker.ping()


async def test_a_broker_that_is_away_is_an_error_of_ours() -> None:
    async def ignore(_: object) -> None:
        raise AssertionError("nothing arrives")

    broker = RabbitBroker("amqp://guest:hunter2@127.0.0.1:1/", ignore)
    for attempt in (broker.publish([message()]), broker.depths(), broker.ping()):
        with pytest.raises(BrokerUnavailable) as caught:
            await attempt
        assert "hunter2" not in str(caught.value)


async def test_messages_of_a_consumer_that_went_silent_come_to_another(gateway: PostgresGateway) -> None:
    broker = EmbeddedBroker(gateway, timedelta(seconds=0.6))
    sent = message()
    await broker.publish([sent])
    # Taken by a process that died: nobody beats for it and nobody settles.
    await gateway.call("ticketflow_queue_take", {"consumer": str(uuid4()), "done": [], "lanes": {"normal": 1}})
    async with broker.consume(5) as consumer:
        again = await arrival(consumer)
        assert named(again) == sent.ticket_id
        assert again.redelivered


async def test_after_an_outage_the_first_to_be_back_takes_nothing_from_those_who_live(
    gateway: PostgresGateway, database_url: str
) -> None:
    broker = EmbeddedBroker(gateway, timedelta(seconds=30))
    await broker.publish([message(), message()])
    first, other = str(uuid4()), str(uuid4())
    for consumer in (first, other):
        [taken] = await gateway.call("ticketflow_queue_take", {"consumer": consumer, "lanes": {"normal": 1}})
    with psycopg.connect(database_url) as connection:
        connection.execute("update queue_consumers set seen_at = now() - interval '1 hour'")

    async def beat(consumer: str) -> int:
        freed: int = await gateway.call(
            "ticketflow_queue_beat", {"consumer": consumer, "ttl_ms": 15_000, "keep": [taken["id"] - 1, taken["id"]]}
        )
        return freed

    assert await beat(first) == 0
    # One more beat later whoever lives has been back; the other was not.
    assert await beat(first) == 1


class SlowTake:
    """A gateway whose take reaches the database only once its caller has given it up, or waits for it."""

    def __init__(self, gateway: PostgresGateway) -> None:
        self._gateway = gateway
        self.asked = asyncio.Event()
        self.left = asyncio.Event()
        self.taken: asyncio.Task[Any] | None = None

    async def call(self, function: str, args: Any) -> Any:
        if function == "ticketflow_queue_take":
            self.asked.set()
            self.taken = asyncio.create_task(self._late(args))
            return await asyncio.shield(self.taken)
        answer = await self._gateway.call(function, args)
        if function == "ticketflow_queue_leave":
            self.left.set()
        return answer

    async def _late(self, args: Any) -> Any:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.3):
                await self.left.wait()
        return await self._gateway.call("ticketflow_queue_take", args)


async def test_a_take_that_was_under_way_leaves_nothing_with_a_consumer_that_is_gone(
    gateway: PostgresGateway, database_url: str
) -> None:
    await EmbeddedBroker(gateway, timedelta(seconds=30)).publish([message()])
    slow = SlowTake(gateway)
    async with EmbeddedBroker(cast(Gateway, slow), timedelta(seconds=30)).consume(1):
        await slow.asked.wait()
    assert slow.taken is not None
    await slow.taken
    with psycopg.connect(database_url) as connection:
        assert connection.execute("select consumer from queue_messages").fetchall() == [(None,)]


@pytest.mark.parametrize("function", ["ticketflow_queue_take", "ticketflow_queue_beat"])
async def test_a_call_that_is_not_answered_does_not_keep_the_signs_of_life_back(
    monkeypatch: pytest.MonkeyPatch, function: str
) -> None:
    monkeypatch.setattr("ticketflow.broker.embedded.LEAST_BEAT_SECONDS", 0.02)
    monkeypatch.setattr("ticketflow.broker.embedded.PAUSE_WITHOUT_STORE", 0.01)
    stalled, beaten, over = asyncio.Event(), asyncio.Event(), asyncio.Event()

    class Stalling:
        async def call(self, called: str, args: Any) -> Any:
            if called == function and not stalled.is_set():
                stalled.set()
                await over.wait()
            if called == "ticketflow_queue_beat" and stalled.is_set():
                beaten.set()
            return []

    async with EmbeddedBroker(cast(Gateway, Stalling()), timedelta(milliseconds=60)).consume(1):
        try:
            await asyncio.wait_for(beaten.wait(), WAIT)
        finally:
            over.set()


async def test_silence_is_noticed_within_the_time_that_was_promised(gateway: PostgresGateway) -> None:
    promised = timedelta(seconds=30)
    async with EmbeddedBroker(gateway, promised).consume(1) as consumer:
        assert isinstance(consumer, EmbeddedConsumer)
        # A sign of life just before the end, and a look by the others just before that was too long ago.
        assert consumer.gone_after + consumer.beat_every < promised
        assert consumer.gone_after >= 3 * consumer.beat_every


async def test_a_url_that_the_library_cannot_read_is_a_broker_that_is_away() -> None:
    async def ignore(_: object) -> None:
        raise AssertionError("nothing arrives")

    for url in ("amqp://u:hunter2@h:abc/", "amqp://", "amqp://u:p@[::1", "amqp://u:hunt#er2@h/"):
        with pytest.raises(BrokerUnavailable) as caught:
            await RabbitBroker(url, ignore).ping()
        assert "RABBITMQ_URL" in str(caught.value)
        assert caught.value.__cause__ is None
        assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"userinfo": "guest:hunter2"}, "refuses the user or the password"),
        ({"userinfo": "hunter2:hunter2"}, "refuses the user or the password"),
        ({"path": "/hunter2"}, "no virtual host of that name, or the user may not use it"),
        ({"place": "127.0.0.1:1"}, "the connection was refused"),
        ({"place": "localhost:1"}, "the connection was refused"),
        ({"place": "hunter2.invalid"}, "its host name cannot be resolved"),
        ({"scheme": "amqps"}, "TLS failed"),
        ({"scheme": "amqps", "query": "cafile=/hunter2"}, "No such file"),
    ],
)
async def test_why_there_is_no_connection_is_said_in_words_without_the_url(
    rabbitmq_url: str, change: dict[str, str], said: str
) -> None:
    async def ignore(_: object) -> None:
        raise AssertionError("nothing arrives")

    parts = urlsplit(rabbitmq_url)
    userinfo, _, place = parts.netloc.rpartition("@")
    netloc = f"{change.pop('userinfo', userinfo)}@{change.pop('place', place)}"
    broker = RabbitBroker(urlunsplit(parts._replace(netloc=netloc, **change)), ignore)
    with pytest.raises(BrokerUnavailable) as caught:
        await broker.ping()
    assert said in str(caught.value)
    assert "hunter2" not in str(caught.value)


async def test_a_server_that_is_no_rabbitmq_is_said(postgres_server: str) -> None:
    async def ignore(_: object) -> None:
        raise AssertionError("nothing arrives")

    async with behind(postgres_server) as (_, wire):
        with pytest.raises(BrokerUnavailable, match="check the port"):
            await RabbitBroker(f"amqp://guest:guest@127.0.0.1:{wire.port}/", ignore).ping()


async def test_a_queue_that_was_declared_otherwise_is_said_in_the_servers_words(rabbitmq_url: str) -> None:
    import aio_pika

    async def ignore(_: object) -> None:
        raise AssertionError("nothing arrives")

    async with await aio_pika.connect(rabbitmq_url) as connection:
        channel = await connection.channel()
        await channel.declare_queue("tickets.high")
    broker = RabbitBroker(rabbitmq_url, ignore)
    with pytest.raises(BrokerUnavailable, match=r"PRECONDITION_FAILED - .*tickets\.high"):
        await broker.ping()


async def test_an_error_in_connecting_that_nobody_foresaw_is_said_and_does_not_end_the_consumer(
    rabbitmq_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import aio_pika

    async def ignore(_: object) -> None:
        raise AssertionError("nothing dies")

    connect, failed = aio_pika.connect, asyncio.Event()

    async def fails_once(*args: object, **options: object) -> object:
        if not failed.is_set():
            failed.set()
            raise ZeroDivisionError("nobody thought of this")
        return await connect(*args, **options)  # type: ignore[arg-type]

    sent = message()
    broker = RabbitBroker(rabbitmq_url, ignore)
    await broker.publish([sent])
    monkeypatch.setattr(aio_pika, "connect", fails_once)
    with structlog.testing.capture_logs() as logged:
        async with broker.consume(5) as consumer:
            delivery = await arrival(consumer)
            assert named(delivery) == sent.ticket_id
            await delivery.ack()
    assert [line["event"] for line in logged if line["log_level"] == "error"] == ["broker.consumer_failed"]
    await broker.aclose()


async def test_whoever_waits_for_a_delivery_is_told_when_the_consumer_is_dead(
    adapter: Adapter, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def dies(_: object) -> None:
        raise ZeroDivisionError("not even the outermost loop caught this")

    monkeypatch.setattr(EmbeddedConsumer, "run", dies)
    monkeypatch.setattr(RabbitConsumer, "run", dies)
    async with adapter.broker.consume(5) as consumer:
        with pytest.raises(RuntimeError) as told:
            await arrival(consumer)
        assert isinstance(told.value.__cause__, ZeroDivisionError)


class Unsettled:
    """A gateway on which no message can be settled for a while."""

    def __init__(self, gateway: PostgresGateway) -> None:
        self._gateway = gateway
        self.away = True

    async def call(self, function: str, args: Any) -> Any:
        if self.away and function in ("ticketflow_queue_return", "ticketflow_queue_reject"):
            raise StoreUnavailable("away")
        return await self._gateway.call(function, args)


@pytest.mark.parametrize("how", ["requeue", "reject"])
async def test_a_message_that_could_not_be_settled_comes_again_and_takes_no_room(
    gateway: PostgresGateway, how: str
) -> None:
    store = Unsettled(gateway)
    broker = EmbeddedBroker(cast(Gateway, store), timedelta(milliseconds=300))
    async with broker.consume(2) as consumer:
        await broker.publish([message(), message()])
        for _ in range(2):
            delivery = await arrival(consumer)
            await (delivery.requeue() if how == "requeue" else delivery.reject("no"))
        store.away = False
        again = [await arrival(consumer) for _ in range(2)]
        assert all(delivery.redelivered for delivery in again)


async def test_the_embedded_queue_asks_once_a_message(
    gateway: PostgresGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ticketflow.broker.embedded.POLL_SECONDS", 60.0)
    calls: Counter[str] = Counter()

    class Counting:
        async def call(self, function: str, args: Any) -> Any:
            calls[function] += 1
            return await gateway.call(function, args)

        async def ping(self) -> None: ...

        async def aclose(self) -> None: ...

    broker = EmbeddedBroker(Counting(), timedelta(hours=1))
    await broker.publish([Message(Lane.NORMAL, uuid4(), "created", datetime.now(UTC)) for _ in range(5)])
    async with asyncio.timeout(WAIT), broker.consume(1) as consumer:
        for _ in range(5):
            delivery = await consumer.next()
            await asyncio.sleep(0.05)  # Work on it, in which further looks would be for nothing.
            await delivery.ack()
        while sum((await broker.depths()).values()):  # noqa: ASYNC110 - the last acknowledgement travels alone
            await asyncio.sleep(0.01)
        # The first, one for the word that something was published, and one with each acknowledgement.
        assert calls["ticketflow_queue_take"] == 7
