"""``bench``: the rows of the speed table, measured side by side and printed as JSON."""

from __future__ import annotations

import asyncio
import os
import platform
from dataclasses import asdict
from typing import Any

from ticketflow import wiring
from ticketflow.bench import commits, durable_steps, many_in_flight, scale_out, takeover
from ticketflow.bench.frame import Bench, Measurement, Plan, Row, Spread
from ticketflow.cli.console import err, fail, say_json
from ticketflow.cli.throwaway import throwaway_database
from ticketflow.domain.errors import TicketflowError
from ticketflow.settings import Settings
from ticketflow.telemetry import logs
from ticketflow.worker.main import event_loop

ROWS: dict[str, Row] = {
    "durable-steps": durable_steps.measure,
    "commits": commits.measure,
    "many-in-flight": many_in_flight.measure,
    "scale-out": scale_out.measure,
    "takeover": takeover.measure,
}


def bench(settings: Settings, rows: list[str], plan: Plan) -> int:
    """Measure the named rows, or all. Returns the exit code; JSON goes to stdout."""
    logs.configure("ERROR")

    async def run() -> None:
        rows_measured = []
        async with wiring.database(settings) as (server, _):
            for name in rows or list(ROWS):
                err.print(f"{name}: {plan.rounds} rounds ...")
                measured = await ROWS[name](Bench(lambda: throwaway_database(server, "bench"), plan, settings))
                rows_measured.append({"row": name, **_as_json(measured)})
        say_json(
            {
                "python": platform.python_version(),
                "machine": platform.machine(),
                "cpus": os.cpu_count(),
                "rows": rows_measured,
            }
        )

    try:
        with asyncio.Runner(loop_factory=event_loop()) as runner:
            runner.run(run())
    except TicketflowError as error:
        return fail(error)
    return 0


def _as_json(measured: Measurement) -> dict[str, Any]:
    return {
        "what": measured.what,
        "setting": measured.setting,
        "figures": {name: _rounded(figure) for name, figure in measured.figures.items()},
        "goals": [
            {
                "figure": goal.figure,
                "at_least": goal.at_least,
                "at_most": goal.at_most,
                "reached": goal.reached(measured.figures[goal.figure]),
            }
            for goal in measured.goals
        ],
        "details": measured.details,
    }


def _rounded(figure: Spread) -> dict[str, float]:
    """Three digits say all that a benchmark can know."""
    return {name: float(f"{value:.3g}") for name, value in asdict(figure).items()}
