"""A transaction that stays open keeps every dead row; what is taken by the thousand is found at the same cost.

The cost of a look is the number of index entries that it went through, as PostgreSQL counted them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from tests.contract.test_query_plans import Counting
from ticketflow.broker.embedded import POLL_SECONDS, EmbeddedBroker, EmbeddedConsumer
from ticketflow.broker.messages import Message
from ticketflow.broker.relay import Relay
from ticketflow.db.looks import by_number, by_time
from ticketflow.db.outbox import Outbox
from ticketflow.domain.routing import Lane

DEAD = 20_000
ENTRIES = 1_500
"""What a look may go through. From the beginning, it goes through all the dead ones."""

HOLD = timedelta(hours=1)


@pytest.fixture
def held(database_url: str) -> Iterator[None]:
    """Somebody looked at the database and went away."""
    with psycopg.connect(database_url) as session:
        session.execute("set transaction isolation level repeatable read")
        session.execute("select 1 from tickets")
        yield


@pytest.fixture
async def counting(database_url: str, held: None) -> AsyncIterator[Counting]:
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        yield Counting(connection)


async def entries(counting: Counting, index: str, work: Callable[[], Awaitable[Any]]) -> int:
    before = await counting.read_from(index)
    await work()
    return await counting.read_from(index) - before


async def test_the_outbox(counting: Counting) -> None:
    """Filled and emptied by the relay, over and over, and then one more row."""
    await counting.run(
        "insert into outbox (ticket_id, lane, reason, created_at, available_at)"
        f" select gen_random_uuid(), 'normal', 'x', now() - n * interval '1 s', now() - n * interval '1 s'"
        f" from generate_series(61, {DEAD} + 60) n"
    )
    relay, nobody = Relay(Outbox(counting), Nowhere()), Relay(Outbox(counting), Nowhere())
    relay._look = by_time(HOLD)
    sent: list[int] = []
    while await relay._turn(sent):
        pass
    one_more = "insert into outbox (ticket_id, lane, reason) values (gen_random_uuid(), 'normal', 'x')"
    await counting.run(one_more)
    assert await entries(counting, "outbox_by_availability", lambda: relay._turn(sent)) < ENTRIES
    assert len(sent) == 1
    assert await entries(counting, "outbox_by_availability", lambda: nobody._turn([])) >= DEAD


async def test_timers(counting: Counting) -> None:
    await counting.run(
        "insert into timers (ticket_id, kind, due_at)"
        f" select gen_random_uuid(), 'retry', now() - n * interval '1 s' from generate_series(61, {DEAD} + 60) n"
    )
    outbox, look = Outbox(counting), by_time(HOLD)
    while timers := await outbox.due_timers(1000, HOLD, look.begin_at()):
        look.saw(timer.due_at for timer in timers)
        await counting.run("delete from timers where ticket_id = any (%s)", [timer.ticket_id for timer in timers])
    await counting.run("insert into timers values (gen_random_uuid(), 'retry', now())")
    found: list[Any] = []

    async def one_more() -> None:
        found.extend(await outbox.due_timers(1000, HOLD, look.begin_at()))

    assert await entries(counting, "timers_by_due", one_more) < ENTRIES
    assert len(found) == 1
    assert await entries(counting, "timers_by_due", lambda: outbox.due_timers(1000, HOLD)) >= DEAD


async def test_the_embedded_queue(counting: Counting) -> None:
    await counting.run(
        f"insert into queue_messages (lane, body) select 'normal', '{{}}' from generate_series(1, {DEAD})"
    )
    consumer, stranger = (a_consumer(counting) for _ in range(2))
    await consumer._take()
    while consumer._in_hand:
        for delivery in [await consumer.next() for _ in range(len(consumer._in_hand))]:
            await delivery.ack()
        await consumer._take()
    await EmbeddedBroker(counting, HOLD).publish([message()])
    assert await entries(counting, "queue_messages_ready", consumer._take) < ENTRIES
    assert len(consumer._in_hand) == 1
    assert await entries(counting, "queue_messages_ready", stranger._take) >= DEAD


def a_consumer(counting: Counting) -> EmbeddedConsumer:
    consumer = EmbeddedConsumer(counting, 500, HOLD, asyncio.Event(), {}, POLL_SECONDS)
    consumer._looks = {lane: by_number(HOLD) for lane in Lane}
    return consumer


def message() -> Message:
    return Message(Lane.NORMAL, uuid4(), "test", datetime.now(UTC), {})


class Nowhere:
    async def publish(self, messages: Any) -> None:
        """A broker that has everything at once."""

    async def ping(self) -> None: ...
