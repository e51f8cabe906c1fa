"""The gateway over REST: what its callers rely on beyond the functions themselves, whatever happens on the way."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import orjson
import psycopg
import pytest

from tests.support.postgrest import RestApi, faults, rest_api
from tests.support.postgrest.errors import Reply
from tests.support.postgrest.faults import (
    BAD_GATEWAY,
    DROPPED,
    GATEWAY_TIMEOUT,
    HALF,
    PAUSED,
    RATE_LIMITED,
    UNAVAILABLE,
)
from tests.support.project import Project, stand_in
from tests.support.supabase import Supabase, as_service
from tests.support.trails import creation, new_ticket
from ticketflow.broker.embedded import EmbeddedBroker
from ticketflow.broker.messages import Message
from ticketflow.db import supabase
from ticketflow.db.answers import NothingDone, Refused
from ticketflow.db.batching import BatchLimits
from ticketflow.db.commits import Commits
from ticketflow.db.migrate import shipped
from ticketflow.db.postgres import PostgresGateway
from ticketflow.db.reads import Reads
from ticketflow.db.supabase import SupabaseGateway, connect
from ticketflow.domain.change import Applied
from ticketflow.domain.errors import ConfigurationError, PayloadTooLarge, Poison, StoreUnavailable
from ticketflow.domain.routing import Lane
from ticketflow.knowledge.articles import build
from ticketflow.knowledge.library import Library

TRANSIENT = {
    "dropped": DROPPED,
    "half an answer": HALF,
    "a page with 502": BAD_GATEWAY,
    "503": UNAVAILABLE,
    "544": GATEWAY_TIMEOUT,
}
NO_PROJECT = "what answers at SUPABASE_URL is no Supabase project's REST interface"
PAGE = Reply(200, b"<html>Log in to the hotel's network</html>", ((b"content-type", b"text/html"),))


@pytest.fixture(scope="module")
def _project(project_server: Supabase) -> Iterator[Project]:
    with stand_in(project_server) as made:
        yield made


@pytest.fixture
def api(_project: Project) -> Iterator[RestApi]:
    assert _project.api is not None
    yield _project.api
    _project.api.reset()


@pytest.fixture
async def gateway(api: RestApi) -> AsyncIterator[SupabaseGateway]:
    opened = await connect(api.url, api.secret_key, 4)
    api.traffic.calls.clear()
    api.traffic.executed.clear()
    yield opened
    await opened.aclose()


# --- Repetition -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", TRANSIENT.values(), ids=TRANSIENT.keys())
async def test_what_only_reads_is_asked_again(gateway: SupabaseGateway, api: RestApi, fault: Any) -> None:
    api.faults.after(fault, times=2)
    assert (await gateway.call("ticketflow_stats", {}))["total"] >= 0
    assert api.calls["ticketflow_stats"] == 3


@pytest.mark.parametrize("fault", TRANSIENT.values(), ids=TRANSIENT.keys())
async def test_what_writes_is_not(gateway: SupabaseGateway, api: RestApi, fault: Any) -> None:
    api.faults.after(fault)
    with pytest.raises(StoreUnavailable):
        await gateway.call("ticketflow_sweep", {"after_ms": 60_000, "limit": 1})
    assert api.calls["ticketflow_sweep"] == 1


async def test_unless_it_is_known_not_to_have_taken_effect(gateway: SupabaseGateway, api: RestApi) -> None:
    api.faults.instead(RATE_LIMITED, times=2)
    await gateway.call("ticketflow_sweep", {"after_ms": 60_000, "limit": 1})
    assert (api.calls["ticketflow_sweep"], api.executed["ticketflow_sweep"]) == (3, 1)


async def test_not_before_the_project_wants_to_be_asked(gateway: SupabaseGateway, api: RestApi) -> None:
    api.faults.instead(RATE_LIMITED)
    began = time.monotonic()
    await gateway.call("ticketflow_stats", {})
    assert time.monotonic() - began >= 1


async def test_a_longer_pause_holds_every_call_and_its_callers_are_told(
    gateway: SupabaseGateway, api: RestApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.faults.instead(Reply(429, b"slow down", ((b"retry-after", b"40"),)))
    for _ in range(2):
        with pytest.raises(StoreUnavailable, match="asks for fewer requests") as told:
            await gateway.call("ticketflow_stats", {})
        assert told.value.retry_after is not None
        assert 20 < told.value.retry_after.total_seconds() <= 40
    assert api.calls["ticketflow_stats"] == 1
    after = time.monotonic() + 40
    monkeypatch.setattr(supabase, "monotonic", lambda: after)
    await gateway.call("ticketflow_stats", {})


async def test_a_project_is_asked_again_whatever_it_said(
    gateway: SupabaseGateway, api: RestApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.faults.instead(Reply(429, b"slow down", ((b"retry-after", b"86400"),)))
    with pytest.raises(StoreUnavailable) as told:
        await gateway.call("ticketflow_stats", {})
    assert told.value.retry_after == supabase.LONGEST_PAUSE
    after = time.monotonic() + 60
    monkeypatch.setattr(supabase, "monotonic", lambda: after)
    await gateway.call("ticketflow_stats", {})


async def test_who_waits_for_a_connection_meanwhile_asks_for_no_more(gateway: SupabaseGateway, api: RestApi) -> None:
    api.faults.instead(Reply(429, b"slow down", ((b"retry-after", b"40"),)), times=None)
    with api.faults.held("ticketflow_stats") as hold:
        calls = [asyncio.create_task(gateway.call("ticketflow_stats", {})) for _ in range(24)]
        await asyncio.to_thread(hold.arrived, 4)
    ends = await asyncio.gather(*calls, return_exceptions=True)
    assert {type(end) for end in ends} == {NothingDone}
    assert api.calls["ticketflow_stats"] == 4


async def test_nor_what_found_no_connection(gateway: SupabaseGateway, api: RestApi) -> None:
    api.stop()
    with pytest.raises(StoreUnavailable, match="cannot be reached"):
        await gateway.ping()
    api.start()
    await gateway.ping()


async def test_no_fault_lasts_for_ever(gateway: SupabaseGateway, api: RestApi) -> None:
    api.faults.after(UNAVAILABLE, times=None)
    with pytest.raises(StoreUnavailable, match="answered 503"):
        await gateway.call("ticketflow_stats", {})
    assert api.calls["ticketflow_stats"] == supabase.ATTEMPTS


@pytest.mark.parametrize("fault", TRANSIENT.values(), ids=TRANSIENT.keys())
async def test_a_commit_whose_answer_was_lost_is_made_once(gateway: SupabaseGateway, api: RestApi, fault: Any) -> None:
    change = creation()
    api.faults.after(fault, times=2, functions=["ticketflow_commit"])
    assert await Commits(gateway).apply(change) == Applied(1, repeated=True)
    assert api.executed["ticketflow_commit"] == 3
    trail = await Reads(gateway).events(change.ticket_id)
    assert trail is not None
    assert [event.event_type for event in trail] == ["created"]


async def test_the_database_says_what_only_reads(gateway: SupabaseGateway, api: RestApi) -> None:
    query = "select proname from pg_proc where proname like 'ticketflow\\_%' and provolatile <> 'v'"
    with psycopg.connect(api.owner_url) as owner:
        reads = {name for (name,) in owner.execute(query)}
    assert gateway._reads == reads
    assert {"ticketflow_ticket", "ticketflow_search_all", "ticketflow_stats"} <= reads
    assert reads.isdisjoint({"ticketflow_commit", "ticketflow_claim", "ticketflow_queue_take"})


# --- Limits -----------------------------------------------------------------------------------------------------------


async def test_a_batch_too_large_for_what_stands_before_the_project_goes_in_parts(
    gateway: SupabaseGateway, api: RestApi
) -> None:
    api.faults.largest_body = 20_000
    changes = [creation(body=f"{number} " + "x" * 5000) for number in range(12)]
    outcomes = await asyncio.gather(*map(Commits(gateway).apply, changes))
    assert outcomes == [Applied(1, repeated=False)] * 12


async def test_so_do_articles_and_messages(gateway: SupabaseGateway, api: RestApi) -> None:
    api.faults.largest_body = 20_000
    library, broker = Library(gateway), EmbeddedBroker(gateway, timedelta(seconds=30))
    articles = [build({"id": f"otter-{number}", "title": "Otter", "body": "x" * 3000}, "here") for number in range(12)]
    assert await library.add(articles) == 12
    assert await library.count() == 12
    now = datetime.now(UTC)
    before = await broker.depths()
    headers = {"tracestate": "x" * 3000}
    await broker.publish([Message(Lane.HIGH, uuid4(), "new", now, headers) for _ in range(12)])
    assert (await broker.depths())[Lane.HIGH] - before[Lane.HIGH] == 12
    with pytest.raises(PayloadTooLarge, match=r"^article heron: the request is too large"):
        await library.add([build({"id": "heron", "title": "Heron", "body": "x" * 30_000}, "here")])


async def test_one_that_is_too_large_alone_is_refused_alone(gateway: SupabaseGateway, api: RestApi) -> None:
    api.faults.largest_body = 20_000
    changes = [creation(body="x" * size) for size in (10, 50_000, 20)]
    small, large, other = await asyncio.gather(*map(Commits(gateway).apply, changes), return_exceptions=True)
    assert small == other == Applied(1, repeated=False)
    assert isinstance(large, Poison)
    assert "too large" in str(large)


async def test_no_call_is_without_a_deadline(
    gateway: SupabaseGateway, api: RestApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supabase, "CALL_TIMEOUT_SECONDS", 0.05)
    with api.faults.held(), pytest.raises(StoreUnavailable, match="in time"):
        await gateway.call("ticketflow_sweep", {"after_ms": 60_000, "limit": 1})
    monkeypatch.undo()
    await gateway.ping()


async def test_who_gives_up_waiting_leaves_the_connections_to_others(gateway: SupabaseGateway, api: RestApi) -> None:
    with api.faults.held("ticketflow_stats") as hold:
        calls = [asyncio.create_task(gateway.call("ticketflow_stats", {})) for _ in range(4)]
        await asyncio.to_thread(hold.arrived, 4)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        assert all(call.cancelled() for call in calls)
    await asyncio.gather(*(gateway.ping() for _ in range(8)))


@pytest.mark.parametrize(("kind", "bearer"), [("secret_key", False), ("service_key", True)])
async def test_only_a_key_that_is_a_token_is_sent_as_one(api: RestApi, kind: str, bearer: bool) -> None:
    key, seen = getattr(api, kind), []
    gateway = await connect(api.url, key)

    async def look(response: httpx.Response) -> None:
        seen.append(response.request.headers)

    gateway._http.event_hooks["response"].append(look)
    await gateway.ping()
    await gateway.aclose()
    assert seen[0]["apikey"] == key
    assert seen[0].get("Authorization") == (f"Bearer {key}" if bearer else None)


async def test_deadlines_that_end_many_calls_at_once_lose_no_connection(gateway: SupabaseGateway, api: RestApi) -> None:
    async def hurried() -> None:
        async with asyncio.timeout(0.2):
            await gateway.call("ticketflow_stats", {})

    for _ in range(4):
        with api.faults.held("ticketflow_stats"):
            ends = await asyncio.gather(*(hurried() for _ in range(24)), return_exceptions=True)
        assert {type(end) for end in ends} == {TimeoutError}
    async with asyncio.timeout(20):
        await asyncio.gather(*(gateway.ping() for _ in range(24)))


async def test_connections_are_few_and_kept(gateway: SupabaseGateway) -> None:
    await asyncio.gather(*(gateway.ping() for _ in range(50)))
    kept = gateway._http._transport._pool.connections  # type: ignore[attr-defined]
    assert 1 <= len(kept) <= 4
    before = {id(connection) for connection in kept}
    await gateway.ping()
    assert {id(connection) for connection in kept} == before


# --- What only a person can mend --------------------------------------------------------------------------------------


async def test_a_running_process_waits_for_a_key_that_is_refused(gateway: SupabaseGateway, api: RestApi) -> None:
    # A ticket in hand must not become a dead letter for it.
    api.keys.revoke(api.secret_key)
    with pytest.raises(Refused, match=r"^SUPABASE_KEY is refused"):
        await gateway.call("ticketflow_stats", {})


async def test_a_running_process_waits_for_a_project_that_is_paused(gateway: SupabaseGateway, api: RestApi) -> None:
    api.faults.instead(PAUSED, times=supabase.ATTEMPTS)
    with pytest.raises(Refused, match="is paused: restore it in the dashboard"):
        await gateway.call("ticketflow_stats", {})
    await gateway.call("ticketflow_stats", {})


async def test_a_running_process_waits_for_a_schema_that_is_not_to_be_had(
    gateway: SupabaseGateway, api: RestApi
) -> None:
    # As with a stale cache, a right that was taken away, or a schema that is not exposed for a moment.
    said = {"code": "PGRST202", "message": "Could not find the function", "details": None, "hint": None}
    api.faults.instead(Reply(404, orjson.dumps(said), ((b"content-type", b"application/json"),)))
    with pytest.raises(StoreUnavailable, match="Could not find the function"):
        await Commits(gateway, BatchLimits(patience=0)).apply(creation())


@pytest.mark.parametrize("answer", [b"null", b"[]", b'{"version": "x", "reads": []}', b'{"version": 15, "reads": 7}'])
async def test_a_start_stops_at_what_knows_no_schema_of_ours(api: RestApi, answer: bytes) -> None:
    api.faults.instead(Reply(200, answer, ((b"content-type", b"application/json"),)))
    assert "is it the project's address?" in await refusal(api.url, api.secret_key)


async def refusal(url: str, key: str) -> str:
    """The line with which a start ends."""
    with pytest.raises(ConfigurationError) as caught:
        await connect(url, key)
    line = str(caught.value)
    assert key not in line
    assert "\n" not in line
    return line


async def test_a_start_stops_at_a_key_that_is_refused(api: RestApi) -> None:
    assert await refusal(api.url, "sb_secret_of_another_project") == (
        "SUPABASE_KEY is refused: Invalid API key (is it of the project at SUPABASE_URL, and still there?)"
    )
    forged = api.token({"role": "service_role"}, "another secret of the tests, long enough")
    assert (await refusal(api.url, forged)).startswith("SUPABASE_KEY is refused")


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (PAUSED, "the Supabase project is paused: restore it in the dashboard"),
        (PAGE, "what answers at SUPABASE_URL sends no JSON: is it the project's address? (200, 'text/html')"),
        (Reply(404, PAGE.body, PAGE.headers), f"{NO_PROJECT}: it says 404"),
        (
            faults.redirect("https://elsewhere.example/"),
            f"{NO_PROJECT}: it says 307, and points to https://elsewhere.example/",
        ),
    ],
    ids=["paused", "a page", "no such page", "redirected"],
)
async def test_a_start_stops_at_what_is_no_project(api: RestApi, fault: Any, said: str) -> None:
    api.faults.instead(fault, times=None)
    assert await refusal(api.url, api.secret_key) == said


async def test_a_start_goes_on_when_a_fault_has_passed(api: RestApi) -> None:
    api.faults.instead(BAD_GATEWAY)
    api.faults.instead(DROPPED)
    await (await connect(api.url, api.secret_key)).aclose()


async def test_a_start_stops_at_an_address_where_nobody_is(api: RestApi) -> None:
    api.stop()
    with pytest.raises(StoreUnavailable, match="cannot be reached"):
        await connect(api.url, api.secret_key)
    api.start()
    with pytest.raises(StoreUnavailable, match="cannot be reached"):
        await connect("http://no-such-project.invalid", "sb_secret_x")


async def test_a_start_says_that_the_schema_is_missing(project_server: Supabase) -> None:
    with project_server.bare() as owner_url, rest_api(owner_url) as empty:
        line = await refusal(empty.url, empty.secret_key)
    assert line.startswith("the project has no Ticketflow schema: run `ticketflow migrate`")


async def test_a_start_says_that_the_schema_is_of_an_earlier_release(project_server: Supabase) -> None:
    with project_server.bare() as owner_url:
        with psycopg.connect(owner_url, autocommit=True) as owner:
            for migration in shipped()[:14]:
                owner.execute(migration.script.encode())
        with rest_api(owner_url) as earlier:
            line = await refusal(earlier.url, earlier.secret_key)
    assert line.startswith("the project's schema is of an earlier release: run `ticketflow migrate`")


async def test_a_start_says_by_how_much_the_schema_is_behind(api: RestApi, monkeypatch: pytest.MonkeyPatch) -> None:
    # As a release with two more migrations sees this one's.
    later = [*shipped(), *shipped()[-2:]]
    monkeypatch.setattr(supabase, "behind", lambda version: later[version:])
    assert (await refusal(api.url, api.secret_key)).startswith("the project is behind by 2 migrations: run")


async def test_a_start_says_that_the_schema_cache_is_stale(api: RestApi, project_server: Supabase) -> None:
    with project_server.bare() as owner_url, psycopg.connect(owner_url, autocommit=True) as owner:
        for migration in shipped()[:14]:
            owner.execute(migration.script.encode())
        owner.execute(
            "create table schema_migrations (number integer primary key, name text not null, checksum text not null)"
        )
        owner.execute("grant select on schema_migrations to service_role")
        with rest_api(owner_url) as stale:
            stale.freeze_schema()
            owner.execute(shipped()[14].script.encode())
            record = "insert into schema_migrations values (%s, %s, %s)"
            owner.cursor().executemany(record, [(each.number, each.name, each.checksum) for each in shipped()])
            line = await refusal(stale.url, stale.secret_key)
            assert line.startswith("the project is migrated, but PostgREST's schema cache is stale: run `notify pgrst")
            stale.reset()
            await (await connect(stale.url, stale.secret_key)).aclose()


def test_all_functions_that_are_called_take_one_argument_by_the_name_that_is_sent(api: RestApi) -> None:
    query = (
        "select proname, proargnames[1] from pg_proc "
        "where proname like 'ticketflow\\_%' and pronargs = 1 and prorettype = 'jsonb'::regtype"
    )
    with psycopg.connect(api.owner_url) as owner:
        names = dict(owner.execute(query).fetchall())
    called = {name: argument for name, argument in names.items() if argument in ("args", "changes")}
    assert {name: argument for name, argument in called.items() if argument != "args"} == supabase._PARAMETERS
    assert len(called) > 50


async def test_numbers_are_read_as_over_a_connection(gateway: SupabaseGateway, api: RestApi) -> None:
    numbers = {"int": 2**63, "negative": -(2**63), "tiny": 5e-324, "huge": 1e308}
    ticket_id = await new_ticket(Commits(gateway), metadata=numbers)
    direct = PostgresGateway(as_service(api.owner_url), 2)
    await direct.open()
    read = [await Reads(each).ticket(ticket_id) for each in (gateway, direct)]
    await direct.aclose()
    assert read[0] == read[1]
    assert read[0] is not None
    assert repr(read[0].metadata) == repr(read[1].metadata)  # type: ignore[union-attr]
    assert orjson.loads(orjson.dumps(read[0].metadata)) == numbers
