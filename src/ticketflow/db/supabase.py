"""The gateway over a Supabase project's REST interface: the ``supabase`` client calls the same functions by ``rpc``."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeAlias

import httpx
import orjson
import structlog
from tenacity import AsyncRetrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from ticketflow.db.answers import NothingDone, Refused, UnknownFunction, check
from ticketflow.db.migrate import behind, shipped
from ticketflow.db.project import check_key, in_clear_text
from ticketflow.domain.errors import ConfigurationError, Poison, StoreUnavailable
from ticketflow.telemetry.boundaries import crossing

if TYPE_CHECKING:
    from postgrest import AsyncRPCFilterRequestBuilder, AsyncSelectRequestBuilder

log = structlog.get_logger()

CALL_TIMEOUT_SECONDS = 30.0
"""The longest that an attempt takes. Those who can wait less say so with ``asyncio.timeout``, and that holds too."""

CONNECT_SECONDS = 5.0

IDLE_SECONDS = 20.0
"""A connection that was idle for longer is not used again: what stands before a project closes it some day."""

ATTEMPTS = 3

LONGEST_STAY = timedelta(seconds=2)
"""A pause that the project asks for is waited for up to here; callers are told of a longer one."""

LONGEST_PAUSE = timedelta(minutes=1)
"""After it the project is asked again, whatever it said."""

_PARAMETERS = {"ticketflow_commit": "changes"}
"""PostgREST takes arguments by name. All functions call theirs ``args``, but for these."""

_SCHEMA = "ticketflow_schema"

_HOW = "run `ticketflow migrate` with the project's DATABASE_URL, or `supabase db push` (docs/SUPABASE.md)"

_Request: TypeAlias = "AsyncRPCFilterRequestBuilder | AsyncSelectRequestBuilder"


class SupabaseGateway:
    """Repeats a call where that cannot do anything twice: what only reads, as the database tells, and what is known not
    to have taken effect. Whoever writes knows whether to write again.

    Made by ``connect``.
    """

    def __init__(self, url: str, key: str, connections: int = 8) -> None:
        # It takes a second to import, and whoever has a direct connection does without it.
        from supabase import AsyncClient, AsyncClientOptions

        self._http = httpx.AsyncClient(
            timeout=httpx.Timeout(CALL_TIMEOUT_SECONDS, connect=CONNECT_SECONDS),
            # Nobody queues in the pool: it loses connections where those who have one and those who wait for one are
            # cancelled in the same moment, as a deadline does (httpcore 1.0). The slots below are the bound.
            limits=httpx.Limits(
                max_connections=None, max_keepalive_connections=connections, keepalive_expiry=IDLE_SECONDS
            ),
            # An answer is as large as what was asked for, and not what a few bytes can be blown up to.
            headers={"Accept-Encoding": "identity"},
            # The client's own errors do not tell the status, and pass off a page as an answer.
            event_hooks={"request": [_without_bearer] if key.startswith("sb_") else [], "response": [check]},
        )
        self._client = AsyncClient(
            url,
            key,
            AsyncClientOptions(httpx_client=self._http, auto_refresh_token=False, persist_session=False),
        )
        self._slots = asyncio.Semaphore(connections)
        self._paused_until = 0.0
        self._reads = frozenset({_SCHEMA})

    async def open(self) -> None:
        """Find out whether the project has this release's schema.

        Raises ``ConfigurationError`` in one line that says what to do, and ``StoreUnavailable`` when nothing answers.
        """
        try:
            schema = await self.call(_SCHEMA, {})
        except UnknownFunction as error:
            raise ConfigurationError(await self._why_unknown()) from error
        except Refused as error:
            raise ConfigurationError(str(error)) from error
        version, reads = _version_and_reads(schema)
        if missing := behind(version):
            raise ConfigurationError(f"the project is behind by {len(missing)} migrations: {_HOW}")
        self._reads = reads

    async def call(self, function: str, args: Any) -> Any:
        try:
            # The client writes what Python's json can, numbers of a hundred digits too. What one gateway refuses the
            # other refuses, and what it writes the other writes, so that both can read it. Among many changes, only the
            # one that holds such a thing is to fail.
            plain = orjson.loads(orjson.dumps(args))
        except orjson.JSONEncodeError as error:
            raise Poison(f"the input cannot be written as JSON: {error}") from error
        parameters = {_PARAMETERS.get(function, "args"): plain}
        reads = function in self._reads
        with crossing(function):
            return await self._repeated(
                lambda: self._client.rpc(function, parameters),
                lambda error: isinstance(error, NothingDone) or (reads and isinstance(error, StoreUnavailable)),
            )

    async def ping(self) -> None:
        await self.call(_SCHEMA, {})

    async def aclose(self) -> None:
        await self._http.aclose()

    async def _why_unknown(self) -> str:
        """PostgREST does not know the schema's own function. Its tables tell more."""
        stale = "run `notify pgrst, 'reload schema'` in the project's SQL editor"
        known = await self._column("schema_migrations", "number")
        if known is not None and set(known) >= {migration.number for migration in shipped()}:
            return f"the project is migrated, but PostgREST's schema cache is stale: {stale}"
        some = known is not None or await self._column("tickets", "id") is not None
        found = "the project's schema is of an earlier release" if some else "the project has no Ticketflow schema"
        return f"{found}: {_HOW}; if it is migrated, PostgREST's schema cache is stale: {stale}"

    async def _column(self, table: str, name: str) -> list[Any] | None:
        """Some of a column's values, or None where there is no such table."""
        try:
            rows = await self._repeated(
                lambda: self._client.table(table).select(name).limit(1000),
                lambda error: isinstance(error, StoreUnavailable),
            )
        except Refused:
            return None
        return [row.get(name) for row in rows if isinstance(row, dict)] if isinstance(rows, list) else None

    async def _repeated(self, request: Callable[[], _Request], may_repeat: Callable[[BaseException], bool]) -> Any:
        async for attempt in AsyncRetrying(
            retry=retry_if_exception(lambda error: may_repeat(error) and not _asks_too_long(error)),
            stop=stop_after_attempt(ATTEMPTS),
            wait=wait_random_exponential(multiplier=0.2, max=1),
            reraise=True,
        ):
            with attempt:
                return await self._answered(request())
        raise AssertionError("the last attempt raises")

    async def _wait_as_asked(self) -> None:
        """The project's limit is one for all calls: whoever met it speaks for the others."""
        pause = timedelta(seconds=max(0.0, self._paused_until - monotonic()))
        if pause > LONGEST_STAY:
            raise NothingDone("the Supabase project asks for fewer requests", pause)
        if pause:
            await asyncio.sleep(pause.total_seconds())

    async def _answered(self, request: _Request) -> Any:
        """Raises the project's own errors for whatever happens between here and PostgREST."""
        try:
            async with asyncio.timeout(CALL_TIMEOUT_SECONDS), self._slots:
                return await self._sent(request)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            raise NothingDone(f"the Supabase project cannot be reached: {_why(error)}") from error
        except (TimeoutError, httpx.TimeoutException) as error:
            raise StoreUnavailable("the Supabase project did not answer in time") from error
        except httpx.HTTPError as error:
            raise StoreUnavailable(f"the connection to the Supabase project was lost: {_why(error)}") from error

    async def _sent(self, request: _Request) -> Any:
        # Only now, with a connection in hand: others may have been told to wait while this one waited for it.
        await self._wait_as_asked()
        try:
            return (await request.execute()).data
        except NothingDone as error:
            if error.retry_after is not None:
                error.retry_after = min(error.retry_after, LONGEST_PAUSE)
                self._paused_until = max(self._paused_until, monotonic() + error.retry_after.total_seconds())
            raise


async def connect(url: str, key: str, connections: int = 8) -> SupabaseGateway:
    """An open gateway with at most so many connections.

    Raises as ``SupabaseGateway.open`` does, and ``ConfigurationError`` for a key or a host that cannot be
    right.
    """
    check_key(url, key)
    try:
        # What urlsplit lets pass, such as 192.168.1.300.
        _ = httpx.URL(url).host
    except (httpx.InvalidURL, UnicodeError):
        raise ConfigurationError("SUPABASE_URL has a host that cannot be one") from None
    if in_clear_text(url):
        log.warning("supabase.in_clear_text", url=url, warning="SUPABASE_URL is http:// and not on this machine")
    gateway = SupabaseGateway(url, key, connections)
    try:
        await gateway.open()
    except BaseException:
        await gateway.aclose()
        raise
    return gateway


async def _without_bearer(request: httpx.Request) -> None:
    """The client sends its key as a bearer token, too. Keys of the newer kind are no JWTs, and a project may refuse
    them there (supabase.com/docs, "API keys"); as ``apikey`` they suffice."""
    del request.headers["Authorization"]


def _version_and_reads(schema: Any) -> tuple[int, frozenset[str]]:
    match schema:
        case {"version": int(version), "reads": [*reads]} if all(isinstance(name, str) for name in reads):
            return version, frozenset(reads)
    raise ConfigurationError("what answers at SUPABASE_URL is not Ticketflow's schema: is it the project's address?")


def _asks_too_long(error: BaseException) -> bool:
    asked = error.retry_after if isinstance(error, StoreUnavailable) else None
    return asked is not None and asked > LONGEST_STAY


def _why(error: Exception) -> str:
    return str(error).partition("\n")[0] or type(error).__name__
