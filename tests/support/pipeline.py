"""API and worker in one process, as ``up`` has them, and a model over HTTP: tickets go all the way, and tests watch."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from inspect import isawaitable
from typing import Any
from uuid import UUID

from tests.support.api import Api, served, settings_for
from tests.support.openai_server import OpenAIServer
from ticketflow.domain.tickets import TERMINAL
from ticketflow.samples import articles
from ticketflow.services.verify import verify
from ticketflow.worker.service import working

KEY = "sk-test-4f9d2c7a81"
STEPS = ["classify", "extract", "research", "draft", "review", "finalize"]


@contextlib.asynccontextmanager
async def at_work(database_url: str, model: OpenAIServer | None, **given: Any) -> AsyncIterator[Api]:
    """API and worker in one process, with the sample shop's articles. ``model`` None: the offline rules.

    ``database_url`` is the tests' way to the database, and the application's unless ``given`` says otherwise.
    """
    settings = settings_for(
        database_url,
        **{
            **({"OPENAI_BASE_URL": model.url, "OPENAI_API_KEY": KEY} if model is not None else {}),
            "retry_base_seconds": 0.01,
            "retry_ceiling_seconds": 0.02,
            **given,
        },
    )
    async with served(settings, database_url) as api:
        await api.app.library.add(articles())
        async with working(api.app) as work:
            running = asyncio.create_task(work.worker.run(5))
            try:
                yield api
            finally:
                work.worker.stop()
                await running
        verdict = await verify(api.app.reads)
        assert not verdict.violations


async def reached(condition: Callable[[], Any], seconds: float = 20) -> None:
    """Until the condition, which may be a coroutine function, is true."""
    async with asyncio.timeout(seconds):
        while True:
            met = condition()
            if await met if isawaitable(met) else met:
                return
            await asyncio.sleep(0.01)


async def ended(api: Api, ticket_id: UUID, until: Callable[[dict[str, Any]], bool] | None = None) -> dict[str, Any]:
    """The ticket once its status is final."""
    reached = until or (lambda ticket: ticket["status"] in TERMINAL)
    async with asyncio.timeout(60):
        async with api.http.stream("GET", f"/tickets/{ticket_id}/events/stream") as stream:
            async for line in stream.aiter_lines():
                if line.startswith("data:"):
                    ticket: dict[str, Any] = (await api.http.get(f"/tickets/{ticket_id}")).json()
                    if reached(ticket):
                        return ticket
    raise AssertionError("the stream ended")


async def trail(api: Api, ticket_id: UUID) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = (await api.http.get(f"/tickets/{ticket_id}/events")).json()["items"]
    return items


async def steps(api: Api, ticket_id: UUID) -> list[dict[str, Any]]:
    return [event for event in await trail(api, ticket_id) if event["event_type"] == "step_complete"]
