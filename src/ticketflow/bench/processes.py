"""Where rows with real worker processes are measured: a database and a queue of their own, and tickets that wait there.

The clock of these rows is the database's, as what they measure happens in several processes.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson
import psycopg
from pydantic import SecretStr

from ticketflow import wiring
from ticketflow.bench.frame import Bench
from ticketflow.bench.stand_ins import ARTICLE, TEXT
from ticketflow.domain.errors import ConfigurationError, TicketflowError
from ticketflow.services.caller import Caller
from ticketflow.services.intake import NewTicket
from ticketflow.settings import Settings
from ticketflow.wiring import Application

PATIENCE_SECONDS = 600.0
POLL_SECONDS = 0.02
INTAKE_BATCH = 500

RABBITMQ, EMBEDDED = "rabbitmq", "embedded"

COMPLETED = "select count(*) from tickets where id = any(%s::uuid[]) and status = 'completed'"


def queues(settings: Settings) -> list[str]:
    """The queues that there are, the one that a deployment with these settings works with first."""
    return [EMBEDDED] if settings.rabbitmq_url is None else [RABBITMQ, EMBEDDED]


class WorkerProcess:
    """A worker that is started, and works once ``go`` is called."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @property
    def ended_with(self) -> int | None:
        return self._process.returncode

    async def ready(self) -> None:
        """Wait until it is connected. Raises ``TicketflowError`` when it cannot be."""
        assert self._process.stdout is not None
        async with _patience("a worker of the benchmark did not get ready"):
            if not await self._process.stdout.readline():
                raise TicketflowError(f"a worker of the benchmark ended with {await self._process.wait()}")

    def go(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(b"go\n")

    async def leave(self) -> None:
        """Have it stop and give back what it holds, and wait for its end."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        async with _patience("a worker of the benchmark did not leave"):
            await self._process.wait()

    def kill(self) -> None:
        """SIGKILL: it gets no chance to say good-bye."""
        self._process.kill()

    def peak_rss_mb(self) -> float:
        """The most memory that it ever held, in MB of 10^6 bytes. Raises ``ConfigurationError`` where there is no
        /proc, as ``processor_seconds`` does."""
        [peak] = [line.split()[1] for line in self._kernel_says("status").splitlines() if line.startswith("VmHWM")]
        return int(peak) * 1024 / 1e6

    def processor_seconds(self) -> float:
        """What it has taken of the processors so far."""
        user, system = self._kernel_says("stat").rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

    def _kernel_says(self, name: str) -> str:
        try:
            return Path(f"/proc/{self._process.pid}/{name}").read_text()
        except OSError as error:
            raise ConfigurationError("what a worker process takes can be measured on Linux only") from error


class Stage:
    """A connected application without a worker of its own, and the database behind it."""

    def __init__(self, app: Application, database: psycopg.AsyncConnection[Any]) -> None:
        self._app = app
        self._database = database

    @contextlib.asynccontextmanager
    async def relaying(self) -> AsyncIterator[None]:
        """What is taken in meanwhile goes to the queue."""
        relay = asyncio.create_task(self._app.relay.run())
        try:
            yield
        finally:
            relay.cancel()
            await asyncio.gather(relay, return_exceptions=True)

    async def take_in(self, count: int) -> list[str]:
        """Tickets of as many customers; their ids."""
        ids: list[str] = []
        while len(ids) < count:
            news = [_new_ticket() for _ in range(min(INTAKE_BATCH, count - len(ids)))]
            taken = await self._app.intake.take_in_many(news, Caller("bench"))
            ids += [str(ticket.ticket_id) for ticket in taken if not isinstance(ticket, TicketflowError)]
            self._app.relay.wake()
        return ids

    async def take_in_one(self) -> str:
        """A ticket as a request for one brings it; its id."""
        return str((await self._app.intake.take_in(_new_ticket(), Caller("bench"))).ticket_id)

    async def queue_up(self, count: int) -> list[str]:
        """Take tickets in and wait until all of them stand in the queue, where nobody takes them yet."""
        async with self.relaying():
            ids = await self.take_in(count)
            async with _patience("the tickets did not get into the queue"):
                while sum((await self._app.broker.depths()).values()) < count:  # noqa: ASYNC110
                    await asyncio.sleep(POLL_SECONDS)
        return ids

    @contextlib.asynccontextmanager
    async def worker(self, seconds_a_call: float | None) -> AsyncIterator[WorkerProcess]:
        """A worker process, killed at the end. ``seconds_a_call``: its model's time for an answer, None for no end."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "ticketflow.bench.worker_process",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        assert process.stdin is not None
        # Through a pipe, as the settings hold secrets.
        job = {"settings": self._app.settings.handed_on(), "seconds_a_call": seconds_a_call}
        process.stdin.write(orjson.dumps(job) + b"\n")
        try:
            yield WorkerProcess(process)
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def now(self) -> datetime:
        """The database's time."""
        time: datetime = await self.scalar("select clock_timestamp()")
        return time

    async def scalar(self, query: str, tickets: Sequence[str] | None = None) -> Any:
        """The first value of the first row; ``tickets`` are the query's parameter."""
        cursor = await self._database.execute(query.encode(), None if tickets is None else (list(tickets),))
        row = await cursor.fetchone()
        return row and row[0]

    async def until(
        self, query: str, tickets: Sequence[str], *workers: WorkerProcess, poll_seconds: float = POLL_SECONDS
    ) -> None:
        """Wait until the query counts all these tickets. Raises ``TicketflowError`` when one of the workers ends, or
        when it takes absurdly long."""
        async with _patience("not all tickets got on"):
            while await self.scalar(query, tickets) != len(tickets):
                for worker in workers:
                    if worker.ended_with is not None:
                        raise TicketflowError(f"a worker of the benchmark ended with {worker.ended_with}")
                await asyncio.sleep(poll_seconds)


@contextlib.asynccontextmanager
async def stage(bench: Bench, queue: str, **given: Any) -> AsyncIterator[Stage]:
    """``given``: settings that differ from the deployment's."""
    async with bench.database() as url:
        settings = bench.settings.model_copy(
            update={
                "database_url": SecretStr(url),
                "rabbitmq_url": bench.settings.rabbitmq_url if queue == RABBITMQ else None,
                # Nothing gets lost here, and who wakes a ticket that only waits for its turn adds to the load.
                "sweep_after_seconds": 3600.0,
                **given,
            }
        )
        async with stage_at(settings, url, auto_migrate=True) as place:
            yield place


@contextlib.asynccontextmanager
async def stage_at(settings: Settings, url: str, *, auto_migrate: bool) -> AsyncIterator[Stage]:
    """With exactly these settings; ``url`` is a direct way to the same data."""
    async with (
        wiring.connected(settings, auto_migrate=auto_migrate) as app,
        await psycopg.AsyncConnection.connect(url, autocommit=True) as database,
    ):
        await _refuse_a_queue_in_use(app)
        await app.library.add([ARTICLE])
        yield Stage(app, database)


async def _refuse_a_queue_in_use(app: Application) -> None:
    """Workers of the benchmark would take others' messages for messages of no use."""
    await app.broker.ping()
    if any((await app.broker.depths()).values()):
        raise ConfigurationError("there are messages in RABBITMQ_URL: give the benchmark a virtual host of its own")


def _new_ticket() -> NewTicket:
    return NewTicket(f"cus_{uuid4().hex}", "Keypad dark", TEXT, idempotency_key=uuid4().hex)


@contextlib.asynccontextmanager
async def _patience(what: str) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            yield
    except TimeoutError as error:
        raise TicketflowError(f"{what} within {PATIENCE_SECONDS:g} s") from error
