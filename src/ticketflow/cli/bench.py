"""``bench``: the rows of the speed table, measured side by side; JSON on stdout, the same as tables on stderr."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import structlog

from ticketflow.bench import (
    answer_time,
    commits,
    durable_steps,
    growth,
    intake,
    machine,
    many_in_flight,
    plots,
    rest,
    scale_out,
    takeover,
    tokens,
)
from ticketflow.bench.frame import Bench, LeftOut, Measurement, Plan, Row, Spread
from ticketflow.cli import bench_table
from ticketflow.cli.console import err, fail, plain, say_json
from ticketflow.cli.throwaway import own_server, throwaway_database, until_told
from ticketflow.domain.errors import TicketflowError
from ticketflow.settings import Settings
from ticketflow.telemetry import logs
from ticketflow.worker.main import event_loop

log = structlog.get_logger()

ROWS: dict[str, Row] = {
    "durable-steps": durable_steps.measure,
    "commits": commits.measure,
    "many-in-flight": many_in_flight.measure,
    "scale-out": scale_out.measure,
    "takeover": takeover.measure,
    "intake": intake.measure,
    "answer-time": answer_time.measure,
    "growth": growth.measure,
    "rest": rest.measure,
    "tokens": tokens.measure,
}


def bench(settings: Settings, rows: Sequence[str], plan: Plan, folder: Path | None) -> int:
    """Measure the named rows, or all, and draw their plots into ``folder``, if one is given.

    A row that fails is told in its place, and the others are measured all the same; so also what was measured before
    somebody lost patience. Returns the exit code: 1 when any row failed.
    """
    logs.configure("ERROR")

    async def run() -> int:
        async with own_server(settings) as server:
            facts = {"machine": machine.machine(), "versions": await machine.versions(server, settings)}
            place = Bench(lambda: throwaway_database(server, "bench"), plan, settings)
            measured: list[dict[str, Any]] = []
            try:
                for name in dict.fromkeys(rows or ROWS):
                    err.print(f"{name}: {plan.rounds} rounds ...")
                    measured.append(await _row(name, place, folder, named=bool(rows)))
            finally:
                if measured:
                    say_json({**facts, "rows": measured})
            return int(any("error" in row for row in measured))

    try:
        if folder is not None:
            plots.check(folder)
        with asyncio.Runner(loop_factory=event_loop()) as runner:
            return runner.run(until_told(run()))
    except TicketflowError as error:
        return fail(error)


async def _row(name: str, place: Bench, folder: Path | None, *, named: bool) -> dict[str, Any]:
    """The row as JSON, shown as a table besides. ``named``: somebody asked for this one, and not for all."""
    try:
        measured = await ROWS[name](place)
        as_json = {"row": name, **_as_json(measured)}
        if folder is not None:
            as_json["plots"] = [str(plots.write(plot, folder)) for plot in measured.plots]
        bench_table.show(name, measured)
    except TicketflowError as error:
        if isinstance(error, LeftOut) and not named:
            err.print(f"{name}: left out: {plain(error)}")
            return {"row": name, "left_out": logs.redacted(str(error))}
        fail(TicketflowError(f"{name}: {error}"))
        return {"row": name, "error": logs.redacted(str(error))}
    except Exception as error:
        # The outermost loop of a row: hours may have gone into the others.
        log.exception("bench.row_failed", row=name)
        return {"row": name, "error": type(error).__name__}
    return as_json


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
