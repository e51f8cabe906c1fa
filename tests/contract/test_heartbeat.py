"""The worker's heartbeat beside its commits: only a lease that someone else has is a lost one."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from uuid import UUID

import psycopg
import pytest

from tests.support.trails import RESULT, TTL, claimed, new_ticket
from ticketflow.broker.embedded import EmbeddedBroker
from ticketflow.broker.messages import Message
from ticketflow.broker.port import Broker
from ticketflow.db.checkpoints import RUN_KEY
from ticketflow.db.commits import Commits
from ticketflow.db.leases import Leases
from ticketflow.db.postgres import PostgresGateway
from ticketflow.db.reads import Reads
from ticketflow.domain.change import CheckpointRow
from ticketflow.domain.delivery import RetryPolicy
from ticketflow.domain.errors import ModelRefused, ModelTimeout, StoreUnavailable
from ticketflow.domain.routing import Lane
from ticketflow.domain.tickets import Status
from ticketflow.worker import consumer
from ticketflow.worker.consumer import Worker, WorkerParts
from ticketflow.worker.run import TicketRun
from ticketflow.workflow.state import StepName, StepReport, Tools

BEAT = timedelta(milliseconds=60)
"""The lease's length; the heart beats three times in it. Nobody else is there to take a lease that ran out."""


class Interleaved:
    """A gateway that keeps the answer to a commit until a heartbeat sent after it has been answered too."""

    def __init__(self, gateway: PostgresGateway) -> None:
        self._gateway = gateway
        self._committed = asyncio.Event()
        self._beaten = asyncio.Event()
        self.lost: list[list[str]] = []
        """What each of those heartbeats was told to be lost."""

    async def call(self, function: str, args: Any) -> Any:
        after_commit = self._committed.is_set()
        answer = await self._gateway.call(function, args)
        if function == "ticketflow_commit":
            self._committed.set()
            await self._beaten.wait()
        elif function == "ticketflow_keep_leases" and after_commit:
            self.lost.append([row["ticket_id"] for row in answer])
            # In the loop's next turn, when the heartbeat has made of its answer what it will.
            asyncio.get_running_loop().call_soon(self._beaten.set)
        return answer

    async def ping(self) -> None:
        await self._gateway.ping()

    async def aclose(self) -> None:
        await self._gateway.aclose()


@dataclass
class Seen:
    """Counts what the worker reports."""

    lost: int = 0
    ended: list[Status] = field(default_factory=list)
    retries: list[str] = field(default_factory=list)

    def in_flight(self, tickets: int) -> None: ...

    def processed(self, status: Status, seconds: float) -> None:
        self.ended.append(status)

    def retried(self, reason: str) -> None:
        self.retries.append(reason)

    def lease_lost(self) -> None:
        self.lost += 1


class OneMessage:
    """A broker with one message to deliver, its delivery, and its consumer."""

    lane = Lane.NORMAL
    redelivered = False

    def __init__(self, ticket_id: UUID) -> None:
        self.body = Message(Lane.NORMAL, ticket_id, "created", datetime.now(UTC)).body()
        self.headers: dict[str, str] = {}
        self.settled: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._delivered = False

    @contextlib.asynccontextmanager
    async def consume(self, concurrency: int) -> AsyncIterator[OneMessage]:
        yield self

    async def next(self) -> OneMessage:
        if self._delivered:
            await asyncio.Event().wait()
        self._delivered = True
        return self

    async def ack(self) -> None:
        self.settled.set_result("ack")

    async def requeue(self) -> None:
        self.settled.set_result("requeue")

    async def reject(self, reason: str) -> None:
        self.settled.set_result("reject")


class OneStep:
    """A graph whose first step is its last: ``end`` raises, or returns for the ticket to complete."""

    def __init__(self, end: Callable[[], None] | None = None, hold: asyncio.Event | None = None) -> None:
        self._end = end
        self._hold = hold
        self.begun = asyncio.Event()

    async def astream(self, input: Any, config: Any, **options: Any) -> AsyncIterator[Any]:
        run: TicketRun = config["configurable"][RUN_KEY]
        run.begin(StepName.FINALIZE)
        self.begun.set()
        if self._hold is not None:
            await self._hold.wait()
        if self._end is not None:
            self._end()
        run.record(StepReport(StepName.FINALIZE, {}, duration_ms=1, round=1, result=dict(RESULT)))
        await run.commit_step(CheckpointRow(str(run.lease.ticket.id), "", "c1", None, {"v": 1}, {}, {}))
        yield {}


@contextlib.asynccontextmanager
async def working(
    gateway: Any, broker: OneMessage | Broker, graph: OneStep, seen: Seen, ttl: timedelta, concurrency: int = 1
) -> AsyncIterator[None]:
    parts = WorkerParts(
        broker=cast(Broker, broker),
        leases=Leases(gateway, "worker-1", ttl, ["1"]),
        commits=Commits(gateway),
        flows={"1": graph},
        tools=cast(Tools, None),
        policy=RetryPolicy(),
        observer=seen,
    )
    worker = Worker(parts, concurrency)
    running = asyncio.create_task(worker.run(drain_seconds=0.1))
    try:
        yield
    finally:
        worker.stop()
        await running


def refuse() -> None:
    raise ModelRefused("no")


def time_out() -> None:
    raise ModelTimeout("no answer")


@pytest.mark.parametrize(
    ("end", "status"),
    [(None, Status.COMPLETED), (refuse, Status.FAILED_PERMANENT), (time_out, Status.WAITING)],
    ids=["completed", "given up", "put aside"],
)
async def test_a_heartbeat_that_meets_the_last_commit_is_no_lost_lease(
    commits: Commits, gateway: PostgresGateway, reads: Reads, end: Callable[[], None] | None, status: Status
) -> None:
    ticket_id = await new_ticket(commits)
    message, interleaved, seen = OneMessage(ticket_id), Interleaved(gateway), Seen()
    async with working(interleaved, message, OneStep(end), seen, BEAT):
        assert await asyncio.wait_for(message.settled, 10) == "ack"
    assert interleaved.lost[0] == [str(ticket_id)]
    assert seen.lost == 0
    assert seen.ended == ([] if status is Status.WAITING else [status])
    assert seen.retries == (["model_timeout"] if status is Status.WAITING else [])
    assert (await reads.ticket(ticket_id)).status is status


async def test_a_heartbeat_that_finds_another_worker_on_the_ticket_ends_the_run_and_says_so(
    commits: Commits, others: Leases, gateway: PostgresGateway, reads: Reads
) -> None:
    ticket_id = await new_ticket(commits)
    message, seen, for_ever = OneMessage(ticket_id), Seen(), asyncio.Event()
    graph = OneStep(hold=for_ever)
    async with working(gateway, message, graph, seen, BEAT):
        await asyncio.wait_for(graph.begun.wait(), 10)
        await claimed(others, ticket_id, takeover=True)
        assert await asyncio.wait_for(message.settled, 10) == "ack"
    assert (seen.lost, seen.ended) == (1, [])
    assert (await reads.ticket(ticket_id)).status is Status.PROCESSING


async def test_a_repeated_message_does_not_take_a_ticket_back_from_the_worker_that_has_it_now(
    commits: Commits, others: Leases, gateway: PostgresGateway, reads: Reads, database_url: str
) -> None:
    ticket_id = await new_ticket(commits)
    seen, graph, queue = Seen(), OneStep(hold=asyncio.Event()), EmbeddedBroker(gateway, TTL)

    async def holder() -> str:
        return str((await reads.wakers(ticket_id))["lease"]["worker"])

    with psycopg.connect(database_url, autocommit=True) as database:
        async with working(gateway, queue, graph, seen, TTL, concurrency=2), asyncio.timeout(20):
            await queue.publish([Message(Lane.NORMAL, ticket_id, "created", datetime.now(UTC))])
            await graph.begun.wait()
            await claimed(others, ticket_id, takeover=True)
            # It waits for the run to end, and makes the worker look at its leases.
            await queue.publish([Message(Lane.NORMAL, ticket_id, "sweep", datetime.now(UTC))])
            # A table does not announce that it is empty.
            while (  # noqa: ASYNC110
                await holder() == "worker-2" and database.execute("select from queue_messages").rowcount
            ):
                await asyncio.sleep(0.02)
            assert (seen.lost, await holder()) == (1, "worker-2")


class FirstOfSeveral(OneStep):
    """A graph that comes as far as its first step, which is not its last."""

    async def astream(self, input: Any, config: Any, **options: Any) -> AsyncIterator[Any]:
        run: TicketRun = config["configurable"][RUN_KEY]
        run.begin(StepName.CLASSIFY)
        self.begun.set()
        assert self._hold is not None
        await self._hold.wait()
        run.record(StepReport(StepName.CLASSIFY, {}, duration_ms=1, round=1))
        await run.commit_step(CheckpointRow(str(run.lease.ticket.id), "", "c1", None, {"v": 1}, {}, {}))
        yield {}


class SlowAck(OneMessage):
    """A message whose broker takes its time with the acknowledgement."""

    async def ack(self) -> None:
        # Several heartbeats long. That none of them does anything cannot be awaited.
        await asyncio.sleep(4 * BEAT.total_seconds())
        await super().ack()


async def test_a_heartbeat_leaves_a_message_alone_whose_run_has_seen_for_itself_that_the_ticket_is_lost(
    commits: Commits, others: Leases, gateway: PostgresGateway
) -> None:
    ticket_id = await new_ticket(commits)
    message, seen, go_on = SlowAck(ticket_id), Seen(), asyncio.Event()
    graph = FirstOfSeveral(hold=go_on)
    async with working(gateway, message, graph, seen, BEAT):
        await asyncio.wait_for(graph.begun.wait(), 10)
        await claimed(others, ticket_id, takeover=True)
        go_on.set()
        assert await asyncio.wait_for(message.settled, 10) == "ack"
    assert seen.lost == 1


class Away:
    """A gateway to a store that does not take a ticket back at first."""

    def __init__(self, gateway: PostgresGateway, refusals: int) -> None:
        self._gateway = gateway
        self.refusals = refusals

    async def call(self, function: str, args: Any) -> Any:
        if function == "ticketflow_release" and self.refusals:
            self.refusals -= 1
            raise StoreUnavailable("away")
        return await self._gateway.call(function, args)

    async def ping(self) -> None:
        await self._gateway.ping()

    async def aclose(self) -> None:
        await self._gateway.aclose()


async def test_a_ticket_whose_store_went_away_is_given_back_and_no_worker_counts_as_lost(
    commits: Commits, others: Leases, gateway: PostgresGateway, reads: Reads, monkeypatch: pytest.MonkeyPatch
) -> None:
    def store_away() -> None:
        raise StoreUnavailable("away")

    monkeypatch.setattr(consumer, "PAUSE_WITHOUT_STORE", 0.01)
    ticket_id = await new_ticket(commits, wake=False)
    message, away, seen = OneMessage(ticket_id), Away(gateway, 3), Seen()
    async with working(away, message, OneStep(store_away), seen, timedelta(seconds=30)):
        assert await asyncio.wait_for(message.settled, 10) == "ack"
    assert (away.refusals, seen.lost, seen.retries, seen.ended) == (0, 0, [], [])
    assert (await reads.wakers(ticket_id))["outbox"] == 1
    assert (await claimed(others, ticket_id)).takeovers == 0


class Stalling(Away):
    """A gateway that never answers the first heartbeat."""

    def __init__(self, gateway: PostgresGateway) -> None:
        super().__init__(gateway, 0)
        self.beats = 0

    async def call(self, function: str, args: Any) -> Any:
        if function == "ticketflow_keep_leases":
            self.beats += 1
            if self.beats == 1:
                await asyncio.Event().wait()
        return await super().call(function, args)


async def test_a_heartbeat_that_is_not_answered_does_not_keep_the_next_one_back(
    commits: Commits, gateway: PostgresGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer, "LEAST_BEAT_SECONDS", 0.02)
    message, stalling, go_on = OneMessage(await new_ticket(commits)), Stalling(gateway), asyncio.Event()
    async with working(stalling, message, OneStep(hold=go_on), Seen(), BEAT), asyncio.timeout(10):
        while stalling.beats < 3:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        go_on.set()
        assert await message.settled == "ack"
