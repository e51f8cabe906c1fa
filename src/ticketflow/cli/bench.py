"""``bench``: the rows of the speed table, measured side by side and printed as JSON."""

from __future__ import annotations

import asyncio
import os
import platform
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any

from ticketflow import wiring
from ticketflow.bench import durable_steps, takeover
from ticketflow.cli.console import err, fail, say_json
from ticketflow.cli.throwaway import throwaway_database
from ticketflow.domain.errors import TicketflowError
from ticketflow.settings import Settings
from ticketflow.telemetry import logs
from ticketflow.worker.main import event_loop


@dataclass(frozen=True, slots=True)
class Bench:
    """What a row is measured with. ``database`` gives the connection string of an empty one, as a context."""

    database: Callable[[], AbstractAsyncContextManager[str]]
    plan: durable_steps.Plan
    settings: Settings


ROWS: dict[str, Callable[[Bench], Awaitable[dict[str, Any]]]] = {
    "durable-steps": lambda bench: durable_steps.measure(bench.database, bench.plan),
    "takeover": lambda bench: takeover.measure(bench.database, bench.settings, bench.plan.rounds),
}


def bench(settings: Settings, rows: list[str], plan: durable_steps.Plan) -> int:
    """Measure the named rows, or all. Returns the exit code; JSON goes to stdout."""
    logs.configure("ERROR")

    async def run() -> None:
        measured = []
        async with wiring.database(settings) as (server, _):
            for name in rows or list(ROWS):
                err.print(f"{name}: {plan.rounds} rounds ...")
                measured.append(await ROWS[name](Bench(lambda: throwaway_database(server, "bench"), plan, settings)))
        say_json(
            {
                "python": platform.python_version(),
                "machine": platform.machine(),
                "cpus": os.cpu_count(),
                "rows": measured,
            }
        )

    try:
        with asyncio.Runner(loop_factory=event_loop()) as runner:
            runner.run(run())
    except TicketflowError as error:
        return fail(error)
    return 0
