"""Row: a Supabase project over REST against a direct connection to its database, with the same worker.

Timed is one worker process, which takes what waits in its queue, and then one ticket at a time; both ways in turn. What
is counted goes through a gate between the project and every process that takes part: calls by function and bytes. Each
call is a request that the project answers, and what it answers is egress.

How far away the project is decides how long an answer takes: with the gate in between moved away, what an answer takes
longer for each millisecond of it is how many calls follow one another.
"""

from __future__ import annotations

import asyncio
import contextlib
import statistics
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ticketflow.bench.counting_gate import CountingGate, Traffic
from ticketflow.bench.frame import Bench, Measurement, Spread
from ticketflow.bench.lent_project import LentProject, lent_project
from ticketflow.bench.processes import COMPLETED, RABBITMQ, Stage, WorkerProcess, queues, stage_at
from ticketflow.settings import Settings

UPKEEP = frozenset(
    f"ticketflow_{name}"
    for name in (
        "schema", "timers_due", "sweep", "prune_next", "tally_next", "queue_beat", "queue_leave", "queue_depth",
        "articles_put", "keep_leases",
    )
)  # fmt: skip
"""Functions that no ticket asks for: what a process calls when it starts or ends, or by the clock."""


@dataclass(frozen=True, slots=True)
class Load:
    """``tickets`` and ``in_flight``: of the throughput, and of what is counted under load. ``alone``: tickets one after
    the other. ``idle_seconds``: how long everybody then has nothing to do; all looks but one come within ten."""

    tickets: int = 200
    in_flight: int = 50
    alone: int = 5
    round_trip_seconds: float = 0.1
    idle_seconds: float = 12.0


POLL_SECONDS = 0.02
POLL_SECONDS_ALONE = 0.004
"""How often the tickets are looked at, on a direct connection."""

_ENDED = """
    select coalesce(array_agg(id::text), '{}') from tickets where id = any(%s::uuid[]) and status = 'completed'
"""
_ENDS = "select array_agg(completed_at order by completed_at) from tickets where id = any(%s::uuid[])"
_ACKNOWLEDGED = "select cardinality(%s::uuid[]) - count(*) from queue_messages"

Figures = dict[str, float]


async def measure(bench: Bench, load: Load = Load()) -> Measurement:
    """On each queue that there is, round by round."""
    names = queues(bench.settings)
    rounds: list[Figures] = []
    details: dict[str, Any] = {}
    async with lent_project(bench.settings) as project:
        for _ in range(bench.plan.rounds):
            figures: Figures = {}
            for queue in names:
                place = _Place(bench.settings, project, queue, load)
                figures |= await place.timed()
                counted, details[queue] = await place.counted()
                figures |= counted
            rounds.append(figures)
    spreads = {name: Spread.of([each[name] for each in rounds]) for name in rounds[0]}
    for queue in names:
        for what in ("tickets_per_second", "answer_ms"):
            ours, theirs = ([each[f"{queue}_{way}_{what}"] for each in rounds] for way in ("rest", "direct"))
            spreads[f"{queue}_{what}_to_direct"] = Spread.of_ratios(ours, theirs)
    return Measurement(
        what="a Supabase project over REST, beside a direct connection to its database",
        setting={
            "tickets": load.tickets,
            "in_flight": load.in_flight,
            "alone": load.alone,
            "round_trip_ms": 1000 * load.round_trip_seconds,
            "idle_seconds": load.idle_seconds,
            "queues": names,
            "rounds": bench.plan.rounds,
        },
        figures=spreads,
        details=details,
    )


class _Place:
    """One project and queue, measured in every way. Figures have the queue's name in front."""

    def __init__(self, given: Settings, project: LentProject, queue: str, load: Load) -> None:
        self._queue = queue
        self._owner_url = project.owner_url
        common = {
            "rabbitmq_url": given.rabbitmq_url if queue == RABBITMQ else None,
            "worker_concurrency": load.in_flight,
            "sweep_after_seconds": 3600.0,
        }
        self._rest, self._direct = (each.model_copy(update=common) for each in (project.rest, project.direct))
        self._load = load

    async def timed(self) -> Figures:
        figures: Figures = {}
        for way, settings in (("rest", self._rest), ("direct", self._direct)):
            async with self._stage(settings) as place:
                waiting = await place.queue_up(self._load.in_flight + self._load.tickets)
                async with place.relaying(), _working(place) as worker:
                    figures[f"{way}_tickets_per_second"] = await self._rate(place, worker, waiting)
                    figures[f"{way}_answer_ms"] = await self._answer_ms(place, worker)
        return self._named(figures)

    async def counted(self) -> tuple[Figures, dict[str, Any]]:
        """And calls by function. Whoever takes tickets in here does what an API process does for itself: it relays."""
        load, figures, functions = self._load, dict[str, float](), dict[str, Any]()
        async with (
            self._gate() as gate,
            self._stage(self._through(gate)) as place,
            place.relaying(),
            _working(place) as worker,
        ):
            for name, tickets, in_flight in (("alone", load.alone, 1), ("in_flight", load.tickets, load.in_flight)):
                gate.taken()
                await _kept_in_flight(place, worker, tickets, in_flight)
                traffic = gate.taken()
                figures |= _a_ticket(traffic, tickets, name)
                functions[f"calls_{name}"] = _by_function(traffic, tickets)
            await asyncio.sleep(load.idle_seconds)
            idle, minutes = gate.taken(), load.idle_seconds / 60
            near = await self._answer_ms(place, worker)
            gate.round_trip = load.round_trip_seconds
            far = await self._answer_ms(place, worker)
            gate.round_trip = 0.0
        figures["idle_calls_a_minute"] = idle.calls.total() / minutes
        figures["idle_received_kb_a_minute"] = idle.received / 1000 / minutes
        functions["idle_calls_a_minute"] = _by_function(idle, minutes)
        figures["calls_in_sequence"] = (far - near) / (1000 * load.round_trip_seconds)
        return self._named(figures), functions

    async def _rate(self, place: Stage, worker: WorkerProcess, waiting: list[str]) -> float:
        """Tickets a second, from where as many have ended as are in flight: those before warm the process up."""
        await place.until(COMPLETED, waiting, worker, poll_seconds=POLL_SECONDS)
        ends: list[datetime] = await place.scalar(_ENDS, waiting)
        return self._load.tickets / (ends[-1] - ends[self._load.in_flight - 1]).total_seconds()

    async def _answer_ms(self, place: Stage, worker: WorkerProcess) -> float:
        """The median time from the request for a ticket to its answer, one ticket at a time."""
        milliseconds: list[float] = []
        for _ in range(self._load.alone):
            begun = await place.now()
            ticket = [await place.take_in_one()]
            await place.until(COMPLETED, ticket, worker, poll_seconds=POLL_SECONDS_ALONE)
            [end] = await place.scalar(_ENDS, ticket)
            milliseconds.append(1000 * (end - begun).total_seconds())
        return statistics.median(milliseconds)

    def _stage(self, settings: Settings) -> contextlib.AbstractAsyncContextManager[Stage]:
        return stage_at(settings, self._owner_url, auto_migrate=False)

    @contextlib.asynccontextmanager
    async def _gate(self) -> AsyncIterator[CountingGate]:
        assert self._rest.supabase_url is not None
        gate = CountingGate(self._rest.supabase_url)
        async with gate.served():
            yield gate

    def _through(self, gate: CountingGate) -> Settings:
        return self._rest.model_copy(update={"supabase_url": gate.url})

    def _named(self, figures: Figures) -> Figures:
        return {f"{self._queue}_{name}": value for name, value in figures.items()}


@contextlib.asynccontextmanager
async def _working(place: Stage) -> AsyncIterator[WorkerProcess]:
    """A worker whose model answers at once, and which has left at the end: what it might still write would stay."""
    async with place.worker(seconds_a_call=0) as worker:
        await worker.ready()
        worker.go()
        yield worker
        await worker.leave()


async def _kept_in_flight(place: Stage, worker: WorkerProcess, tickets: int, in_flight: int) -> None:
    """Requests for single tickets, the next ones when others have their answer, until all are answered and
    acknowledged."""
    under_way: set[str] = set()
    begun = 0
    while under_way or begun < tickets:
        room = min(in_flight - len(under_way), tickets - begun)
        under_way |= set(await asyncio.gather(*(place.take_in_one() for _ in range(room))))
        begun += room
        await asyncio.sleep(POLL_SECONDS)
        under_way -= set(await place.scalar(_ENDED, list(under_way)))
    await place.until(_ACKNOWLEDGED, [], worker)


def _a_ticket(traffic: Traffic, tickets: int, name: str) -> Figures:
    calls = sum(count for function, count in traffic.calls.items() if function not in UPKEEP)
    return {
        f"calls_{name}": calls / tickets,
        f"sent_kb_{name}": traffic.sent / 1000 / tickets,
        f"received_kb_{name}": traffic.received / 1000 / tickets,
    }


def _by_function(traffic: Traffic, per: float) -> dict[str, float]:
    return {function: round(count / per, 2) for function, count in sorted(traffic.calls.items())}
