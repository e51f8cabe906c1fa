"""``python -m ticketflow.bench.api_server``: the API as ``ticketflow api`` serves it, in a process of its own.

The first line of stdin is ``{"settings": ..., "no_io": true|false}``; the port is the first line of stdout. With
``no_io`` a ticket that was read, checked and admitted is answered with 201 and not looked at again. It leaves when
stdin is closed.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import sys
from uuid import uuid4

import orjson

from ticketflow import wiring
from ticketflow.api.app import create_app, end_streams
from ticketflow.domain.tickets import Status
from ticketflow.services.caller import Caller
from ticketflow.services.intake import Intake, NewTicket, Taken
from ticketflow.serving import allow_connections, listening_socket, serving, settle_memory
from ticketflow.settings import Settings
from ticketflow.telemetry import logs
from ticketflow.worker.main import event_loop


class NoIntake(Intake):
    """Says that it stored the ticket."""

    async def take_in(self, new: NewTicket, caller: Caller) -> Taken:
        return Taken(uuid4(), Status.PENDING, created=True)


async def run(settings: Settings, *, no_io: bool) -> None:
    leaving = asyncio.Event()
    allow_connections()
    listener = listening_socket("127.0.0.1", 0)
    async with contextlib.AsyncExitStack() as stack:
        stack.callback(listener.close)
        app = await stack.enter_async_context(wiring.connected(settings, auto_migrate=False))
        relay = asyncio.create_task(app.relay.run())
        stack.callback(relay.cancel)
        if no_io:
            app = dataclasses.replace(app, intake=NoIntake(app.commits, app.observer))
        api = create_app(settings, app)
        await stack.enter_async_context(serving(api, listener, lambda: end_streams(api)))
        settle_memory()
        asyncio.get_running_loop().add_reader(sys.stdin.fileno(), leaving.set)
        print(listener.getsockname()[1], flush=True)  # noqa: T201 - the answer to whoever started it
        await leaving.wait()


def main() -> int:
    job = orjson.loads(sys.stdin.buffer.readline())
    logs.configure("INFO", True)
    with asyncio.Runner(loop_factory=event_loop()) as runner:
        runner.run(run(Settings.model_validate(job["settings"]), no_io=job["no_io"]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
