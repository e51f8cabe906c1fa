"""What every worker does beside the tickets: publish, fire timers, and find what nobody would wake."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import structlog

from ticketflow.broker.relay import Relay
from ticketflow.db.commits import Commits
from ticketflow.db.outbox import Outbox
from ticketflow.domain.errors import StoreUnavailable
from ticketflow.services.wake import fire

log = structlog.get_logger()

TIMER_BATCH = 100
TIMER_HOLD = timedelta(seconds=5)
"""How long a due timer is left to the worker that took it. One that fires twice changes the ticket once: the commit is
guarded by the version that came with the timer."""

TIMER_PERIOD = 0.5


class Upkeep:
    """Three loops that may run in any number of processes at once. ``sweep_after``: how long a ticket may lie still."""

    def __init__(self, outbox: Outbox, commits: Commits, relay: Relay, sweep_after: timedelta) -> None:
        self._outbox = outbox
        self._commits = commits
        self._relay = relay
        self._sweep_after = sweep_after

    async def run(self) -> None:
        """Run until cancelled."""
        sweep_period = min(max(self._sweep_after.total_seconds() / 3, 0.2), 10.0)
        await asyncio.gather(
            self._relay.run(), _repeat(self._fire_timers, TIMER_PERIOD), _repeat(self._sweep, sweep_period)
        )

    async def _fire_timers(self) -> None:
        while timers := await self._outbox.due_timers(TIMER_BATCH, TIMER_HOLD):
            await asyncio.gather(*(fire(timer, self._commits, self._outbox) for timer in timers))

    async def _sweep(self) -> None:
        if woken := await self._outbox.sweep(self._sweep_after):
            log.warning("sweeper.woken", tickets=len(woken))
            self._relay.wake()


async def _repeat(work: Callable[[], Awaitable[None]], period: float) -> None:
    while True:
        try:
            await work()
        except StoreUnavailable as error:
            log.warning("upkeep.waiting", error=str(error))
        except Exception:
            # An outermost loop: one bad row must not stop the timers and the sweeper of the whole process.
            log.exception("upkeep.failed")
        await asyncio.sleep(period)
