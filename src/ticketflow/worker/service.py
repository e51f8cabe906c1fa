"""A worker process: tickets, upkeep, and a small HTTP server for health and metrics."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import timedelta

import structlog
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ticketflow import wiring
from ticketflow.domain.delivery import RetryPolicy
from ticketflow.llm.port import Model
from ticketflow.serving import serving
from ticketflow.telemetry.metrics import CONTENT_TYPE
from ticketflow.wiring import Application
from ticketflow.worker.consumer import Worker, WorkerParts
from ticketflow.worker.upkeep import Upkeep

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Working:
    worker: Worker
    model: Model


@contextlib.asynccontextmanager
async def working(app: Application, around: Callable[[Model], Model] = lambda model: model) -> AsyncIterator[Working]:
    """A worker on a connected application, with its upkeep loops running. ``around`` may put something before its
    model."""
    settings = app.settings
    asked = around(wiring.model(settings, app.observer, app.traffic))
    flows = wiring.flows(app)
    parts = WorkerParts(
        broker=app.broker,
        leases=wiring.leases(app, flows),
        commits=app.commits,
        flows=flows,
        tools=wiring.tools(app, asked),
        policy=RetryPolicy(
            settings.max_attempts,
            timedelta(seconds=settings.retry_base_seconds),
            timedelta(seconds=settings.retry_ceiling_seconds),
        ),
        observer=app.observer,
        breaker=app.traffic.breaker,
        close_after=settings.close_after,
    )
    upkeep = asyncio.create_task(
        Upkeep(
            app.outbox,
            app.commits,
            app.relay,
            timedelta(seconds=settings.sweep_after_seconds),
            app.retention,
            settings.keep_checkpoints,
            app.tallies,
            app.rarely,
        ).run()
    )
    try:
        async with app.traffic.breaker.probing(asked.check):
            yield Working(Worker(parts, settings.worker_concurrency), asked)
    finally:
        upkeep.cancel()
        await asyncio.gather(upkeep, return_exceptions=True)
        await asked.aclose()


def health_app(app: Application) -> Starlette:
    """``/health``, ``/ready`` and ``/metrics`` of a worker."""

    async def health(_: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def ready(_: Request) -> Response:
        checks = await app.readiness()
        down = any(state != "ok" for state in checks.values())
        return JSONResponse(
            {"status": "unavailable" if down else "ready", "checks": checks}, status_code=503 if down else 200
        )

    async def metrics(_: Request) -> Response:
        await app.refresh_gauges()
        return Response(app.metrics.render(), media_type=CONTENT_TYPE)

    return Starlette(routes=[Route("/health", health), Route("/ready", ready), Route("/metrics", metrics)])


@contextlib.asynccontextmanager
async def health_server(app: Application, listener: socket.socket) -> AsyncIterator[int]:
    """Serve ``health_app`` there; yields the port."""
    async with serving(health_app(app), listener):
        yield listener.getsockname()[1]
