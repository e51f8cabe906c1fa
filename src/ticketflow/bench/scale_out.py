"""Row: the same load a worker on one worker process and on three; how much of the threefold throughput is there.

All tickets stand in the queue when the workers, connected already, are sent to work. The clock stops with the last
ticket, so that workers which run dry before the others count against the ratio.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime

from ticketflow.bench.frame import Bench, Goal, Measurement, Spread
from ticketflow.bench.processes import COMPLETED, Stage, queues, stage

FEW, MANY = 1, 3


@dataclass(frozen=True, slots=True)
class Load:
    """``tickets``: to each worker. Twelve turns of ten: what the first and the last turn lack hardly shows."""

    tickets: int = 120
    in_flight: int = 10
    seconds_a_call: float = 0.2


POLL_SECONDS = 0.25
"""How often the tickets are counted; when they were completed stands in their rows."""

_LAST = "select max(completed_at) from tickets where id = any(%s::uuid[])"


async def measure(bench: Bench, load: Load = Load()) -> Measurement:
    """Few and many workers in turn, on the configured queue."""
    queue = queues(bench.settings)[0]
    rates: dict[int, list[float]] = {FEW: [], MANY: []}
    async with stage(bench, queue, worker_concurrency=load.in_flight) as place:
        for _ in range(bench.plan.rounds):
            for workers, row in rates.items():
                row.append(await _rate(place, load, workers))
    return Measurement(
        what=f"throughput of {MANY} worker processes against {FEW}",
        setting={
            "tickets_a_worker": load.tickets,
            "in_flight_a_worker": load.in_flight,
            "seconds_a_call": load.seconds_a_call,
            "queue": queue,
            "rounds": bench.plan.rounds,
        },
        figures={
            "one_worker_tickets_per_second": Spread.of(rates[FEW]),
            "three_workers_tickets_per_second": Spread.of(rates[MANY]),
            "three_to_one": Spread.of_ratios(rates[MANY], rates[FEW]),
        },
        goals=[Goal("three_to_one", at_least=2.8)],
    )


async def _rate(place: Stage, load: Load, workers: int) -> float:
    """Tickets a second."""
    tickets = await place.queue_up(load.tickets * workers)
    async with AsyncExitStack() as stack:
        started = [await stack.enter_async_context(place.worker(load.seconds_a_call)) for _ in range(workers)]
        for worker in started:
            await worker.ready()
        begun = await place.now()
        for worker in started:
            worker.go()
        await place.until(COMPLETED, tickets, *started, poll_seconds=POLL_SECONDS)
    last: datetime = await place.scalar(_LAST, tickets)
    return len(tickets) / (last - begun).total_seconds()
