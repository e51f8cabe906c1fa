"""``python -m ticketflow.bench.worker_process``: a real worker process, all but its model.

The first line of stdin is ``{"settings": ..., "seconds_a_call": ...}``: how long the model takes, null for a model that
never answers. Once connected it writes the line ``"ready"`` to stdout; the next line of stdin sends it to work. It
leaves when stdin is closed.
"""

from __future__ import annotations

import asyncio
import sys

import orjson

from ticketflow import wiring
from ticketflow.bench.stand_ins import PacedModel
from ticketflow.llm.port import Model
from ticketflow.serving import settle_memory
from ticketflow.settings import Settings
from ticketflow.telemetry import logs
from ticketflow.worker.main import event_loop
from ticketflow.worker.service import working


async def run(settings: Settings, model: Model) -> None:
    async with (
        wiring.connected(settings, auto_migrate=False, patience=wiring.WORKER_PATIENCE_SECONDS) as app,
        working(app, lambda _: model) as work,
    ):
        sys.stdout.write('"ready"\n')
        sys.stdout.flush()
        settle_memory()
        if await asyncio.to_thread(sys.stdin.buffer.readline):
            asyncio.get_running_loop().add_reader(sys.stdin.fileno(), work.worker.stop)
            await work.worker.run(0)


def main() -> int:
    logs.configure("ERROR", False)
    job = orjson.loads(sys.stdin.buffer.readline())
    with asyncio.Runner(loop_factory=event_loop()) as runner:
        runner.run(run(Settings.model_validate(job["settings"]), PacedModel(job["seconds_a_call"])))
    return 0


if __name__ == "__main__":
    sys.exit(main())
