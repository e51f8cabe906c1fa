"""``python -m ticketflow.worker.main``: one worker process."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import Callable

import structlog

from ticketflow import settings as configuration
from ticketflow import wiring
from ticketflow.domain.errors import TicketflowError
from ticketflow.settings import Settings, SettingsError
from ticketflow.telemetry import logs
from ticketflow.worker.service import health_server, working

log = structlog.get_logger()


async def run(settings: Settings) -> None:
    """Work until SIGTERM or SIGINT, then drain. A second signal ends the process at once; the fence covers for it."""
    async with (
        wiring.connected(
            settings,
            auto_migrate=settings.database_url is None,
            fill_empty=True,
            patience=wiring.WORKER_PATIENCE_SECONDS,
        ) as app,
        working(app) as work,
        health_server(app) as port,
    ):
        log.info(
            "worker.started",
            database=app.database_label,
            broker=app.broker_label,
            model=work.model.name,
            concurrency=settings.worker_concurrency,
            metrics=f"http://{settings.metrics_host}:{port}/metrics",
        )
        on_signals(work.worker.stop)
        await work.worker.run(settings.drain_seconds)
    log.info("worker.stopped")


def on_signals(stop: Callable[[], None]) -> None:
    """Call ``stop`` at the first SIGTERM or SIGINT, and let the second one end the process."""
    loop = asyncio.get_running_loop()

    def first() -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_DFL)
        stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, first)


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
