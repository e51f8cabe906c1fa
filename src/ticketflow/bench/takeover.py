"""Row: SIGKILL for a worker with tickets in flight, another one running; how long until all of them go on.

Real worker processes on each queue that there is. A ticket goes on when the other worker has committed a step of it,
so the time holds the noticing, the claim and the step. The clock is the database's.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any
from uuid import uuid4

import orjson
import psycopg
from pydantic import SecretStr

from ticketflow import wiring
from ticketflow.bench.frame import Bench, Goal, Measurement, Spread
from ticketflow.bench.stand_ins import TEXT
from ticketflow.domain.errors import ConfigurationError, TicketflowError
from ticketflow.services.caller import Caller
from ticketflow.services.intake import NewTicket
from ticketflow.wiring import Application

IN_FLIGHT = 100
LEASE_SECONDS = {"rabbitmq": 3600.0, "embedded": 5.0}
"""With RabbitMQ nobody can have waited for a lease; the embedded queue notices a dead worker within the lease time."""

PATIENCE_SECONDS = 120.0
POLL_SECONDS = 0.02


async def measure(bench: Bench) -> Measurement:
    """Seconds from the kill until the last ticket went on, on each queue that there is."""
    queues = ["embedded"] if bench.settings.rabbitmq_url is None else ["rabbitmq", "embedded"]
    seconds: dict[str, list[float]] = {}
    for queue in queues:
        async with bench.database() as url:
            given = bench.settings.model_copy(
                update={
                    "database_url": SecretStr(url),
                    "rabbitmq_url": bench.settings.rabbitmq_url if queue == "rabbitmq" else None,
                    "lease_seconds": LEASE_SECONDS[queue],
                    "sweep_after_seconds": 3600.0,
                    "worker_concurrency": IN_FLIGHT,
                    "metrics_port": 0,
                }
            )
            async with wiring.connected(given, auto_migrate=True) as app:
                await _refuse_a_queue_in_use(app)
                seconds[queue] = [await _round(app, url) for _ in range(bench.plan.rounds)]
    return Measurement(
        what="seconds from SIGKILL of a worker until all of its tickets go on at another",
        setting={
            "in_flight": IN_FLIGHT,
            "rounds": bench.plan.rounds,
            "lease_seconds": {queue: LEASE_SECONDS[queue] for queue in queues},
        },
        figures={f"{queue}_seconds": Spread.of(row) for queue, row in seconds.items()},
        goals=[
            Goal(f"{queue}_seconds", at_most=2.0 if queue == "rabbitmq" else LEASE_SECONDS[queue]) for queue in queues
        ],
    )


async def _refuse_a_queue_in_use(app: Application) -> None:
    """Workers of the benchmark would take others' messages for messages of no use."""
    await app.broker.ping()
    if any((await app.broker.depths()).values()):
        raise ConfigurationError("there are messages in RABBITMQ_URL: give the benchmark a virtual host of its own")


async def _round(app: Application, url: str) -> float:
    relay = asyncio.create_task(app.relay.run())
    try:
        async with _worker(app, answers=False) as victim:
            tickets = await _take_in(app, IN_FLIGHT)
            async with await psycopg.AsyncConnection.connect(url, autocommit=True) as database:
                held = "select count(*) from leases where ticket_id = any(%s::uuid[])"
                await _until(lambda: _scalar(database, held, tickets), IN_FLIGHT, victim)
                async with _worker(app, answers=True) as heir:
                    # The other one has no room, so whoever completes this is ready.
                    done = "select count(*) from tickets where id = any(%s::uuid[]) and status = 'completed'"
                    first = await _take_in(app, 1)
                    await _until(lambda: _scalar(database, done, first), 1, heir)
                    killed_at: datetime = await _scalar(database, "select clock_timestamp()")
                    victim.kill()
                    await _until(lambda: _scalar(database, done, tickets), IN_FLIGHT, heir)
                    moved = """
                        select max(at) from (select min(created_at) as at from events
                        where ticket_id = any(%s::uuid[]) and event_type = 'step_complete' group by ticket_id) each
                    """
                    last: datetime = await _scalar(database, moved, tickets)
                    return (last - killed_at).total_seconds()
    finally:
        relay.cancel()
        await asyncio.gather(relay, return_exceptions=True)


async def _take_in(app: Application, count: int) -> list[str]:
    news = [NewTicket("cus_bench", "Keypad dark", TEXT, idempotency_key=uuid4().hex) for _ in range(count)]
    taken = await app.intake.take_in_many(news, Caller("bench"))
    app.relay.wake()
    return [str(ticket.ticket_id) for ticket in taken if not isinstance(ticket, TicketflowError)]


@contextlib.asynccontextmanager
async def _worker(app: Application, *, answers: bool) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "ticketflow.bench.takeover_worker",
        stdin=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert process.stdin is not None
    # Through a pipe, as the settings hold secrets.
    process.stdin.write(orjson.dumps({"settings": app.settings.handed_on(), "answers": answers}) + b"\n")
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def _until(look: Callable[[], Awaitable[Any]], wanted: int, process: asyncio.subprocess.Process) -> None:
    """Raises ``TicketflowError`` when the process ends, or when it takes absurdly long."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while await look() != wanted:
            if process.returncode is not None:
                raise TicketflowError(f"a worker of the benchmark ended with {process.returncode}")
            await asyncio.sleep(POLL_SECONDS)


async def _scalar(database: psycopg.AsyncConnection[Any], query: str, tickets: Sequence[str] | None = None) -> Any:
    cursor = await database.execute(query.encode(), None if tickets is None else (list(tickets),))
    row = await cursor.fetchone()
    return row and row[0]
