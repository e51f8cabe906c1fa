"""Row: from ``POST /tickets`` to a completed ticket on an idle system, against its parts, each of them alone.

The whole is an API process and a worker process whose model answers at once, one ticket at a time. The parts, in this
process with nothing beside them: the same request answered without I/O, every database call that the ticket needs,
the message from publish to delivery, and the six steps without durability. What the whole takes beyond their sum is
waiting: for a wake-up, a hand-over between tasks or processes, a look at the clock.
"""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import orjson
import psycopg
from pydantic import SecretStr

from ticketflow import wiring
from ticketflow.bench.anchors import langgraph_savers
from ticketflow.bench.durable_steps import CountingGateway, InOneProcess
from ticketflow.bench.frame import Bench, Goal, Measurement, Spread
from ticketflow.bench.load import ticket_request
from ticketflow.bench.stand_ins import TEXT
from ticketflow.bench.subprocesses import started
from ticketflow.broker.messages import Message
from ticketflow.db.migrate import migrate
from ticketflow.db.postgres import PostgresGateway
from ticketflow.domain.errors import ConfigurationError, TicketflowError
from ticketflow.domain.routing import Lane
from ticketflow.settings import Settings
from ticketflow.wiring import Application

TICKETS = 10
"""A round, one after the other."""

POLL_SECONDS = 0.004
PATIENCE_SECONDS = 60.0
HOLD = timedelta(seconds=5)

Parts = dict[str, float]


async def measure(bench: Bench) -> Measurement:
    """Round by round: the parts alone, then the whole."""
    wholes, sums, shares = list[float](), list[float](), dict[str, list[float]]()
    async with contextlib.AsyncExitStack() as stack:
        url = await stack.enter_async_context(bench.database())
        await migrate(url)
        parts_url = await stack.enter_async_context(bench.database())
        settings = _settings(bench.settings, url)
        no_io = await stack.enter_async_context(_api(settings, no_io=True))
        timing = await stack.enter_async_context(_timing(parts_url))
        for turn in range(bench.plan.rounds):
            async with wiring.connected(settings, auto_migrate=False) as app:
                if turn == 0:
                    await _refuse_a_queue_in_use(app)
                async with _client(no_io) as client:
                    answered = await _median(client.post)
                parts = {"http": answered, **await _parts(app, timing)}
            async with _api(settings, no_io=False) as port, _worker(settings), _watch(url) as completed:
                # Until the worker is there, for longer than an API keeps a connection that nobody uses. And, as with
                # the parts, until every statement has the plan that PostgreSQL keeps from the sixth time on.
                await _whole(port, completed, TICKETS)
                wholes.append(await _whole(port, completed, TICKETS))
            sums.append(sum(parts.values()))
            for name, seconds in parts.items():
                shares.setdefault(name, []).append(seconds)
    return Measurement(
        what="POST to completed on an idle system, one ticket at a time",
        setting={
            "tickets_a_round": TICKETS,
            "rounds": bench.plan.rounds,
            "queue": "embedded" if settings.rabbitmq_url is None else "rabbitmq",
        },
        figures={
            "whole_milliseconds": Spread.of([1000 * each for each in wholes]),
            "parts_milliseconds": Spread.of([1000 * each for each in sums]),
            "to_sum_of_parts": Spread.of_ratios(wholes, sums),
            **{f"{name}_milliseconds": Spread.of([1000 * each for each in row]) for name, row in shares.items()},
        },
        # The embedded queue has nothing that wakes another process, so there the wait for its next look is in it.
        goals=[Goal("to_sum_of_parts", at_most=2.0)] if settings.rabbitmq_url is not None else [],
    )


async def _parts(app: Application, timing: _Timing) -> Parts:
    """The median of each but for the request itself, in seconds."""
    steps = langgraph_savers.without_saver()
    async with app.broker.consume(1) as consumer:

        async def message() -> None:
            await app.broker.publish([Message(Lane.NORMAL, uuid4(), "created", datetime.now(UTC))])
            delivery = await consumer.next()
            arrived.append(time.perf_counter())
            await delivery.ack()

        arrived: list[float] = []
        began = []
        for _ in range(TICKETS):
            began.append(time.perf_counter())
            await message()
        carried = statistics.median(b - a for a, b in zip(began, arrived, strict=True))
    return {
        **await timing.database_calls(),
        "outbox_take": await _median(lambda: app.outbox.take(1, HOLD)),
        "message": carried,
        "search": await _median(lambda: app.library.search(TEXT)),
        "history": await _median(lambda: app.reads.history("cus_bench", uuid4())),
        "six_steps": await _median(lambda: steps(1, 1)),
    }


class _Timing(CountingGateway):
    """The gateway, with its calls timed."""

    def __init__(self, inner: PostgresGateway) -> None:
        super().__init__(inner)
        self.ours = InOneProcess(self)
        self._seconds: list[tuple[str, float]] = []

    async def call(self, function: str, args: Any) -> Any:
        began = time.perf_counter()
        answer = await super().call(function, args)
        self._seconds.append((function, time.perf_counter() - began))
        return answer

    async def database_calls(self) -> Parts:
        """What one ticket's creation, claim and steps take in calls, with nothing else under way."""
        rows = []
        for _ in range(TICKETS):
            self._seconds.clear()
            await self.ours.run(1, 1)
            created, *commits = [seconds for name, seconds in self._seconds if name == "ticketflow_commit"]
            claims = [seconds for name, seconds in self._seconds if name == "ticketflow_claim"]
            rows.append({"creation": created, "claim": claims[0], "step_commits": sum(commits)})
        return {name: statistics.median(row[name] for row in rows) for name in rows[0]}


@contextlib.asynccontextmanager
async def _timing(url: str) -> AsyncIterator[_Timing]:
    await migrate(url)
    gateway = PostgresGateway(url, 8)
    await gateway.open()
    try:
        timing = _Timing(gateway)
        await timing.database_calls()
        yield timing
    finally:
        await gateway.aclose()


class _Client:
    """One kept-alive connection to an API."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def post(self) -> UUID:
        """A ticket like no other; its id."""
        self._writer.write(ticket_request())
        head = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.split(b"content-length: ")[1].split(b"\r\n")[0])
        return UUID(orjson.loads(await self._reader.readexactly(length))["ticket_id"])


@contextlib.asynccontextmanager
async def _api(settings: Settings, *, no_io: bool) -> AsyncIterator[int]:
    """The port of an API process."""
    job = {"settings": settings.handed_on(), "no_io": no_io}
    async with started("ticketflow.bench.api_server", job) as server:
        yield await server.said()


@contextlib.asynccontextmanager
async def _client(port: int) -> AsyncIterator[_Client]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield _Client(reader, writer)
    finally:
        writer.close()


@contextlib.asynccontextmanager
async def _worker(settings: Settings) -> AsyncIterator[None]:
    job = {"settings": settings.handed_on(), "seconds_a_call": 0}
    async with started("ticketflow.bench.worker_process", job) as worker:
        await worker.said()
        worker.tell({"go": True})
        yield


Completed = Callable[[UUID], Awaitable[bool]]


@contextlib.asynccontextmanager
async def _watch(url: str) -> AsyncIterator[Completed]:
    """Says of a ticket whether it is completed: one row by its key on a connection of its own."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True, prepare_threshold=0) as database:

        async def completed(ticket_id: UUID) -> bool:
            cursor = await database.execute("select status = 'completed' from tickets where id = %s", (ticket_id,))
            row = await cursor.fetchone()
            return bool(row and row[0])

        yield completed


async def _whole(port: int, completed: Completed, times: int) -> float:
    async with _client(port) as client:

        async def once() -> None:
            ticket_id = await client.post()
            async with asyncio.timeout(PATIENCE_SECONDS):
                # A row does not announce its change without a cost of its own.
                while not await completed(ticket_id):  # noqa: ASYNC110
                    await asyncio.sleep(POLL_SECONDS)

        return await _median(once, times)


async def _median(once: Callable[[], Awaitable[Any]], times: int = TICKETS) -> float:
    """The median of so many, in seconds."""
    seconds = []
    for _ in range(times):
        began = time.perf_counter()
        await once()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


def _settings(given: Settings, url: str) -> Settings:
    without = ("token_secret", "token_secret_file", "supabase_url", "supabase_key", "supabase_jwt_secret")
    return given.model_copy(
        update={**dict.fromkeys(without), "database_url": SecretStr(url), "worker_concurrency": 1, "metrics_port": 0}
    )


async def _refuse_a_queue_in_use(app: Application) -> None:
    """The parts' own consumer would take others' messages."""
    try:
        waiting = sum((await app.broker.depths()).values())
    except TicketflowError:
        waiting = 0  # Not declared yet.
    if waiting:
        raise ConfigurationError("there are messages in RABBITMQ_URL: give the benchmark a virtual host of its own")
