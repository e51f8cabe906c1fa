"""Row: durable six-step tickets per second in one process, against LangGraph's own saver, DBOS, and LangGraph with no
saver at all.

Ours is the whole worker: queue, claim, steps with checkpoint and event trail, settlement. The anchors run the same
steps in the same event loop, without queue, claim, trail or settlement, with as many tickets in flight.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from typing import Any
from uuid import uuid4

from ticketflow.bench.anchors import dbos_workflow, langgraph_savers
from ticketflow.bench.frame import Bench, Contender, Goal, Measurement, Plan, Plot, Spread
from ticketflow.bench.stand_ins import TEXT, tools
from ticketflow.broker.embedded import EmbeddedBroker
from ticketflow.broker.relay import Relay
from ticketflow.db.batching import BatchLimits
from ticketflow.db.checkpoints import CheckpointSaver
from ticketflow.db.commits import Commits
from ticketflow.db.leases import Leases
from ticketflow.db.migrate import migrate
from ticketflow.db.outbox import Outbox
from ticketflow.db.postgres import PostgresGateway
from ticketflow.domain.delivery import RetryPolicy
from ticketflow.domain.tickets import Channel, Status
from ticketflow.services.caller import Caller
from ticketflow.services.intake import Intake, NewTicket
from ticketflow.serving import settle_memory
from ticketflow.worker.consumer import Worker, WorkerParts
from ticketflow.workflow.graph import compile_graph
from ticketflow.workflow.state import FLOW_VERSION

OURS, STOCK, BARE = "ticketflow", "langgraph_postgres_saver", "langgraph_no_saver"
MANY_SAVERS, DBOS = "langgraph_20_postgres_savers", "dbos"

SHOWN_AS = {
    OURS: "Ticketflow",
    STOCK: "LangGraph, its own saver",
    MANY_SAVERS: "LangGraph, 20 savers",
    DBOS: "DBOS",
    BARE: "LangGraph, no saver",
}

ALONE_TICKETS = 20

SWEEP = (1, 5, 10, 25, 50, 100, 200)
SWEEP_ROUNDS = 3
"""A point of the plot is the median of so many."""


class CountingGateway:
    """The gateway, with its calls counted."""

    def __init__(self, inner: PostgresGateway) -> None:
        self._inner = inner
        self.calls: Counter[str] = Counter()

    async def call(self, function: str, args: Any) -> Any:
        self.calls[function] += 1
        return await self._inner.call(function, args)

    async def ping(self) -> None:
        await self._inner.ping()

    async def aclose(self) -> None:
        await self._inner.aclose()


async def measure(bench: Bench) -> Measurement:
    """Run the contenders in turn, round by round."""
    plan = bench.plan
    async with AsyncExitStack() as stack:
        ours, contenders = await _contenders(bench, stack)
        for contender in contenders.values():
            await contender(plan.in_flight, plan.in_flight)
        settle_memory()  # As a worker does; here it serves all of them.
        ours.calls.clear()
        seconds: dict[str, list[float]] = {name: [] for name in contenders}
        processor: dict[str, list[float]] = {name: [] for name in contenders}
        crowded = []
        for _ in range(plan.rounds):
            for name, contender in contenders.items():
                before = time.process_time()
                seconds[name].append(await contender(plan.tickets, plan.in_flight))
                processor[name].append((time.process_time() - before) / plan.tickets * 1000)
            crowded.append(sum(ours.calls.values()) / plan.tickets)
            ours.calls.clear()
        await ours.run(ALONE_TICKETS, 1)
        alone = {name: round(count / ALONE_TICKETS, 2) for name, count in sorted(ours.calls.items())}
        plots = [await _sweep(plan, contenders)] if plan.sweep else []
    rates = {name: [plan.tickets / second for second in row] for name, row in seconds.items()}
    return Measurement(
        what="durable six-step tickets per second, one worker process",
        setting={"tickets_a_round": plan.tickets, "in_flight": plan.in_flight, "rounds": plan.rounds},
        figures={
            **{f"{name}_tickets_per_second": Spread.of(row) for name, row in rates.items()},
            **{f"to_{name}": Spread.of_ratios(rates[OURS], row) for name, row in rates.items() if name != OURS},
            "database_calls_alone": Spread.of([sum(alone.values())]),
            "database_calls_in_flight": Spread.of(crowded),
        },
        goals=[
            Goal("to_langgraph_postgres_saver", at_least=3),
            Goal("to_dbos", at_least=6),
            Goal("to_langgraph_no_saver", at_least=0.5),
            Goal("database_calls_alone", at_most=9),
            Goal("database_calls_in_flight", at_most=1),
        ],
        details={
            "database_calls_alone_by_function": alone,
            # Ours with intake; a machine that others use as well changes these less than the rates.
            "processor_ms_a_ticket_in_this_process": {
                name: round(statistics.median(row), 2) for name, row in processor.items()
            },
        },
        plots=plots,
    )


async def _contenders(bench: Bench, stack: AsyncExitStack) -> tuple[InOneProcess, Mapping[str, Contender]]:
    """Each on a database of its own."""

    async def database() -> str:
        return await stack.enter_async_context(bench.database())

    ours = await stack.enter_async_context(_ours(await database()))
    savers = langgraph_savers.with_savers
    return ours, {
        OURS: ours.run,
        STOCK: await stack.enter_async_context(savers(await database(), 1)),
        MANY_SAVERS: await stack.enter_async_context(savers(await database(), langgraph_savers.CONNECTIONS)),
        DBOS: await stack.enter_async_context(dbos_workflow.workflow(await database())),
        BARE: langgraph_savers.without_saver(),
    }


async def _sweep(plan: Plan, contenders: Mapping[str, Contender]) -> Plot:
    """All contenders at each number in flight, in turn."""
    lines: dict[str, list[tuple[float, float]]] = {SHOWN_AS[name]: [] for name in contenders}
    for in_flight in SWEEP:
        tickets = min(max(40, 4 * in_flight), plan.tickets)
        rates: dict[str, list[float]] = {name: [] for name in contenders}
        for _ in range(min(plan.rounds, SWEEP_ROUNDS)):
            for name, contender in contenders.items():
                rates[name].append(tickets / await contender(tickets, in_flight))
        for name, row in rates.items():
            lines[SHOWN_AS[name]].append((in_flight, statistics.median(row)))
    return Plot(
        name="throughput",
        title="Durable six-step tickets, one process, a model that answers at once",
        x="tickets in flight",
        y="tickets per second",
        lines=lines,
        log_x=True,
        log_y=True,
    )


class _Ended:
    """Counts tickets as the worker reports them."""

    def __init__(self) -> None:
        self.count = 0
        self.wanted = 0
        self.reached = asyncio.Event()

    def expect(self, tickets: int) -> None:
        self.wanted = self.count + tickets
        self.reached.clear()

    def in_flight(self, tickets: int) -> None:
        """Not measured here."""

    def processed(self, status: Status, seconds: float) -> None:
        assert status is Status.COMPLETED
        self.count += 1
        if self.count >= self.wanted:
            self.reached.set()

    def retried(self, reason: str) -> None:
        raise AssertionError(f"a ticket was retried: {reason}")

    def lease_lost(self) -> None:
        raise AssertionError("a lease was lost")

    def created(self, channel: Channel) -> None:
        """Not measured here."""


class InOneProcess:
    """Ours: intake, relay, queue and worker in this process."""

    def __init__(self, gateway: CountingGateway) -> None:
        self.gateway = gateway
        self.calls: Counter[str] = Counter()
        """Database calls by function, of the measured stretches alone."""
        self._ended = _Ended()
        self._broker = EmbeddedBroker(gateway, timedelta(seconds=30))
        self._outbox = Outbox(gateway)
        self._relay = Relay(self._outbox, self._broker)
        self._commits = Commits(gateway, BatchLimits(), on_wake_up=self._relay.wake)
        self._intake = Intake(self._commits, self._ended)
        self._graph = compile_graph(CheckpointSaver(gateway))

    async def run(self, tickets: int, in_flight: int) -> float:
        """The clock starts when all tickets stand in the queue, and stops when the last one is completed."""
        parts = WorkerParts(
            broker=self._broker,
            leases=Leases(self.gateway, "bench", timedelta(seconds=30), [FLOW_VERSION]),
            commits=self._commits,
            flows={FLOW_VERSION: self._graph},
            tools=tools(),
            policy=RetryPolicy(),
            observer=self._ended,
        )
        await self._intake.take_in_many(
            [NewTicket("cus_bench", "Keypad dark", TEXT, idempotency_key=uuid4().hex) for _ in range(tickets)],
            Caller("bench"),
        )
        relay = asyncio.create_task(self._relay.run())
        # A queue does not announce its depth, so it is asked.
        while sum((await self._broker.depths()).values()) < tickets:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        relay.cancel()
        await asyncio.gather(relay, return_exceptions=True)
        self._ended.expect(tickets)
        worker = Worker(parts, in_flight)
        calls_before = Counter(self.gateway.calls)
        started = time.perf_counter()
        running = asyncio.create_task(worker.run(5))
        await self._ended.reached.wait()
        seconds = time.perf_counter() - started
        # Setting the stage and clearing it away is not the tickets' cost.
        self.calls += Counter(self.gateway.calls) - calls_before
        worker.stop()
        await running
        return seconds


@asynccontextmanager
async def _ours(url: str) -> AsyncIterator[InOneProcess]:
    await migrate(url)
    gateway = PostgresGateway(url, 8)
    await gateway.open()
    try:
        yield InOneProcess(CountingGateway(gateway))
    finally:
        await gateway.aclose()
