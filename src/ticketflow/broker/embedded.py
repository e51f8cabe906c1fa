"""The embedded queue: messages in PostgreSQL, for the size where one database is enough.

Keeps the promises of the RabbitMQ adapter: at least once, three lanes, redelivery when a consumer is gone.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import uuid4

import structlog

from ticketflow.broker.inbox import Inbox
from ticketflow.broker.messages import Message, readable
from ticketflow.broker.port import Consumer, Delivery
from ticketflow.db.batching import in_parts
from ticketflow.db.codec import milliseconds
from ticketflow.db.gateway import Gateway
from ticketflow.db.looks import by_number
from ticketflow.domain.errors import BrokerUnavailable, StoreUnavailable, TicketflowError
from ticketflow.domain.routing import Lane
from ticketflow.telemetry.boundaries import crossing

log = structlog.get_logger()

POLL_SECONDS = 0.25
"""How soon a message of another process is noticed; those of this process are noticed at once."""

LEAST_BEAT_SECONDS = 1.0
"""How long an answer is waited for at least, however soon a consumer counts as gone."""

PAUSE_WITHOUT_STORE = 1.0
"""Seconds between two tries while the database is away."""

QUIET_SECONDS = 10.0
"""How long a consumer without a message goes on looking as often as while messages come."""


def next_pause(idle: float, longest: float) -> float:
    """Seconds until the next look of a consumer that had nothing to do for so many."""
    return longest if idle > QUIET_SECONDS else POLL_SECONDS


class EmbeddedBroker:
    """``takeover``: the messages of a consumer that is gone come again within this time. ``longest_pause``: seconds
    between two looks of a consumer that has nothing to do, which where each costs a request should be rare."""

    def __init__(self, gateway: Gateway, takeover: timedelta, longest_pause: float = POLL_SECONDS) -> None:
        self._gateway = gateway
        self._takeover = takeover
        self._longest_pause = longest_pause
        self._news = asyncio.Event()
        self._credit: dict[Lane, int] = {}

    async def publish(self, messages: Sequence[Message]) -> None:
        rows = [
            {"lane": message.lane, "body": message.body().decode(), "headers": dict(message.headers)}
            for message in messages
        ]
        try:
            with crossing("broker publish"):
                await in_parts(rows, self._put)
        except StoreUnavailable as error:
            raise BrokerUnavailable(str(error)) from error
        self._news.set()

    async def _put(self, rows: Sequence[Mapping[str, Any]]) -> None:
        await self._gateway.call("ticketflow_queue_put", {"messages": list(rows)})

    @contextlib.asynccontextmanager
    async def consume(self, concurrency: int) -> AsyncIterator[Consumer]:
        consumer = EmbeddedConsumer(
            self._gateway, concurrency, self._takeover, self._news, self._credit, self._longest_pause
        )
        try:
            async with consumer.inbox.filled_by(consumer.run()):
                yield consumer
        finally:
            with contextlib.suppress(StoreUnavailable):
                await consumer.leave()

    async def depths(self) -> Mapping[Lane, int]:
        try:
            counts = await self._gateway.call("ticketflow_queue_depth", {})
        except StoreUnavailable as error:
            raise BrokerUnavailable(str(error)) from error
        return {lane: counts.get(lane, 0) for lane in Lane}

    async def ping(self) -> None:
        try:
            await self._gateway.ping()
        except StoreUnavailable as error:
            raise BrokerUnavailable(str(error)) from error

    async def aclose(self) -> None:
        """Nothing of its own to close: the gateway belongs to whoever made it."""


class EmbeddedDelivery:
    def __init__(self, consumer: EmbeddedConsumer, row: Mapping[str, Any]) -> None:
        self._consumer = consumer
        self.id: int = row["id"]
        self.lane = Lane(row["lane"])
        self.body: bytes = row["body"].encode()
        self.headers: dict[str, str] = row["headers"]
        self.redelivered: bool = row["deliveries"] > 1

    async def ack(self) -> None:
        with crossing("broker ack"):
            self._consumer.settle(self)

    async def requeue(self) -> None:
        with crossing("broker requeue"):
            await self._consumer.give_back(self)

    async def reject(self, reason: str) -> None:
        with crossing("broker reject"):
            await self._consumer.bury(self, reason)


class EmbeddedConsumer:
    """Takes messages while it has room, and tells the database that it is alive.

    Acks travel with the next take: one call both forgets what is done and fetches what is next.
    """

    def __init__(
        self,
        gateway: Gateway,
        concurrency: int,
        takeover: timedelta,
        news: asyncio.Event,
        credit: dict[Lane, int],
        longest_pause: float,
    ) -> None:
        self._gateway = gateway
        self._longest_pause = longest_pause
        self._concurrency = concurrency
        # The last sign of life may come just before the end, and the others' look just before that was too long ago;
        # what is left is for the claims of those who take over.
        self.beat_every = takeover / 6
        self.gone_after = 3 * self.beat_every
        self._news = news
        self._id = str(uuid4())
        self.inbox: Inbox[EmbeddedDelivery] = Inbox(credit)
        self._in_hand: dict[int, Lane] = {}
        self._done: set[int] = set()
        self._taking: asyncio.Task[bool] | None = None
        self._looks = {lane.value: by_number() for lane in Lane}

    async def next(self) -> Delivery:
        return await self.inbox.next()

    def settle(self, delivery: EmbeddedDelivery) -> None:
        self._in_hand.pop(delivery.id, None)
        self._done.add(delivery.id)
        self._news.set()

    async def give_back(self, delivery: EmbeddedDelivery) -> None:
        await self._let_go(delivery, "ticketflow_queue_return", {"ids": [delivery.id]})

    async def bury(self, delivery: EmbeddedDelivery, reason: str) -> None:
        await self._let_go(
            delivery,
            "ticketflow_queue_reject",
            {
                "id": delivery.id,
                "dead_letter_id": str(uuid4()),
                "reason": "message",
                "detail": reason,
                "payload": {"body": readable(delivery.body), "queue": f"tickets.{delivery.lane}"},
            },
        )

    async def _let_go(self, delivery: EmbeddedDelivery, function: str, args: dict[str, Any]) -> None:
        # First of all no longer in hand: whatever becomes of the call, the next beat frees what is not.
        self._in_hand.pop(delivery.id, None)
        self._start_again()
        try:
            await self._gateway.call(function, {"consumer": self._id, **args})
        except TicketflowError as error:
            log.warning("broker.settle_failed", error=str(error))

    async def leave(self) -> None:
        """Forget what is done, give back the rest."""
        if self._taking is not None:
            # One that is under way would take in the name of somebody who has left, for nobody to work on.
            await asyncio.gather(self._taking, return_exceptions=True)
        if self._done:
            await self._gateway.call(
                "ticketflow_queue_take", {"consumer": self._id, "done": list(self._done), "lanes": {}}
            )
        await self._gateway.call("ticketflow_queue_leave", {"consumer": self._id})

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        next_beat = loop.time()
        busy_until, away = loop.time(), False
        while True:
            try:
                if loop.time() >= next_beat:
                    await self._beat()
                    next_beat = loop.time() + self.beat_every.total_seconds()
                self._taking = asyncio.create_task(self._take())
                found = await asyncio.shield(self._taking)
            except StoreUnavailable as error:
                if not away:
                    log.warning("broker.unavailable", error=str(error))
                away = True
                # A lost answer may have left messages in our name that we never saw: the next beat gives them back.
                next_beat = loop.time()
                await asyncio.sleep(PAUSE_WITHOUT_STORE)
                continue
            except Exception:
                # The outermost loop of the consumer: were it to end, the worker would wait for ever and say nothing.
                log.exception("broker.consumer_failed")
                await asyncio.sleep(PAUSE_WITHOUT_STORE)
                continue
            if away:
                log.info("broker.back")
                away = False
            # Each lane has given as much as there was room for, or all it had.
            if found or self._in_hand:
                busy_until = loop.time()
            pause = next_pause(loop.time() - busy_until, self._longest_pause)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(pause, next_beat - loop.time())):
                    await self._news.wait()
            self._news.clear()

    def _start_again(self) -> None:
        for look in self._looks.values():
            look.start_again()

    async def _beat(self) -> None:
        freed = await self._answer(
            "ticketflow_queue_beat",
            {
                "consumer": self._id,
                "ttl_ms": milliseconds(self.gone_after),
                "keep": [*self._in_hand, *self._done],
            },
        )
        if freed:
            self._start_again()

    async def _answer(self, function: str, args: dict[str, Any]) -> Any:
        """A call that hangs must not keep the next sign of life back: to the others we would be gone."""
        try:
            async with asyncio.timeout(max(self.beat_every.total_seconds(), LEAST_BEAT_SECONDS)):
                return await self._gateway.call(function, args)
        except TimeoutError as error:
            raise StoreUnavailable("the database did not answer in time") from error

    async def _take(self) -> bool:
        """Whether there were any messages."""
        room = {
            lane.value: free
            for lane in Lane
            if (free := self._concurrency - sum(1 for taken in self._in_hand.values() if taken is lane)) > 0
        }
        done = list(self._done)
        if not room and not done:
            return False
        begin_at = {lane: first for lane in room if (first := self._looks[lane].begin_at()) is not None}
        rows = await self._answer(
            "ticketflow_queue_take", {"consumer": self._id, "done": done, "lanes": room, "from": begin_at}
        )
        self._done.difference_update(done)
        for row in rows:
            self._looks[row["lane"]].saw([row["id"]])
            delivery = EmbeddedDelivery(self, row)
            self._in_hand[delivery.id] = delivery.lane
            self.inbox.put(delivery.lane, delivery)
        return bool(rows)
