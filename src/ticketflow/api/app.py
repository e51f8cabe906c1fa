"""The HTTP application: translation between HTTP and the services, nothing else."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from ticketflow import wiring
from ticketflow.access.room import Room
from ticketflow.api import problems
from ticketflow.api.admission import Admission
from ticketflow.api.authentication import Authentication
from ticketflow.api.docs import describe_access, describe_problems
from ticketflow.api.middleware import RequestFrame
from ticketflow.api.routes import aggregates, operations, people, steering, streams, tickets
from ticketflow.api.streams import EventHub
from ticketflow.domain.errors import TicketflowError
from ticketflow.settings import Settings
from ticketflow.wiring import Application

log = structlog.get_logger()


def create_app(settings: Settings, application: Application | None = None) -> FastAPI:
    """The API. Connects by itself while it is served, or uses an ``application`` that is connected already."""

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with contextlib.AsyncExitStack() as stack:
            connected = application
            if connected is None:
                connected = await stack.enter_async_context(
                    wiring.connected(settings, auto_migrate=settings.embedded, fill_empty=True)
                )
                background = asyncio.create_task(connected.relay.run())
                stack.push_async_callback(_cancelled, background)
                log.info("api.started", database=connected.database_label, broker=connected.broker_label)
            hub = EventHub(connected.reads)
            stack.push_async_callback(_cancelled, asyncio.create_task(hub.run()))
            app.state.access = await stack.enter_async_context(wiring.access(connected))
            app.state.application = connected
            app.state.metrics = connected.metrics
            app.state.hub = hub
            yield

    app = FastAPI(
        title="Ticketflow",
        version="0.1.0",
        summary="Support tickets in, answers out; none lost, nothing done twice.",
        lifespan=lifespan,
        openapi_url="/openapi.json",
        redoc_url=None,
        swagger_ui_oauth2_redirect_url=None,
        redirect_slashes=False,
    )
    wiring.check_access(settings)
    if settings.allow_anonymous:
        log.warning(
            "api.anonymous",
            warning="TICKETFLOW_ALLOW_ANONYMOUS is set: whoever reaches this server can read and change every ticket",
        )
    handlers: dict[Any, Any] = {
        TicketflowError: problems.on_ticketflow_error,
        RequestValidationError: problems.on_validation_error,
        HTTPException: problems.on_http_error,
    }
    for kind, handler in handlers.items():
        app.add_exception_handler(kind, handler)
    app.add_middleware(Authentication)
    app.add_middleware(
        Admission,
        room=Room(settings.longest_wait, settings.waiting_bytes),
        max_body_bytes=settings.max_body_bytes,
    )
    app.add_middleware(
        RequestFrame,
        max_body_bytes=settings.max_body_bytes,
        body_seconds=settings.body_seconds,
        only_from_here=not (settings.allow_anonymous or settings.authenticates),
    )
    routers = (streams.router, tickets.router, steering.router, people.router, aggregates.router, operations.router)
    for router in routers:
        app.include_router(router)
    app.state.routes = [route for router in routers for route in router.routes]
    describe_problems(app)
    describe_access(app)
    return app


def end_streams(app: FastAPI) -> None:
    """Let the event streams end, which would otherwise go on until the server cuts them."""
    hub: EventHub | None = getattr(app.state, "hub", None)
    if hub is not None:
        hub.close()


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
