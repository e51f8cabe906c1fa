"""``python -m ticketflow.bench.takeover_worker``: a real worker process; its model never answers, or at once.

The first line of stdin is ``{"settings": ..., "answers": true|false}``. It leaves when stdin is closed.
"""

from __future__ import annotations

import asyncio
import sys

import orjson

from ticketflow import wiring
from ticketflow.bench.stand_ins import InstantModel
from ticketflow.llm.port import AnswerT, Model, Question, Reply
from ticketflow.settings import Settings
from ticketflow.telemetry import logs
from ticketflow.worker.main import event_loop
from ticketflow.worker.service import working


class SilentModel(InstantModel):
    """Whoever asks it waits, with the ticket in hand."""

    async def ask(self, question: Question[AnswerT]) -> Reply[AnswerT]:
        await asyncio.Event().wait()
        return await super().ask(question)


async def run(settings: Settings, model: Model) -> None:
    async with (
        wiring.connected(settings, auto_migrate=False, patience=wiring.WORKER_PATIENCE_SECONDS) as app,
        working(app, lambda _: model) as work,
    ):
        asyncio.get_running_loop().add_reader(sys.stdin.fileno(), work.worker.stop)
        await work.worker.run(0)


def main() -> int:
    logs.configure("ERROR", False)
    job = orjson.loads(sys.stdin.buffer.readline())
    model = InstantModel() if job["answers"] else SilentModel()
    with asyncio.Runner(loop_factory=event_loop()) as runner:
        runner.run(run(Settings.model_validate(job["settings"]), model))
    return 0


if __name__ == "__main__":
    sys.exit(main())
