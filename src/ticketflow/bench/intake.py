"""Row: ``POST /tickets`` over HTTP, against the same application answering 201 with no I/O; and what more callers than
it can serve do to those whom it lets in.

Three processes: the API as ``ticketflow api`` serves it with its relay, the same API whose intake stores nothing, and
the load. The ratio is of one kept-alive connection a caller, each with the next ticket when the last was answered; the
latencies are of callers who come at a steady rate, counted from the moment at which each was due.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import SecretStr

from ticketflow.bench.frame import Bench, Goal, Measurement, Plot, Spread
from ticketflow.bench.subprocesses import Process, started
from ticketflow.db.migrate import migrate
from ticketflow.settings import Settings

OURS, NO_IO = "ticketflow", "no_io"

CALLERS = 64
SLICES = 4
"""A round is so many short turns of each side, so that a machine that is busy for a second is so for both."""

LOADS = (0.25, 0.5, 0.75, 1.0, 2.0, 3.0)
"""As parts of what the closed loop reached."""

LOAD_SECONDS = 3.0
MOST_CONNECTIONS = 1000


@dataclass
class _Side:
    server: Process
    port: int
    seconds: float = 0.0
    cpu: float = 0.0
    requests: int = 0

    def begin(self) -> None:
        self.seconds, self.cpu, self.requests = 0.0, 0.0, 0

    async def turn(self, load: Process, requests: int) -> None:
        before = self.server.cpu_seconds()
        done = await load.asked({"port": self.port, "connections": CALLERS, "requests": requests})
        assert done["statuses"].get("201") == requests, done
        self.seconds += done["seconds"]
        self.cpu += self.server.cpu_seconds() - before
        self.requests += requests

    @property
    def rate(self) -> float:
        return self.requests / self.seconds

    @property
    def cpu_milliseconds(self) -> float:
        return 1000 * self.cpu / self.requests


async def measure(bench: Bench) -> Measurement:
    """Both sides in turn, round by round; then ours alone at one load after the other."""
    plan = bench.plan
    async with contextlib.AsyncExitStack() as stack:
        load = await stack.enter_async_context(started("ticketflow.bench.load", {}))
        sides = {}
        for name in (OURS, NO_IO):
            settings = await stack.enter_async_context(_settings(bench))
            job = {"settings": settings.handed_on(), "no_io": name == NO_IO}
            server = await stack.enter_async_context(started("ticketflow.bench.api_server", job))
            sides[name] = _Side(server, await server.said())
            await sides[name].turn(load, 2 * CALLERS)
        rates: dict[str, list[float]] = {name: [] for name in sides}
        cpu: dict[str, list[float]] = {name: [] for name in sides}
        for _ in range(plan.rounds):
            for side in sides.values():
                side.begin()
            for _ in range(SLICES):
                for side in sides.values():
                    await side.turn(load, plan.tickets)
            for name, side in sides.items():
                rates[name].append(side.rate)
                cpu[name].append(side.cpu_milliseconds)
        capacity = Spread.of(rates[OURS]).median
        loads = {part: await _at(part * capacity, sides[OURS], load) for part in LOADS}
        resident = sides[OURS].server.resident_bytes() / 2**20
    return Measurement(
        what="POST /tickets: durable row, event and outbox row, against the same application without I/O",
        setting={
            "callers": CALLERS,
            "tickets_a_round": SLICES * plan.tickets,
            "rounds": plan.rounds,
            "queue": "embedded",
        },
        figures={
            **{f"{name}_requests_per_second": Spread.of(row) for name, row in rates.items()},
            **{f"{name}_api_cpu_milliseconds": Spread.of(row) for name, row in cpu.items()},
            "to_no_io": Spread.of_ratios(rates[OURS], rates[NO_IO]),
            "accepted_p99_milliseconds_at_1x": Spread.of([loads[1.0]["p99_ms"]]),
            "accepted_p99_milliseconds_at_3x": Spread.of([loads[3.0]["p99_ms"]]),
            "api_resident_megabytes": Spread.of([resident]),
        },
        goals=[Goal("to_no_io", at_least=0.5)],
        details={"loads": {f"{part:g}x": answers for part, answers in loads.items()}},
        plots=[_plot(loads)],
    )


async def _at(rate: float, side: _Side, load: Process) -> dict[str, Any]:
    """What callers at this rate were answered, and how soon those whose ticket was taken in."""
    done = await load.asked({"port": side.port, "rate": rate, "seconds": LOAD_SECONDS, "connections": MOST_CONNECTIONS})
    return {
        "requests_per_second": rate,
        "accepted_per_second": done["statuses"].get("201", 0) / done["seconds"],
        **{key: done[key] for key in ("statuses", "p50_ms", "p99_ms", "longest_ms")},
    }


def _plot(loads: Mapping[float, Mapping[str, Any]]) -> Plot:
    return Plot(
        name="intake-latency",
        title="POST /tickets: latency of accepted tickets against load",
        x="requests a second",
        y="milliseconds",
        lines={
            label: [(each["requests_per_second"], each[key]) for each in loads.values()]
            for label, key in (("p50", "p50_ms"), ("p99", "p99_ms"))
        },
        log_y=True,
    )


@contextlib.asynccontextmanager
async def _settings(bench: Bench) -> AsyncIterator[Settings]:
    """The API's, with a database of its own, asked by no workers and in nobody's name.

    The queue is the one in that database: nobody would ever take the messages out of a RabbitMQ again.
    """
    async with bench.database() as url:
        await migrate(url)
        without = ("rabbitmq_url", "token_secret", "token_secret_file", "supabase_url", "supabase_key")
        none = dict.fromkeys((*without, "supabase_jwt_secret"))
        yield bench.settings.model_copy(update={**none, "database_url": SecretStr(url)})
