"""``python -m ticketflow.cli.demo.worker``: a real worker process, but for the time that its model takes."""

from __future__ import annotations

import asyncio
import sys

from ticketflow import wiring
from ticketflow.cli.demo.job import Job, say_asked, taken_job, when_left_alone
from ticketflow.cli.demo.pace import PacedModel
from ticketflow.telemetry import logs
from ticketflow.worker.main import event_loop
from ticketflow.worker.service import working


async def run(job: Job) -> None:
    """Work until whoever started this process lets go of it."""
    async with (
        wiring.connected(job.settings, auto_migrate=False, patience=wiring.WORKER_PATIENCE_SECONDS) as app,
        working(app, lambda model: PacedModel(model, job.pace, say_asked)) as work,
    ):
        when_left_alone(work.worker.stop)
        await work.worker.run(job.settings.drain_seconds)


def main() -> int:
    logs.configure("ERROR", False)
    with asyncio.Runner(loop_factory=event_loop()) as runner:
        runner.run(run(taken_job()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
