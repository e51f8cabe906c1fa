"""The relay: what was committed to the outbox is published, however long the broker was away."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import timedelta

import structlog

from ticketflow.broker.messages import Message
from ticketflow.broker.port import Broker
from ticketflow.db.looks import by_time
from ticketflow.db.outbox import Outbox, OutboxRow
from ticketflow.domain.errors import BrokerUnavailable, StoreUnavailable

log = structlog.get_logger()

BATCH = 200
HOLD = timedelta(seconds=5)
"""How long a taken row is left alone; a relay that died with it in hand delays it by this much at most.

Publishing takes milliseconds. Where the broker needs longer than this, another relay publishes the row again, and a
repeated message is harmless; what cannot be published at all is given back at once.
"""

POLL_SECONDS = 1.0
"""How soon rows of other processes are noticed; those of this process wake the relay at once."""

LONGEST_PAUSE_SECONDS = 5.0
"""Between two tries while the broker or the database is away."""


class Relay:
    """Runs in every API and worker process; any number may run at once. ``pause``: seconds between two looks for what
    others left behind; what this process commits is published at once."""

    def __init__(self, outbox: Outbox, broker: Broker, pause: float = POLL_SECONDS) -> None:
        self._pause = pause
        self._outbox = outbox
        self._broker = broker
        self._news = asyncio.Event()
        self._look = by_time()

    def wake(self) -> None:
        """There is something in the outbox now."""
        self._news.set()

    async def run(self) -> None:
        """Publish until cancelled. A broker or database that is away delays messages and loses none.

        What is in hand when the cancellation comes is published first: left alone, it would lie still for ``HOLD``.
        """
        greeting = asyncio.create_task(self._greet())
        try:
            await self._forward()
        finally:
            greeting.cancel()
            await asyncio.gather(greeting, return_exceptions=True)

    async def _greet(self) -> None:
        """Try the broker once, and say so if it is away and when it is back: otherwise a process with a wrong password
        would say nothing until the first message."""
        said = False
        while True:
            try:
                await self._broker.ping()
            except BrokerUnavailable as error:
                if not said:
                    log.warning("relay.broker_away", error=str(error))
                    said = True
                await asyncio.sleep(LONGEST_PAUSE_SECONDS)
                continue
            if said:
                log.info("relay.broker_back")
            return

    async def _forward(self) -> None:
        sent: list[int] = []
        pause = 0.1
        while True:
            self._news.clear()
            turn = asyncio.create_task(self._turn(sent))
            try:
                if await asyncio.shield(turn):
                    pause = 0.1
                    continue
            except asyncio.CancelledError:
                await self._finish(turn, sent)
                raise
            except (BrokerUnavailable, StoreUnavailable) as error:
                log.warning("relay.waiting", error=str(error), retry_in_seconds=pause)
                await asyncio.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
                continue
            except Exception:
                # An outermost loop: without a relay nothing would move, so it goes on whatever it met.
                log.exception("relay.failed")
                await asyncio.sleep(LONGEST_PAUSE_SECONDS)
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._pause):
                    await self._news.wait()

    async def _turn(self, sent: list[int]) -> bool:
        """Forget what was sent, take the next rows and publish them. Returns whether there were any."""
        rows = await self._outbox.take(BATCH, HOLD, sent, self._look.begin_at())
        sent.clear()
        if rows:
            self._look.saw(row.due_at for row in rows)
            await self._publish(rows)
            sent += [row.id for row in rows]
        return bool(rows)

    async def _finish(self, turn: asyncio.Task[bool], sent: list[int]) -> None:
        await asyncio.gather(turn, return_exceptions=True)
        with contextlib.suppress(StoreUnavailable):
            await self._outbox.take(0, HOLD, sent)

    async def _publish(self, rows: list[OutboxRow]) -> None:
        messages = [Message(row.lane, row.ticket_id, row.reason, row.created_at, row.headers) for row in rows]
        try:
            await self._broker.publish(messages)
        except BrokerUnavailable:
            with contextlib.suppress(StoreUnavailable):
                await self._outbox.give_back([row.id for row in rows])
            raise
