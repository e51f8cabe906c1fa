"""The real API in this process: uvicorn on a port of its own, the test's own database, the embedded queue."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import httpx
import psycopg

from ticketflow import wiring
from ticketflow.api.app import create_app, end_streams
from ticketflow.serving import listening_socket, serving
from ticketflow.settings import Settings
from ticketflow.wiring import Application

COUNTED = ("tickets", "events", "outbox", "intake_keys")


@dataclass
class Api:
    """A served application: ``http`` talks to it over the wire, ``app`` is what it stands on."""

    app: Application
    http: httpx.AsyncClient
    database: psycopg.AsyncConnection[Any]

    async def post(self, **fields: Any) -> httpx.Response:
        """``POST /tickets``; fields not given get plain values of their own."""
        return await self.http.post("/tickets", json=a_ticket(**fields))

    async def ticket(self, **fields: Any) -> UUID:
        """A ticket taken in; its id."""
        answer = await self.post(**fields)
        assert answer.status_code == 201, answer.text
        return UUID(answer.json()["ticket_id"])

    async def rows(self) -> dict[str, int]:
        """How many rows there are of everything that an intake writes."""
        count = " union all ".join(f"select '{table}', count(*) from {table}" for table in COUNTED)
        return {row[0]: row[1] for row in await self.sql(count)}

    async def sql(self, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """What the database itself says, past the application's own reads."""
        cursor = await self.database.execute(query, parameters)
        return await cursor.fetchall() if cursor.description else []


def a_ticket(**fields: Any) -> dict[str, Any]:
    """A body for ``POST /tickets`` like no other."""
    return {"subject": f"Question {uuid4().hex}", "body": "What now?", "customer_id": "cus_1", **fields}


def settings_for(database_url: str, **given: Any) -> Settings:
    """Settings with this database and the embedded queue, whatever the environment says."""
    quiet = {"DATABASE_URL": database_url, "RABBITMQ_URL": None, "OPENAI_API_KEY": None, "OPENAI_BASE_URL": None}
    return Settings(_env_file=None, **{**quiet, **given})


@contextlib.asynccontextmanager
async def served(settings: Settings, database_url: str | None = None) -> AsyncIterator[Api]:
    """The API for these settings, served on an ephemeral loopback port until the block ends.

    ``database_url`` is the test's own way to the database where the application's may be cut.
    """
    url = database_url
    if url is None:
        assert settings.database_url is not None
        url = settings.database_url.get_secret_value()
    async with wiring.connected(settings, auto_migrate=False) as app:
        listener = listening_socket("127.0.0.1", 0)
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        api = create_app(settings, app)
        async with (
            serving(api, listener, lambda: end_streams(api)),
            httpx.AsyncClient(base_url=address, trust_env=False, timeout=30) as http,
            await psycopg.AsyncConnection.connect(url, autocommit=True) as database,
        ):
            yield Api(app, http, database)


@dataclass
class SentEvent:
    """One message of an event stream."""

    id: int
    event: str
    data: dict[str, Any]


class Stream:
    """An open event stream, read one message at a time."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self._lines = response.aiter_lines()

    async def next(self, timeout: float = 10) -> SentEvent:
        """The next message; comments are passed over."""
        fields: dict[str, str] = {}
        async with asyncio.timeout(timeout):
            async for line in self._lines:
                if line == "" and "data" in fields:
                    return SentEvent(int(fields["id"]), fields["event"], json.loads(fields["data"]))
                if line and not line.startswith(":"):
                    name, _, value = line.partition(": ")
                    fields[name] = value
        raise AssertionError("the stream ended")

    async def take(self, count: int) -> list[SentEvent]:
        return [await self.next() for _ in range(count)]


@contextlib.asynccontextmanager
async def following(api: Api, ticket_id: UUID, **headers: str) -> AsyncIterator[Stream]:
    """The ticket's event stream, as a client sees it."""
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    async with api.http.stream("GET", f"/tickets/{ticket_id}/events/stream", headers=names) as response:
        assert response.status_code == 200
        yield Stream(response)


def assert_problem(
    answer: httpx.Response, status: int, code: str | None = None, field: str | None = None
) -> dict[str, Any]:
    """The answer is an RFC 9457 problem document with this status, and names the field where one is given."""
    assert answer.status_code == status, answer.text[:500]
    assert answer.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = answer.json()
    assert problem.keys() >= {"type", "title", "status", "detail", "code", "request_id"}
    assert problem["status"] == status
    assert problem["type"].endswith(f"/{problem['code']}")
    assert problem["title"]
    assert problem["detail"]
    assert problem["request_id"] == answer.headers["x-request-id"]
    if code is not None:
        assert problem["code"] == code
    if field is not None:
        assert field in [error["field"] for error in problem["errors"]]
        assert all(error["message"] for error in problem["errors"])
    return problem
