"""The ASGI application: the gateway, PostgREST behind it, and what goes wrong in between.

Imitated besides what the other modules name: PostgREST's reference, "Transactions" (the settings ``role``,
``request.jwt.claims``, ``request.method``, ``request.path``, ``request.headers``, ``search_path``), "Schemas"
(``Content-Profile``, PGRST106), "Errors" (PGRST002 while there is no schema cache); Supabase's gateway takes
``/rest/v1`` off the path. Not imitated: GET and HEAD on functions, writes to tables, ``Accept``, ``Prefer``, and the
``response.*`` settings.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

import orjson
import psycopg

from tests.support.postgrest import schema
from tests.support.postgrest.database import Database, Setting
from tests.support.postgrest.errors import JSON, Refused, Reply, from_postgres, gateway_refused, refused, unavailable
from tests.support.postgrest.faults import DROPPED, Cut, Faults
from tests.support.postgrest.keys import ANONYMOUS, Caller, Keys
from tests.support.postgrest.queries import Query, call, given_arguments, not_imitated, read

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
_PREFIX = "/rest/v1"
_SEARCH_PATH = '"public", "extensions"'
_RECONNECT_SECONDS = 0.1


@dataclass(slots=True)
class Traffic:
    """What has come and gone, by function or table; bytes are those of bodies."""

    calls: Counter[str] = field(default_factory=Counter)
    executed: Counter[str] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)
    bytes_in: int = 0
    bytes_out: int = 0


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    path: str
    query: bytes
    headers: dict[str, str]
    body: bytes

    @property
    def name(self) -> str:
        return self.path.removeprefix(_PREFIX).removeprefix("/rpc").strip("/")


class RestApp:
    """One project's REST endpoint. ``drop`` closes the connection of a scope."""

    def __init__(self, database: Database, keys: Keys, faults: Faults, drop: Callable[[Scope], None]) -> None:
        self.traffic = Traffic()
        self.frozen = False
        self.words = 0
        self._database = database
        self._keys = keys
        self._faults = faults
        self._drop = drop
        self._cache: schema.SchemaCache | None = None
        self._loading = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http"
        body = await _body(receive)
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        request = Request(scope["method"], scope["path"], scope["query_string"], headers, body)
        traffic, name = self.traffic, request.name
        traffic.calls[name] += 1
        traffic.bytes_in += len(body)
        await self._faults.wait(name, executed=False)
        fault = self._faults.meet(name, len(body))
        outcome: Reply | Cut
        if fault is not None and not fault.executed:
            outcome = fault.outcome
            reply = outcome if isinstance(outcome, Reply) else Reply(200, b"null")
        else:
            reply = await self._answer(request)
            await self._faults.wait(name, executed=True)
            outcome = reply if fault is None else fault.outcome
        if isinstance(outcome, Cut):
            await self._cut(outcome, reply, scope, receive, send)
            return
        traffic.statuses[outcome.status] += 1
        traffic.bytes_out += len(outcome.body)
        await _start(outcome, send)
        await send({"type": "http.response.body", "body": outcome.body})

    # --- the schema cache ------------------------------------------------------------------------------------------

    async def reload(self) -> None:
        """What ``NOTIFY pgrst, 'reload schema'`` leads to. Raises ``psycopg.Error``."""
        connection = await self._database.connect()
        async with connection:
            self._cache = await schema.load(connection)

    async def listen(self) -> None:
        """Reload when the database says so, for ever. After a lost connection as well, since a word may be missed."""
        while True:
            with suppress(psycopg.Error):
                connection = await self._database.connect()
                async with connection:
                    await connection.execute("listen pgrst")
                    if not self.frozen:
                        await self.reload()
                    async for word in connection.notifies():
                        if not self.frozen and word.payload in ("reload schema", "reload config", ""):
                            await self.reload()
                        self.words += 1
            await asyncio.sleep(_RECONNECT_SECONDS)

    async def _schema(self) -> schema.SchemaCache:
        if self._cache is None:
            async with self._loading:
                if self._cache is None:
                    try:
                        await self.reload()
                    except psycopg.Error:
                        message = "Could not query the database for the schema cache. Retrying."
                        raise unavailable("PGRST002", message) from None
        assert self._cache is not None
        return self._cache

    # --- a request -------------------------------------------------------------------------------------------------

    async def _answer(self, request: Request) -> Reply:
        try:
            return await self._served(request)
        except Refused as refusal:
            if refusal.reply.status == 503 and not self.frozen:
                self._cache = None
            return refusal.reply

    async def _served(self, request: Request) -> Reply:
        if not request.path.startswith(_PREFIX + "/"):
            raise gateway_refused(404, "no Route matched with those values", "")
        parameters = parse_qsl(request.query.decode("latin-1"), keep_blank_values=True)
        headers = request.headers
        apikey = headers.get("apikey") or dict(parameters).get("apikey")
        caller = self._keys.caller(apikey, headers.get("authorization"), headers.get("user-agent", ""))
        parameters = [each for each in parameters if each[0] != "apikey"]
        cache = await self._schema()
        profile = headers.get("content-profile" if request.method == "POST" else "accept-profile")
        if profile not in (None, schema.SCHEMA):
            hint = f"Only the following schemas are exposed: {schema.SCHEMA}"
            raise refused(406, "PGRST106", f"Invalid schema: {profile}", hint=hint)
        path = request.path.removeprefix(_PREFIX)
        match path.strip("/").split("/"), request.method:
            case ["rpc", name], "POST":
                reply = await self._called(name, request, caller, cache, parameters)
            case ["rpc", _], "GET" | "HEAD":
                raise not_imitated(f"{request.method} on functions")
            case ["rpc", _], method:
                raise refused(405, "PGRST101", f"Cannot use the {method} method on RPC")
            case [table], "GET" if table:
                reply = await self._read(table, request, caller, cache, parameters)
            case [_], method:
                raise not_imitated(f"{method} {path}")
            case _:
                raise refused(404, "PGRST125", "Invalid path specified in request URL")
        if profile is None:
            return reply
        return Reply(reply.status, reply.body, (*reply.headers, (b"content-profile", profile.encode())))

    async def _called(
        self,
        name: str,
        request: Request,
        caller: Caller,
        cache: schema.SchemaCache,
        parameters: Sequence[tuple[str, str]],
    ) -> Reply:
        if parameters:
            raise not_imitated("URL parameters on functions")
        given = given_arguments(request.body, request.headers.get("content-type", ""))
        function = cache.function(name, given)
        query = call(function, request.body, given)
        settings = [*_settings(request, caller, cache), *function.settings]
        body = await self._run(request, caller, settings, query, read_only=not function.volatile)
        if function.void:
            return Reply(204, b"", ((b"content-range", b"0-0/*"),))
        return Reply(200, body, ((b"content-type", JSON), (b"content-range", b"0-0/*")))

    async def _read(
        self,
        table: str,
        request: Request,
        caller: Caller,
        cache: schema.SchemaCache,
        parameters: Sequence[tuple[str, str]],
    ) -> Reply:
        cache.table(table)
        query = read(table, parameters)
        body = await self._run(request, caller, _settings(request, caller, cache), query, read_only=True)
        rows = len(orjson.loads(body))
        span = f"0-{rows - 1}/*" if rows else "*/*"
        return Reply(200, body, ((b"content-type", JSON), (b"content-range", span.encode())))

    async def _run(
        self, request: Request, caller: Caller, settings: Sequence[Setting], query: Query, *, read_only: bool
    ) -> bytes:
        try:
            body = await self._database.transaction(settings, query.sql, query.parameters, read_only=read_only)
        except psycopg.Error as error:
            raise from_postgres(error, anonymous=caller.role == ANONYMOUS) from error
        self.traffic.executed[request.name] += 1
        return body

    async def _cut(self, cut: Cut, reply: Reply, scope: Scope, receive: Receive, send: Send) -> None:
        if cut is not DROPPED:
            await _start(reply, send)
            half = reply.body[: len(reply.body) // 2]
            await send({"type": "http.response.body", "body": half, "more_body": True})
        self._drop(scope)
        while (await receive())["type"] != "http.disconnect":
            pass


def _settings(request: Request, caller: Caller, cache: schema.SchemaCache) -> list[Setting]:
    """In PostgREST's order: what belongs to the role is set before the role is taken."""
    headers = {name: value for name, value in request.headers.items() if name != "cookie"}
    return [
        ("search_path", _SEARCH_PATH),
        *cache.role_settings.get(caller.role, ()),
        ("role", caller.role),
        ("request.jwt.claims", orjson.dumps(dict(caller.claims)).decode()),
        ("request.method", request.method),
        ("request.path", request.path.removeprefix(_PREFIX)),
        ("request.headers", orjson.dumps(headers).decode()),
    ]


async def _body(receive: Receive) -> bytes:
    message = await receive()
    body: bytes = message.get("body", b"")
    if not message.get("more_body"):
        return body
    parts = [body]
    while message.get("more_body"):
        message = await receive()
        parts.append(message.get("body", b""))
    return b"".join(parts)


async def _start(reply: Reply, send: Send) -> None:
    length = () if reply.status == 204 else ((b"content-length", str(len(reply.body)).encode()),)
    await send({"type": "http.response.start", "status": reply.status, "headers": [*reply.headers, *length]})
