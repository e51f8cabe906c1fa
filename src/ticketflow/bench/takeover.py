"""Row: SIGKILL for a worker with tickets in flight, another one running; how long until all of them go on.

Real worker processes on each queue that there is. A ticket goes on when the other worker has committed a step of it,
so the time holds the noticing, the claim and the step.
"""

from __future__ import annotations

from datetime import datetime

from ticketflow.bench.frame import Bench, Goal, Measurement, Spread
from ticketflow.bench.processes import COMPLETED, EMBEDDED, RABBITMQ, Stage, queues, stage

IN_FLIGHT = 100
LEASE_SECONDS = {RABBITMQ: 3600.0, EMBEDDED: 5.0}
"""With RabbitMQ nobody can have waited for a lease; the embedded queue notices a dead worker within the lease time."""

_HELD = "select count(*) from leases where ticket_id = any(%s::uuid[])"
_MOVED = """
    select max(at) from (select min(created_at) as at from events
    where ticket_id = any(%s::uuid[]) and event_type = 'step_complete' group by ticket_id) each
"""


async def measure(bench: Bench, in_flight: int = IN_FLIGHT) -> Measurement:
    """Seconds from the kill until the last ticket went on, on each queue that there is."""
    seconds: dict[str, list[float]] = {}
    for queue in queues(bench.settings):
        lease = LEASE_SECONDS[queue]
        async with stage(bench, queue, lease_seconds=lease, worker_concurrency=in_flight) as place:
            seconds[queue] = [await _round(place, in_flight) for _ in range(bench.plan.rounds)]
    return Measurement(
        what="seconds from SIGKILL of a worker until all of its tickets go on at another",
        setting={
            "in_flight": in_flight,
            "rounds": bench.plan.rounds,
            "lease_seconds": {queue: LEASE_SECONDS[queue] for queue in seconds},
        },
        figures={f"{queue}_seconds": Spread.of(row) for queue, row in seconds.items()},
        goals=[
            Goal(f"{queue}_seconds", at_most=2.0 if queue == RABBITMQ else LEASE_SECONDS[queue]) for queue in seconds
        ],
    )


async def _round(place: Stage, in_flight: int) -> float:
    async with place.relaying(), place.worker(seconds_a_call=None) as victim:
        victim.go()
        tickets = await place.take_in(in_flight)
        await place.until(_HELD, tickets, victim)
        async with place.worker(seconds_a_call=0) as heir:
            heir.go()
            # The other one has no room, so whoever completes this is ready.
            await place.until(COMPLETED, await place.take_in(1), heir)
            killed_at = await place.now()
            victim.kill()
            await place.until(COMPLETED, tickets, heir)
            last: datetime = await place.scalar(_MOVED, tickets)
            return (last - killed_at).total_seconds()
