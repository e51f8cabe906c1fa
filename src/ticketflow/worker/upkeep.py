"""What every worker does beside the tickets: publish, fire timers, find what nobody would wake, clear away, tally."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import structlog

from ticketflow.broker.relay import Relay
from ticketflow.db.commits import Commits
from ticketflow.db.looks import by_time
from ticketflow.db.outbox import Outbox
from ticketflow.db.retention import Retention
from ticketflow.db.tallies import Tallies
from ticketflow.domain.errors import StoreUnavailable
from ticketflow.services.wake import fire

log = structlog.get_logger()

TIMER_BATCH = 100
TIMER_HOLD = timedelta(seconds=5)
"""How long a due timer is left to the worker that took it. One that fires twice changes the ticket once: the commit is
guarded by the version that came with the timer."""

TIMER_PERIOD = 0.5
"""Times ``rarely``: where each look costs a request, a timer may fire later."""

PRUNE_PERIOD = 60.0
PRUNE_BATCH = 200
"""Tickets whose checkpoints go in one transaction, which takes some ten milliseconds."""

PRUNE_PAUSE = 0.2
"""Between two such transactions while there is more to do: for the most part the database has others to serve."""

TALLY_PERIOD = 10.0
TALLY_BATCH = 500
TALLY_PAUSE = 0.1
"""As with pruning. What is not tallied yet is counted by each request for the statistics."""


class Upkeep:
    """Loops that may run in any number of processes at once. ``sweep_after``: how long a ticket may lie still;
    ``keep_checkpoints``: how long one that is completed keeps its checkpoints, or None for as long as it is there;
    ``rarely``: how many times as long as usual to pause between looks that are mostly in vain."""

    def __init__(
        self,
        outbox: Outbox,
        commits: Commits,
        relay: Relay,
        sweep_after: timedelta,
        retention: Retention,
        keep_checkpoints: timedelta | None,
        tallies: Tallies,
        rarely: float = 1.0,
    ) -> None:
        self._rarely = rarely
        self._outbox = outbox
        self._commits = commits
        self._relay = relay
        self._sweep_after = sweep_after
        self._look = by_time()
        self._retention = retention
        self._keep_checkpoints = keep_checkpoints
        self._tallies = tallies

    async def run(self) -> None:
        """Run until cancelled."""
        sweep_period = min(max(self._sweep_after.total_seconds() / 3, 0.2), 10.0)
        await asyncio.gather(
            self._relay.run(),
            _repeat(self._fire_timers, TIMER_PERIOD * self._rarely),
            _repeat(self._sweep, sweep_period),
            _repeat(self._prune, PRUNE_PERIOD),
            _repeat(self._tally, TALLY_PERIOD),
        )

    async def _fire_timers(self) -> None:
        while timers := await self._outbox.due_timers(TIMER_BATCH, TIMER_HOLD, self._look.begin_at()):
            self._look.saw(timer.due_at for timer in timers)
            await asyncio.gather(*(fire(timer, self._commits, self._outbox) for timer in timers))

    async def _sweep(self) -> None:
        if woken := await self._outbox.sweep(self._sweep_after):
            log.warning("sweeper.woken", tickets=len(woken))
            self._relay.wake()

    async def _prune(self) -> None:
        if self._keep_checkpoints is None:
            return
        more = True
        while more:
            before = datetime.now(UTC) - self._keep_checkpoints
            pruned, more = await self._retention.prune_next(before, PRUNE_BATCH)
            if pruned.checkpoints:
                log.info("retention.pruned", tickets=pruned.tickets, checkpoints=pruned.checkpoints)
            if more:
                await asyncio.sleep(PRUNE_PAUSE)

    async def _tally(self) -> None:
        more = True
        while more:
            _, more = await self._tallies.take_next(TALLY_BATCH)
            if more:
                await asyncio.sleep(TALLY_PAUSE)


async def _repeat(work: Callable[[], Awaitable[None]], period: float) -> None:
    away = False
    while True:
        try:
            await work()
            if away:
                log.info("upkeep.goes_on")
            away = False
        except StoreUnavailable as error:
            if not away:
                log.warning("upkeep.waiting", error=str(error))
            away = True
        except Exception:
            # An outermost loop: one bad row must not stop the timers and the sweeper of the whole process.
            log.exception("upkeep.failed")
        await asyncio.sleep(period)
