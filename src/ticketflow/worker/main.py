"""``python -m ticketflow.worker.main``: one worker process."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable

import structlog

from ticketflow import settings as configuration
from ticketflow import wiring
from ticketflow.domain.errors import TicketflowError
from ticketflow.serving import listening_socket, settle_memory
from ticketflow.settings import Settings, SettingsError
from ticketflow.telemetry import logs
from ticketflow.worker.service import health_server, working

log = structlog.get_logger()

CLOSING_SECONDS = 5.0
"""After the grace period, to give back what is left and to close connections; a server that hangs lets neither end."""


async def run(settings: Settings) -> None:
    """Work until SIGTERM or SIGINT, then drain. A second signal ends the process at once; the fence covers for it."""
    # Before anything is connected: that the port is taken is to be one line, and no connection left half-way.
    with listening_socket(settings.metrics_host, settings.metrics_port) as listener:
        await _work(settings, listener)


async def _work(settings: Settings, listener: socket.socket) -> None:
    async with (
        wiring.connected(
            settings,
            auto_migrate=settings.embedded,
            fill_empty=True,
            patience=wiring.WORKER_PATIENCE_SECONDS,
        ) as app,
        working(app) as work,
        health_server(app, listener) as port,
    ):
        log.info(
            "worker.started",
            database=app.database_label,
            broker=app.broker_label,
            model=work.model.name,
            concurrency=settings.worker_concurrency,
            metrics=f"http://{settings.metrics_host}:{port}/metrics",
        )
        settle_memory()
        on_signals(work.worker.stop, settings.drain_seconds)
        await work.worker.run(settings.drain_seconds)
    log.info("worker.stopped")


def on_signals(stop: Callable[[], None], grace_seconds: float) -> None:
    """Call ``stop`` at the first SIGTERM or SIGINT. The second one ends the process, and so does the clock once the
    grace period and ``CLOSING_SECONDS`` are over: what is left then is covered by the fence."""
    loop = asyncio.get_running_loop()

    def first() -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_DFL)
        # A thread of its own: whatever keeps the process from ending may keep its event loop as well.
        clock = threading.Timer(grace_seconds + CLOSING_SECONDS, _give_up, (grace_seconds,))
        clock.daemon = True
        clock.start()
        stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, first)


def _give_up(grace_seconds: float) -> None:
    log.error("stop.forced", grace_seconds=grace_seconds, closing_seconds=CLOSING_SECONDS)
    os._exit(1)


def serve(settings: Settings) -> int:
    """Run a worker to its end. Returns the exit code; a start that cannot work is one line on stderr."""
    logs.configure(settings.log_level, None if settings.log_format == "auto" else settings.log_format == "json")
    try:
        with asyncio.Runner(loop_factory=event_loop()) as runner:
            runner.run(run(settings))
    except (TicketflowError, SettingsError) as error:
        print(f"ticketflow: {logs.redacted(str(error))}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


def event_loop() -> type[asyncio.AbstractEventLoop] | None:
    """uvloop where it exists, else None for the default."""
    with contextlib.suppress(ImportError):
        import uvloop

        return uvloop.Loop
    return None


def main() -> int:
    try:
        settings = configuration.load()
    except SettingsError as error:
        print(f"ticketflow: {error}", file=sys.stderr)  # noqa: T201
        return 1
    return serve(settings)


if __name__ == "__main__":
    sys.exit(main())
