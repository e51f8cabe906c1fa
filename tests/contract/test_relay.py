"""The relay: from the outbox to the broker, and nothing left in its hands."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from tests.support.trails import new_ticket
from ticketflow.broker.embedded import EmbeddedBroker
from ticketflow.broker.messages import Message, parse
from ticketflow.broker.port import Broker
from ticketflow.broker.rabbitmq import DeadMessage, RabbitBroker
from ticketflow.broker.relay import HOLD, Relay
from ticketflow.db.commits import Commits
from ticketflow.db.outbox import Outbox
from ticketflow.db.postgres import PostgresGateway
from ticketflow.db.reads import Reads
from ticketflow.domain.errors import BrokerUnavailable


class Halting:
    """A gateway that stops once, before or after a function was called, until ``go_on``."""

    def __init__(self, gateway: PostgresGateway, function: str, *, after: bool) -> None:
        self._gateway = gateway
        self._function = function
        self._after = after
        self.halted = asyncio.Event()
        self.go_on = asyncio.Event()

    async def call(self, function: str, args: Any) -> Any:
        here = function == self._function and not self.halted.is_set()
        if here and not self._after:
            await self._halt()
        answer = await self._gateway.call(function, args)
        if here and self._after:
            await self._halt()
        return answer

    async def ping(self) -> None:
        await self._gateway.ping()

    async def aclose(self) -> None:
        await self._gateway.aclose()

    async def _halt(self) -> None:
        self.halted.set()
        await self.go_on.wait()


class Recording(EmbeddedBroker):
    """A broker that remembers what it carried; ``away`` refuses everything."""

    def __init__(self, gateway: Any, *, away: bool = False) -> None:
        super().__init__(gateway, HOLD)
        self.published: list[UUID] = []
        self._away = away

    async def publish(self, messages: Sequence[Message]) -> None:
        if self._away:
            raise BrokerUnavailable("away")
        await super().publish(messages)
        self.published += [message.ticket_id for message in messages]


@pytest.mark.parametrize(
    ("function", "after"),
    [("ticketflow_outbox_take", True), ("ticketflow_queue_put", False), ("ticketflow_queue_put", True)],
    ids=["taken", "publishing", "published"],
)
async def test_a_relay_that_is_stopped_publishes_what_it_has_in_hand_first(
    commits: Commits, gateway: PostgresGateway, database_url: str, function: str, after: bool
) -> None:
    tickets = {await new_ticket(commits) for _ in range(3)}
    halting = Halting(gateway, function, after=after)
    broker = Recording(halting)
    relay = asyncio.create_task(Relay(Outbox(halting), broker).run())
    await halting.halted.wait()
    relay.cancel()
    halting.go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await relay
    assert (len(broker.published), set(broker.published)) == (3, tickets)
    assert await gateway.call("ticketflow_queue_depth", {}) == {"normal": 3}
    # Nothing is left behind for another relay to publish again.
    with psycopg.connect(database_url) as connection:
        assert connection.execute("select count(*) from outbox").fetchone() == (0,)


async def test_a_relay_that_is_stopped_while_the_broker_is_away_leaves_its_rows_to_the_next_at_once(
    commits: Commits, gateway: PostgresGateway
) -> None:
    ticket = await new_ticket(commits)
    halting = Halting(gateway, "ticketflow_outbox_take", after=True)
    relay = asyncio.create_task(Relay(Outbox(halting), Recording(halting, away=True)).run())
    await halting.halted.wait()
    relay.cancel()
    halting.go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await relay
    assert [row.ticket_id for row in await Outbox(gateway).take(10, HOLD)] == [ticket]


UNUSABLE = {
    "a lane of no broker": ("nolane", "bad", "{}"),
    "headers that are a list": ("normal", "bad", "[1, 2]"),
    "headers that are a text": ("normal", "bad", '"str"'),
    "headers that are nothing": ("normal", "bad", "null"),
    "a header that is no text": ("normal", "bad", '{"x-request-id": 7}'),
    "a header with parts": ("normal", "bad", '{"x-request-id": {"a": ["b"]}}'),
    "a header with no end": ("normal", "bad", '{"x-request-id": 1e400}'),
    "a header without a name": ("normal", "bad", '{"": "x"}'),
    "a header with a huge name": ("normal", "bad", json.dumps({"x" * 129: "x"})),
    "headers larger than a frame": ("normal", "bad", json.dumps({"x": "x" * 200_000})),
    "a huge reason": ("normal", "bad" * 100_000, "{}"),
}


@pytest.fixture(params=["rabbitmq", "embedded"])
async def broker(request: pytest.FixtureRequest, gateway: PostgresGateway) -> AsyncIterator[Broker]:
    if request.param == "embedded":
        yield EmbeddedBroker(gateway, HOLD)
        return

    async def nothing_dies(dead: DeadMessage) -> None:
        raise AssertionError(dead)

    rabbit = RabbitBroker(request.getfixturevalue("rabbitmq_url"), nothing_dies)
    yield rabbit
    await rabbit.aclose()


async def test_rows_that_cannot_be_messages_go_to_the_dead_letters_and_hold_nobody_up(
    broker: Broker, commits: Commits, outbox: Outbox, reads: Reads, database_url: str
) -> None:
    unusable = {uuid4(): values for values in UNUSABLE.values()}
    with psycopg.connect(database_url) as connection:
        for ticket_id, values in unusable.items():
            connection.execute(
                "insert into outbox (ticket_id, lane, reason, headers) values (%s, %s, %s, %s)", (ticket_id, *values)
            )
        connection.execute(
            "insert into outbox (ticket_id, lane, reason, created_at) values (%s, 'normal', 'bad', 'infinity')",
            (never := uuid4(),),
        )
    tickets = {await new_ticket(commits) for _ in range(3)}
    relay = asyncio.create_task(Relay(outbox, broker).run())
    arrived = set()
    async with asyncio.timeout(20), broker.consume(10) as consumer:
        while arrived < tickets:
            delivery = await consumer.next()
            arrived.add(parse(delivery.body, delivery.headers).ticket_id)
            await delivery.ack()
    relay.cancel()
    await asyncio.gather(relay, return_exceptions=True)
    assert arrived == tickets
    letters = await reads.dead_letters(limit=50)
    assert {letter.ticket_id for letter in letters} == {*unusable, never}
    assert {(letter.kind, letter.reason, letter.payload["queue"]) for letter in letters} == {
        ("message", "message", "outbox")
    }
    details = sorted(letter.detail.partition(": ")[2] for letter in letters)
    assert sum("lane" in detail for detail in details) == 1
    assert sum("headers" in detail for detail in details) == 9
    with psycopg.connect(database_url) as connection:
        assert connection.execute("select count(*) from outbox").fetchone() == (0,)


@pytest.mark.parametrize(
    "headers", [{"x": "x" * 8000}, {"x" * 128: "y"}, {"é\n\x7f\U0001f600": "\x01\x1f\U0001f600"}, {"x-death": "x"}]
)
async def test_every_row_that_counts_as_a_message_is_taken_by_the_broker(
    broker: Broker, outbox: Outbox, database_url: str, headers: dict[str, str]
) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute(
            "insert into outbox (ticket_id, lane, reason, headers) values (%s, 'low', %s, %s)",
            (uuid4(), "\U0001f600" * 1000, json.dumps(headers)),
        )
    [row] = await outbox.take(10, HOLD)
    await broker.publish([Message(row.lane, row.ticket_id, row.reason, row.created_at, row.headers)])
    async with asyncio.timeout(20), broker.consume(10) as consumer:
        delivery = await consumer.next()
        assert parse(delivery.body, delivery.headers).ticket_id == row.ticket_id
        assert {name: delivery.headers[name] for name in headers} == headers
        await delivery.ack()


async def test_a_row_met_twice_is_one_dead_letter(outbox: Outbox, reads: Reads, database_url: str) -> None:
    for _ in range(2):
        with psycopg.connect(database_url) as connection:
            connection.execute(
                "insert into outbox (id, ticket_id, lane, reason, created_at) overriding system value "
                "values (7, '00000000-0000-4000-8000-000000000000', 'nolane', 'bad', '2026-01-01')"
            )
        assert await outbox.take(10, HOLD) == []
    assert len(await reads.dead_letters(limit=50)) == 1
