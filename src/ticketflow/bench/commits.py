"""Row: how long the commit of a step takes, and how many travel together, with few and with many tickets in flight.

What is committed is what the worker commits: the six steps of a run that was taped once, event and checkpoint under a
lease, by the worker's own code. Between two steps a ticket pauses for a while, as it would for a model that answers far
sooner than any does; with many in flight there are more commits than one call after the other could carry.

Alone it is compared with the same commit sent straight through, past the batches: what is more would be waiting for
company. And with what the server takes for anything at all: an empty query, and a transaction that inserts one row.
"""

from __future__ import annotations

import asyncio
import random
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg

from ticketflow.bench.frame import Bench, Goal, Measurement, Plot, Spread, percentile
from ticketflow.bench.stand_ins import TEXT, ticket, tools
from ticketflow.db.batching import BatchLimits
from ticketflow.db.checkpoints import RUN_KEY, CheckpointSaver
from ticketflow.db.commits import Commits
from ticketflow.db.leases import Lease, Leases
from ticketflow.db.migrate import migrate
from ticketflow.db.postgres import PostgresGateway
from ticketflow.domain.change import Change, CheckpointRow, Outcome
from ticketflow.domain.errors import TicketflowError
from ticketflow.domain.tickets import Channel
from ticketflow.llm.port import Usage
from ticketflow.services.caller import Caller
from ticketflow.services.intake import Intake, NewTicket
from ticketflow.worker.run import TicketRun
from ticketflow.workflow.graph import compile_graph
from ticketflow.workflow.state import FLOW_VERSION, RunContext, StepReport


@dataclass(frozen=True, slots=True)
class Load:
    """``levels``: tickets in flight, the first of them 1. ``pause_seconds``: between two steps of a ticket, on average;
    each pause is somewhere between none and twice that. ``fewest_tickets``: at any level; each makes six commits."""

    levels: tuple[int, ...] = (1, 10, 50, 200, 1000)
    pause_seconds: float = 0.05
    fewest_tickets: int = 20

    def tickets(self, level: int) -> int:
        return max(level, self.fewest_tickets)


POOL_SIZE = 8

_INSERT = "insert into bench_rows (body) values (%s)"


async def measure(bench: Bench, load: Load = Load()) -> Measurement:
    """Each level in turn, round by round."""
    async with (
        bench.database() as url,
        _connected(url) as gateway,
        await psycopg.AsyncConnection.connect(url, autocommit=True) as server,
    ):
        await server.execute("create table bench_rows (id bigint generated always as identity, body text)")
        place = _Place(gateway, server, await _taped(gateway), load)
        await place.alone()
        rounds = [await place.round() for _ in range(bench.plan.rounds)]
    figures = {name: Spread.of([each[name] for each in rounds]) for name in rounds[0]}
    return Measurement(
        what="a step's commit: how long it takes, and how many travel together",
        setting={
            "in_flight": list(load.levels),
            "tickets_a_level": {str(level): load.tickets(level) for level in load.levels},
            "mean_pause_between_steps_seconds": load.pause_seconds,
            "rounds": bench.plan.rounds,
        },
        figures=figures,
        goals=[Goal("alone_to_unbatched", at_most=1.25), Goal("mean_batch_at_1", at_most=1)],
        plots=_plots(figures, load.levels),
    )


def _plots(figures: Mapping[str, Spread], levels: Sequence[int]) -> list[Plot]:
    def line(name: str) -> list[tuple[float, float]]:
        return [(level, figures[f"{name}_at_{level}"].median) for level in levels]

    return [
        Plot(
            name="commit-latency",
            title="How long a step's commit takes",
            x="tickets in flight",
            y="milliseconds",
            lines={"p99": line("p99_ms"), "p50": line("p50_ms")},
            log_x=True,
            log_y=True,
        ),
        Plot(
            name="commit-batches",
            title="How many commits travel in one call",
            x="tickets in flight",
            y="commits in a call, mean",
            lines={"Ticketflow": line("mean_batch")},
            log_x=True,
            log_y=True,
        ),
    ]


Step = tuple[StepReport, CheckpointRow]


@dataclass(slots=True)
class _Tape:
    """Stands where a worker's run does, and keeps what it is given to commit."""

    steps: list[Step] = field(default_factory=list)
    saved: Mapping[str, Any] | None = None
    _report: StepReport | None = None

    def begin(self, step: str) -> None:
        """Not kept."""

    def spend(self, usage: Usage) -> None:
        """Not kept."""

    def record(self, report: StepReport) -> None:
        self._report = report

    async def commit_step(self, row: CheckpointRow) -> bool:
        report, self._report = self._report, None
        if report is None:
            return False
        self.steps.append((report, row))
        return True


async def _taped(gateway: PostgresGateway) -> list[Step]:
    """The steps of one run through the graph, as they come to be committed."""
    tape, current = _Tape(), ticket()
    await compile_graph(CheckpointSaver(gateway)).ainvoke(
        {"flow_version": FLOW_VERSION},
        {"configurable": {"thread_id": str(current.id), RUN_KEY: tape}},
        context=RunContext(current, tools(), tape),
        durability="sync",
    )
    return tape.steps


class _Unbatched(Commits):
    """Each change in a call of its own, at once."""

    async def apply(self, change: Change) -> Outcome:
        [outcome] = await self.apply_all([change])
        return outcome


class _Created:
    def created(self, channel: Channel) -> None:
        """Not measured here."""


class _Place:
    """A migrated database, and the commits of one process to it."""

    def __init__(
        self, gateway: PostgresGateway, server: psycopg.AsyncConnection[Any], steps: Sequence[Step], load: Load
    ) -> None:
        self._server = server
        self._steps = steps
        self._load = load
        self._batches: list[int] = []
        self._commits = Commits(gateway, BatchLimits(), observe=self._batches.append)
        self._unbatched = _Unbatched(gateway)
        self._leases = Leases(gateway, "bench", timedelta(minutes=10), [FLOW_VERSION])

    async def round(self) -> dict[str, float]:
        """One value of every figure."""
        figures = await self.alone()
        for level in self._load.levels[1:]:
            figures |= await self._level(level)
        return figures

    async def alone(self) -> dict[str, float]:
        """The figures of one ticket in flight and of what it is compared with, in turn from ticket to ticket."""
        leases = iter(await self._claimed(2 * self._load.tickets(1)))
        body = str(self._steps[0])
        self._batches.clear()
        seconds: dict[str, list[float]] = {"batched": [], "unbatched": [], "insert": [], "select": []}
        for batched, unbatched in zip(leases, leases, strict=True):
            seconds["batched"] += await self._steps_of(batched, self._commits)
            seconds["unbatched"] += await self._steps_of(unbatched, self._unbatched)
            seconds["insert"] += await self._calls(lambda: self._server.execute(_INSERT, (body,)))
            seconds["select"] += await self._calls(lambda: self._server.execute("select 1"))
        medians = {f"{name}_p50_ms": percentile(row, 0.5) * 1000 for name, row in seconds.items() if name != "batched"}
        figures = self._figures(1, seconds["batched"])
        for name in ("unbatched", "insert"):
            figures[f"alone_to_{name}"] = figures["p50_ms_at_1"] / medians[f"{name}_p50_ms"]
        return figures | medians

    async def _level(self, level: int) -> dict[str, float]:
        """The figures of one number in flight."""
        waiting = iter(await self._claimed(self._load.tickets(level)))
        seconds: list[float] = []

        async def lane() -> None:
            for lease in waiting:
                seconds.extend(await self._steps_of(lease, self._commits))

        self._batches.clear()
        started = time.perf_counter()
        await asyncio.gather(*(lane() for _ in range(level)))
        rate = len(seconds) / (time.perf_counter() - started)
        return {**self._figures(level, seconds), f"commits_per_second_at_{level}": rate}

    def _figures(self, level: int, seconds: Sequence[float]) -> dict[str, float]:
        return {
            f"p50_ms_at_{level}": percentile(seconds, 0.5) * 1000,
            f"p99_ms_at_{level}": percentile(seconds, 0.99) * 1000,
            f"mean_batch_at_{level}": statistics.fmean(self._batches),
        }

    async def _steps_of(self, lease: Lease, commits: Commits) -> list[float]:
        """Commit all steps of one ticket; the seconds of each."""
        run, steps = TicketRun(lease, commits), iter(self._steps)

        async def commit() -> None:
            report, row = next(steps)
            run.record(report)
            await run.commit_step(replace(row, thread_id=str(lease.ticket.id)))

        return await self._calls(commit)

    async def _calls(self, call: Callable[[], Awaitable[Any]]) -> list[float]:
        """The seconds of each of as many calls as there are steps, with a pause before each."""
        seconds = []
        for _ in self._steps:
            await asyncio.sleep(random.uniform(0, 2 * self._load.pause_seconds))
            started = time.perf_counter()
            await call()
            seconds.append(time.perf_counter() - started)
        return seconds

    async def _claimed(self, tickets: int) -> list[Lease]:
        news = [NewTicket("cus_bench", "Keypad dark", TEXT, idempotency_key=uuid4().hex) for _ in range(tickets)]
        taken = await Intake(self._unbatched, _Created()).take_in_many(news, Caller("bench"))
        ids: list[UUID] = [new.ticket_id for new in taken if not isinstance(new, TicketflowError)]
        claimed = await asyncio.gather(*(self._leases.claim(each, takeover=False) for each in ids))
        return [lease for lease in claimed if isinstance(lease, Lease)]


@asynccontextmanager
async def _connected(url: str) -> AsyncIterator[PostgresGateway]:
    await migrate(url)
    gateway = PostgresGateway(url, POOL_SIZE)
    await gateway.open()
    try:
        yield gateway
    finally:
        await gateway.aclose()
