"""``up`` and ``api``: serve until a signal, then drain."""

from __future__ import annotations

import asyncio
import contextlib
import sys

import structlog

from ticketflow import wiring
from ticketflow.api.app import create_app, end_streams
from ticketflow.domain.errors import TicketflowError
from ticketflow.serving import allow_connections, check_address, link, listening_socket, serving, settle_memory
from ticketflow.settings import Settings
from ticketflow.telemetry import logs
from ticketflow.wiring import Application
from ticketflow.worker.main import event_loop, on_signals
from ticketflow.worker.service import Working, working

log = structlog.get_logger()


def up(settings: Settings, *, with_worker: bool, with_samples: bool) -> int:
    """Serve the API, and with ``with_worker`` a worker beside it, until SIGINT or SIGTERM. Returns the exit code.

    ``with_samples`` lets the worker fill an empty embedded knowledge base.
    """
    logs.configure(settings.log_level, None if settings.log_format == "auto" else settings.log_format == "json")
    try:
        check_address(settings.host, allow_anonymous=settings.allow_anonymous, authenticates=settings.authenticates)
        with asyncio.Runner(loop_factory=event_loop()) as runner:
            runner.run(_up(settings, with_worker, with_samples))
    except TicketflowError as error:
        print(f"ticketflow: {logs.redacted(str(error))}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


async def _up(settings: Settings, with_worker: bool, with_samples: bool) -> None:
    allow_connections()
    listener = listening_socket(settings.host, settings.port)
    port = listener.getsockname()[1]
    stopping = asyncio.Event()
    async with contextlib.AsyncExitStack() as stack:
        stack.callback(listener.close)
        app = await stack.enter_async_context(
            wiring.connected(settings, auto_migrate=settings.embedded, fill_empty=True)
        )
        work: Working | None = None
        if with_worker:
            work = await stack.enter_async_context(working(app))
            if with_samples:
                await _first_articles(app)
        else:
            relay = asyncio.create_task(app.relay.run())
            stack.push_async_callback(_ended, relay)
        api = create_app(settings, app)
        await stack.enter_async_context(serving(api, listener, lambda: end_streams(api)))
        settle_memory()
        on_signals(stopping.set, settings.drain_seconds)
        _announce(app, work, link(settings.host, port))
        if work is None:
            await stopping.wait()
        else:
            running = asyncio.create_task(work.worker.run(settings.drain_seconds))
            await stopping.wait()
            work.worker.stop()
            await running
    log.info("ticketflow.stopped")


async def _ended(relay: asyncio.Task[None]) -> None:
    relay.cancel()
    await asyncio.gather(relay, return_exceptions=True)


async def _first_articles(app: Application) -> None:
    """An empty embedded database gets the sample shop's articles, so that the first ticket finds something to cite."""
    if app.settings.embedded and await app.library.count() == 0:
        from ticketflow.samples import articles

        stored = await app.library.add(articles())
        log.info("knowledge.samples_loaded", articles=stored)


def _announce(app: Application, work: Working | None, url: str) -> None:
    name = work.model.name if work else None
    offline = name is not None and app.settings.model_label is None
    log.info("ticketflow.up", url=url, database=app.database_label, broker=app.broker_label, model=name or "none here")
    lines = [
        f"Ticketflow is up at {url} (API documentation: {url}/docs)",
        f"  database  {app.database_label}",
        f"  queue     {app.broker_label}",
        f"  access    {app.settings.access_label}",
    ]
    if offline:
        lines.append(f"  model     {name}: rules, not a language model; set OPENAI_API_KEY or OPENAI_BASE_URL for one")
    elif name:
        lines.append(f"  model     {name}")
    else:
        lines.append("  worker    none in this process")
    print("\n".join(lines), flush=True)  # noqa: T201
