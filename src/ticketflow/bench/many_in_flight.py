"""Row: thousands of tickets in flight in one real worker process: how near the ideal, how much memory, who starves.

All tickets stand in the queue when the worker is sent to work, and it may have them all in hand. In the ideal it does
nothing but wait for the model: calls a ticket x seconds a call.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from ticketflow.bench.frame import Bench, Goal, Measurement, Spread, percentile
from ticketflow.bench.processes import COMPLETED, Stage, queues, stage


@dataclass(frozen=True, slots=True)
class Load:
    tickets: int = 2000
    seconds_a_call: float = 2.0


@dataclass(frozen=True, slots=True)
class _Round:
    """``waits``: seconds from the start until each ticket was completed. ``calls``: of the model, a ticket.
    ``processor_ms``: what the worker took of the processors, a ticket."""

    waits: list[float]
    calls: int
    rss_mb: float
    processor_ms: float


POLL_SECONDS = 0.25
"""How often the tickets are counted; when they were completed stands in their rows."""

_CALLS = "select max((result->'usage'->>'calls')::int) from tickets where id = any(%s::uuid[])"
_COMPLETED_AT = "select array_agg(completed_at order by completed_at) from tickets where id = any(%s::uuid[])"


async def measure(bench: Bench, load: Load = Load()) -> Measurement:
    """The configured queue, every setting but the concurrency at its default."""
    queue = queues(bench.settings)[0]
    async with stage(bench, queue, worker_concurrency=load.tickets) as place:
        rounds = [await _round(place, load) for _ in range(bench.plan.rounds)]
    calls = max(each.calls for each in rounds)
    ideal = calls * load.seconds_a_call
    return Measurement(
        what=f"{load.tickets} tickets in flight in one worker process",
        setting={
            "tickets": load.tickets,
            "seconds_a_call": load.seconds_a_call,
            "calls_a_ticket": calls,
            "ideal_seconds": ideal,
            "queue": queue,
            "rounds": bench.plan.rounds,
        },
        figures={
            "seconds": Spread.of([max(each.waits) for each in rounds]),
            "time_to_ideal": Spread.of([max(each.waits) / ideal for each in rounds]),
            "rss_mb": Spread.of([each.rss_mb for each in rounds]),
            "processor_ms_a_ticket": Spread.of([each.processor_ms for each in rounds]),
            **_percentiles(rounds),
        },
        goals=[
            Goal("time_to_ideal", at_most=1.3),
            Goal("rss_mb", at_most=400),
            Goal("p99_to_median", at_most=2),
        ],
    )


def _percentiles(rounds: list[_Round]) -> dict[str, Spread]:
    medians, lasts = ([percentile(each.waits, share) for each in rounds] for share in (0.5, 0.99))
    return {
        "median_seconds": Spread.of(medians),
        "p99_seconds": Spread.of(lasts),
        "p99_to_median": Spread.of_ratios(lasts, medians),
    }


async def _round(place: Stage, load: Load) -> _Round:
    tickets = await place.queue_up(load.tickets)
    async with place.worker(load.seconds_a_call) as worker:
        await worker.ready()
        taken, begun = worker.processor_seconds(), await place.now()
        worker.go()
        await place.until(COMPLETED, tickets, worker, poll_seconds=POLL_SECONDS)
        rss_mb, taken = worker.peak_rss_mb(), worker.processor_seconds() - taken
    ends: list[datetime] = await place.scalar(_COMPLETED_AT, tickets)
    calls: int = await place.scalar(_CALLS, tickets)
    return _Round([(end - begun).total_seconds() for end in ends], calls, rss_mb, taken / load.tickets * 1000)
