"""The relay: from the outbox to the broker, and nothing left in its hands."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import psycopg
import pytest

from tests.support.trails import new_ticket
from ticketflow.broker.embedded import EmbeddedBroker
from ticketflow.broker.messages import Message
from ticketflow.broker.relay import HOLD, Relay
from ticketflow.db.commits import Commits
from ticketflow.db.outbox import Outbox
from ticketflow.db.postgres import PostgresGateway
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
