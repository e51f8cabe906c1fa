"""RabbitMQ: quorum queues for three lanes, publisher confirms, and a dead-letter queue that is read into the database.

Works on RabbitMQ 3.10 to 4.x. Connections are made anew after a loss; deliveries of a lost connection cannot be
settled any more and come again, which the lease makes harmless.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import NAMESPACE_OID, UUID, uuid4, uuid5

import aio_pika
import aiormq
import structlog
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractExchange, AbstractIncomingMessage

from ticketflow.broker.inbox import Inbox
from ticketflow.broker.messages import Message, readable
from ticketflow.broker.port import Consumer, Delivery
from ticketflow.broker.rabbit_connection import BROKEN, TIMEOUT_SECONDS, close, connect, explained
from ticketflow.domain.errors import BrokerUnavailable, TicketflowError
from ticketflow.domain.routing import Lane
from ticketflow.telemetry.boundaries import crossing

log = structlog.get_logger()

EXCHANGE = "ticketflow"
DEAD_EXCHANGE = "ticketflow.dead"
DEAD_QUEUE = "tickets.dead"
REASON_HEADER = "x-ticketflow-reason"
DELIVERY_LIMIT = 20
"""A message that comes back this often is dead-lettered by the broker; its ticket is then woken by the sweeper."""

FIRST_PAUSE_SECONDS = 0.2
"""Between two tries to connect; each further one doubles it, up to LONGEST_PAUSE_SECONDS."""

LONGEST_PAUSE_SECONDS = 5.0


def queue_name(lane: Lane) -> str:
    return f"tickets.{lane}"


@dataclass(frozen=True, slots=True)
class DeadMessage:
    """A message that ended in the dead-letter queue. ``id`` is the same each time the same message is read."""

    id: UUID
    reason: str
    payload: Mapping[str, Any]


DeadSink = Callable[[DeadMessage], Awaitable[None]]


class RabbitBroker:
    def __init__(self, url: str, on_dead: DeadSink) -> None:
        self._url = url
        self._on_dead = on_dead
        self._connection: AbstractConnection | None = None
        self._channel: AbstractChannel | None = None
        self._exchange: AbstractExchange | None = None
        self._opening = asyncio.Lock()
        self._credit: dict[Lane, int] = {}

    async def publish(self, messages: Sequence[Message]) -> None:
        exchange = await self._publishing()
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                with crossing("broker publish"):
                    # Sent back to back, confirmed together: the broker answers many messages with one confirm.
                    await asyncio.gather(*(self._publish_one(exchange, message) for message in messages))
        except BROKEN as error:
            await self._forget_connection()
            raise BrokerUnavailable(f"RabbitMQ did not take the messages: {explained(error)}") from error

    @staticmethod
    async def _publish_one(exchange: AbstractExchange, message: Message) -> None:
        await exchange.publish(
            aio_pika.Message(
                message.body(),
                content_type="application/json",
                delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
                headers=dict(message.headers),
                message_id=str(uuid4()),
            ),
            routing_key=queue_name(message.lane),
            mandatory=True,
        )

    @contextlib.asynccontextmanager
    async def consume(self, concurrency: int) -> AsyncIterator[Consumer]:
        consumer = RabbitConsumer(self._url, concurrency, self._on_dead, self._credit)
        async with consumer.inbox.filled_by(consumer.run()):
            yield consumer

    async def depths(self) -> Mapping[Lane, int]:
        await self._publishing()
        assert self._connection is not None
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS), await self._connection.channel() as channel:
                counts = {}
                for lane in Lane:
                    queue = await channel.declare_queue(queue_name(lane), passive=True)
                    counts[lane] = queue.declaration_result.message_count or 0
                return counts
        except BROKEN as error:
            raise BrokerUnavailable(f"RabbitMQ did not answer: {explained(error)}") from error

    async def ping(self) -> None:
        await self._publishing()

    async def aclose(self) -> None:
        await self._forget_connection()

    async def _publishing(self) -> AbstractExchange:
        async with self._opening:
            usable = (
                self._connection is not None
                and not self._connection.is_closed
                and self._channel is not None
                and not self._channel.is_closed
            )
            if not usable or self._exchange is None:
                await self._forget_connection()
                self._connection = await connect(self._url)
                try:
                    async with asyncio.timeout(TIMEOUT_SECONDS):
                        self._channel = await self._connection.channel(publisher_confirms=True, on_return_raises=True)
                        self._exchange = await declare_topology(self._channel)
                except BROKEN as error:
                    await self._forget_connection()
                    raise BrokerUnavailable(f"RabbitMQ refused the topology: {explained(error)}") from error
            return self._exchange

    async def _forget_connection(self) -> None:
        connection, self._connection, self._channel, self._exchange = self._connection, None, None, None
        if connection is not None:
            await close(connection)


class RabbitDelivery:
    def __init__(self, message: AbstractIncomingMessage, lane: Lane) -> None:
        self._message = message
        self.lane = lane
        self.body = message.body
        self.headers = {
            key: value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
            for key, value in (message.headers or {}).items()
        }
        self.redelivered = bool(message.redelivered or (message.headers or {}).get("x-delivery-count"))

    async def ack(self) -> None:
        with crossing("broker ack"):
            await self._settle(self._message.ack())

    async def requeue(self) -> None:
        with crossing("broker requeue"):
            await self._settle(self._message.nack(requeue=True))

    async def reject(self, reason: str) -> None:
        """Publish to the dead letters with the reason, then ack; without a connection the broker delivers it again."""
        channel = self._message.channel
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                with crossing("broker reject"):
                    await channel.basic_publish(
                        self.body,
                        exchange=DEAD_EXCHANGE,
                        routing_key=DEAD_QUEUE,
                        properties=aiormq.spec.Basic.Properties(
                            delivery_mode=2,
                            message_id=str(uuid4()),
                            headers={**self.headers, REASON_HEADER: reason[:1000]},
                        ),
                        mandatory=True,
                    )
        except BROKEN as error:
            log.warning("broker.reject_failed", error=explained(error))
            return
        await self.ack()

    @staticmethod
    async def _settle(settling: Awaitable[None]) -> None:
        try:
            await settling
        except BROKEN as error:
            # The connection is gone and the broker has given the message to someone else already.
            log.info("broker.settle_too_late", error=explained(error))


class RabbitConsumer:
    """Keeps a consuming connection open until it is cancelled."""

    def __init__(self, url: str, concurrency: int, on_dead: DeadSink, credit: dict[Lane, int]) -> None:
        self._url = url
        self._concurrency = concurrency
        self._on_dead = on_dead
        self.inbox: Inbox[RabbitDelivery] = Inbox(credit)

    async def next(self) -> Delivery:
        return await self.inbox.next()

    async def run(self) -> None:
        pause = FIRST_PAUSE_SECONDS
        while True:
            try:
                connection = await connect(self._url)
                try:
                    closed = await self._start(connection)
                    pause = FIRST_PAUSE_SECONDS
                    if error := await closed:
                        raise error
                finally:
                    # What is still in the inbox was never started: the broker gives it to someone else.
                    self.inbox.clear()
                    await close(connection)
            except BrokerUnavailable as away:
                log.warning("broker.unavailable", error=str(away), retry_in_seconds=pause)
            except BROKEN as lost:
                log.warning("broker.connection_lost", error=explained(lost))
            except Exception:
                # The outermost loop of the consumer: were it to end, the worker would wait for ever and say nothing.
                log.exception("broker.consumer_failed")
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)

    async def _start(self, connection: AbstractConnection) -> asyncio.Future[BaseException | None]:
        """Consume from every lane. The future is done once that has ended."""
        closed: asyncio.Future[BaseException | None] = asyncio.get_running_loop().create_future()

        def on_close(_: Any, error: BaseException | None) -> None:
            if not closed.done():
                closed.set_result(error)

        def on_cancel(_: Any) -> None:
            # The channel stays open without a word when a queue is deleted; only a new start declares it again.
            on_close(None, ConnectionAbortedError(errno.ECONNABORTED, "a queue was deleted"))

        async with asyncio.timeout(TIMEOUT_SECONDS):
            channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
            (await channel.get_underlay_channel()).on_consumer_cancel_callbacks.add(on_cancel)
            await declare_topology(channel)
            await channel.set_qos(prefetch_count=self._concurrency)
            channel.close_callbacks.add(on_close)
            connection.close_callbacks.add(on_close)
            for lane in Lane:
                queue = await channel.get_queue(queue_name(lane), ensure=False)
                await queue.consume(self._receiver(lane))
            dead = await channel.get_queue(DEAD_QUEUE, ensure=False)
            await dead.consume(self._receive_dead)
        log.info("broker.consuming", concurrency=self._concurrency)
        return closed

    def _receiver(self, lane: Lane) -> Callable[[AbstractIncomingMessage], Awaitable[None]]:
        async def receive(message: AbstractIncomingMessage) -> None:
            self.inbox.put(lane, RabbitDelivery(message, lane))

        return receive

    async def _receive_dead(self, message: AbstractIncomingMessage) -> None:
        dead = dead_message(message.body, message.headers or {}, message.message_id, message.routing_key)
        while True:
            try:
                await self._on_dead(dead)
            except TicketflowError as error:
                # Kept meanwhile: given back again and again it would meet the delivery limit that RabbitMQ 4 has for
                # every quorum queue, and behind this one there is none to end in.
                log.warning("dead_letter.not_recorded", error=str(error))
                await asyncio.sleep(1)
                continue
            with crossing("broker ack of a dead letter"), contextlib.suppress(*BROKEN):
                await message.ack()
            return


def dead_message(body: bytes, headers: Mapping[str, Any], message_id: str | None, queue: str | None) -> DeadMessage:
    """What the dead-letter queue holds, for the record. The same message read twice has the same id."""
    deaths = headers.get("x-death")
    death = deaths[0] if isinstance(deaths, list) and deaths and isinstance(deaths[0], Mapping) else {}
    reason = headers.get(REASON_HEADER) or f"dead-lettered by the broker: {death.get('reason', 'unknown')}"
    identity = f"{message_id}|{death.get('time')}|{readable(body)}"
    return DeadMessage(
        id=uuid5(NAMESPACE_OID, identity.encode("utf-8", "replace").decode()),
        reason=_readable_text(reason),
        payload={"body": readable(body), "queue": _readable_text(death.get("queue") or queue)},
    )


def _readable_text(value: object) -> str:
    """A header's value for the record; whoever can publish can put anything there."""
    return readable(value if isinstance(value, bytes) else str(value).encode("utf-8", "replace"))[:1000]


async def declare_topology(channel: AbstractChannel) -> AbstractExchange:
    """Exchanges and queues, as they must be on every server; declaring what exists already changes nothing."""
    exchange = await channel.declare_exchange(EXCHANGE, aio_pika.ExchangeType.DIRECT, durable=True)
    dead_exchange = await channel.declare_exchange(DEAD_EXCHANGE, aio_pika.ExchangeType.FANOUT, durable=True)
    dead_queue = await channel.declare_queue(DEAD_QUEUE, durable=True, arguments={"x-queue-type": "quorum"})
    await dead_queue.bind(dead_exchange)
    for lane in Lane:
        queue = await channel.declare_queue(
            queue_name(lane),
            durable=True,
            arguments={
                "x-queue-type": "quorum",
                "x-delivery-limit": DELIVERY_LIMIT,
                "x-dead-letter-exchange": DEAD_EXCHANGE,
                "x-dead-letter-strategy": "at-least-once",
                "x-overflow": "reject-publish",
            },
        )
        await queue.bind(exchange, routing_key=queue_name(lane))
    return exchange
