"""Ticketflow's side of ``--crash`` and ``--compare``: worker processes on one queue, some of them killed on the way."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from uuid import UUID

from ticketflow.cli.demo.plan import IN_HAND, WORKERS, Moment, Plan
from ticketflow.cli.demo.processes import Child, Children
from ticketflow.cli.demo.shop import take_in
from ticketflow.cli.demo.trails import ended, holder, pid_of, steps_done
from ticketflow.domain.events import Event, EventType
from ticketflow.domain.tickets import Ticket
from ticketflow.services.verify import Verdict, verify
from ticketflow.wiring import Application

POLL_SECONDS = 0.1
PATIENCE_SECONDS = 600
WORKER = "ticketflow.cli.demo.worker"
IN_FLIGHT = WORKERS * IN_HAND


@dataclass(slots=True)
class Held:
    """A ticket in a killed worker's hand: ``number`` from 0 on, ``steps`` committed by then. ``after`` so many seconds
    ``by`` took it over, or nobody had to, because the worker's last commit had ended it."""

    number: int
    ticket_id: UUID
    steps: int
    by: int | None = None
    after: float | None = None


@dataclass(slots=True)
class Kill:
    """``at``: seconds after the first question to the model."""

    pid: int
    worker: str
    at: float
    held: list[Held]


@dataclass(slots=True)
class Running:
    """What is known while it runs; the screen shows it, the report is made of it."""

    ids: list[UUID] = field(default_factory=list)
    trails: dict[UUID, list[Event]] = field(default_factory=dict)
    workers: dict[int, Child] = field(default_factory=dict)
    kills: list[Kill] = field(default_factory=list)
    calls: int = 0
    started: float | None = None
    seconds: float | None = None
    tickets: list[Ticket] = field(default_factory=list)
    verdict: Verdict | None = None

    def asked(self) -> None:
        if self.started is None:
            self.started = time.monotonic()
        self.calls += 1

    def elapsed(self) -> float:
        """Seconds since the first question, up to the end."""
        if self.seconds is not None or self.started is None:
            return self.seconds or 0.0
        return time.monotonic() - self.started

    def in_hand(self, pid: int) -> list[UUID]:
        """The tickets that the trails show with this worker."""
        return [ticket_id for ticket_id, trail in self.trails.items() if pid_of(holder(trail)) == pid]


class Show:
    """Runs the tickets. ``tell`` hears each time that a worker is killed and that a ticket is taken over."""

    def __init__(self, app: Application, children: Children, plan: Plan, tell: Callable[[str], None]) -> None:
        self._app = app
        self._children = children
        self._plan = plan
        self._random = Random(plan.seed)
        self._due: float | None = None
        self.now = Running()
        self._tell = tell

    async def run(self) -> None:
        """Until every ticket has ended, with the audit at the end. Raises ``TicketflowError`` when a worker fails."""
        now = self.now
        relay = asyncio.create_task(self._app.relay.run())
        try:
            for _ in range(WORKERS):
                await self._start_worker()
            now.ids = await take_in(self._app, self._plan.job.tickets)
            now.trails = {ticket_id: [] for ticket_id in now.ids}
            deadline = time.monotonic() + PATIENCE_SECONDS
            while time.monotonic() < deadline and not all(map(ended, now.trails.values())):
                await self._look()
                await self._kill_when_due()
                await asyncio.sleep(POLL_SECONDS)
            now.seconds = now.elapsed()
            await asyncio.gather(*(worker.leave() for worker in now.workers.values()))
            now.workers.clear()
        finally:
            relay.cancel()
            await asyncio.gather(relay, return_exceptions=True)
        found = [await self._app.reads.ticket(ticket_id) for ticket_id in now.ids]
        now.tickets = [ticket for ticket in found if ticket is not None]
        now.verdict = await verify(self._app.reads)

    async def _start_worker(self) -> None:
        child = await self._children.start(WORKER, self._plan.job, lambda *_: self.now.asked())
        self.now.workers[child.pid] = child

    async def _look(self) -> None:
        for worker in self.now.workers.values():
            worker.blame()
        trails = self.now.trails
        for event in await self._app.reads.events_of({ticket_id: len(trail) for ticket_id, trail in trails.items()}):
            trails[event.ticket_id].append(event)
            if event.event_type == EventType.RETRY and "previous_worker" in event.payload:
                self._taken_over(event)

    def _taken_over(self, event: Event) -> None:
        for kill in self.now.kills:
            for held in kill.held:
                if (kill.worker, held.ticket_id) == (event.payload["previous_worker"], event.ticket_id):
                    held.by, held.after = pid_of(event.payload["worker"]), self.now.elapsed() - kill.at
                    self._tell(
                        f"worker {held.by} goes on with #{held.number + 1} after {held.after:.1f} s, "
                        f"{held.steps} {'step' if held.steps == 1 else 'steps'} done already"
                    )

    async def _kill_when_due(self) -> None:
        now = self.now
        if len(now.kills) == len(self._plan.moments):
            return
        moment: Moment = self._plan.moments[len(now.kills)]
        if self._due is None and now.calls >= moment.calls:
            self._due = time.monotonic() + moment.delay
        if self._due is None or time.monotonic() < self._due:
            return
        busy = sorted(pid for pid in now.workers if now.in_hand(pid))
        if busy and (kill := await self._kill(now.workers[self._random.choice(busy)])):
            self._due = None
            now.kills.append(kill)
            held = ", ".join(f"#{each.number + 1}" for each in kill.held)
            self._tell(f"killed worker {kill.pid} with {held or 'nothing'} in hand")
            await self._start_worker()

    async def _kill(self, victim: Child) -> Kill | None:
        """Kill the worker if it holds a ticket. It is stopped before the leases are read, so that none is returned in
        between."""
        victim.freeze()
        if not await self._leased_to(victim.pid):
            victim.thaw()
            return None
        await victim.kill()
        at = self.now.elapsed()
        del self.now.workers[victim.pid]
        # What was on its way to the database when it was stopped may have arrived.
        await self._look()
        leases = await self._leased_to(victim.pid)
        held = [
            Held(self.now.ids.index(ticket_id), ticket_id, len(steps_done(self.now.trails[ticket_id])))
            for ticket_id in leases
        ]
        return Kill(victim.pid, next(iter(leases.values()), ""), at, held)

    async def _leased_to(self, pid: int) -> dict[UUID, str]:
        """The tickets whose leases name this worker, with its full name."""
        open_ = [ticket_id for ticket_id, trail in self.now.trails.items() if not ended(trail)]
        wakers = await asyncio.gather(*(self._app.reads.wakers(ticket_id) for ticket_id in open_))
        leases = {ticket_id: each["lease"] for ticket_id, each in zip(open_, wakers, strict=True)}
        return {
            ticket_id: lease["worker"]
            for ticket_id, lease in leases.items()
            if lease is not None and pid_of(lease["worker"]) == pid
        }
