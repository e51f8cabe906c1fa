"""The REST endpoint of a Supabase project, as the tests imitate it: PostgREST's protocol and the gateway before it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import psycopg
import pytest

from tests.support import services
from tests.support.postgrest import RestApi, faults, rest_api
from tests.support.postgrest.errors import status_of
from tests.support.processes import ROOT, until
from tests.support.supabase import Supabase
from tests.support.trails import applied, creation
from ticketflow.db.commits import Commits
from ticketflow.db.postgres import PostgresGateway

PROBES = """
create table notes (id integer generated always as identity primary key, text text, secret text);
create function note(args jsonb) returns jsonb language sql as $$
  insert into notes (text) values (args ->> 'text') returning to_jsonb(id);
$$;
create function note_in_a_read(args jsonb) returns jsonb language sql stable as $$ select note(args) $$;
create function echo(args jsonb) returns jsonb language sql stable as $$ select args $$;
create function add_up(a integer, b integer default 1) returns integer language sql immutable as $$ select a + b $$;
create function numbers() returns setof integer language sql immutable as $$ values (1), (2) $$;
create function first_note() returns notes language sql stable as $$ select * from notes order by id limit 1 $$;
create function nothing() returns void language sql as $$ select $$;
create function slow() returns jsonb language sql as $$ select to_jsonb(pg_sleep(30)::text) $$
  set statement_timeout = '20ms';
create function patient(seen_by_the_caller text default current_setting('statement_timeout')) returns jsonb
  language sql as $$ select to_jsonb(seen_by_the_caller) $$ set statement_timeout = '90s';
create function fail(args jsonb) returns jsonb language plpgsql as $$
begin
  raise exception using errcode = args ->> 'code', message = 'It failed.', detail = 'In detail.', hint = 'A hint.';
end $$;
create function surroundings() returns jsonb language sql stable as $$
  select jsonb_build_object('user', current_user, 'login', session_user, 'read_only',
    current_setting('transaction_read_only')) || jsonb_object_agg(name, current_setting(name))
  from unnest('{request.jwt.claims,request.method,request.path,request.headers,search_path,statement_timeout}'::text[])
    as name;
$$;
create function surroundings_of_a_write() returns jsonb language sql as $$ select surroundings() $$;
create function wait_for_lock() returns jsonb language sql as $$ select to_jsonb(pg_advisory_xact_lock(7)::text) $$;
"""


@pytest.fixture(scope="module")
def _project(project_server: Supabase) -> Iterator[str]:
    with project_server.project() as url:
        with psycopg.connect(url, autocommit=True) as owner:
            owner.execute(PROBES.encode())
        yield url


@pytest.fixture(scope="module")
def _api(_project: str) -> Iterator[RestApi]:
    with rest_api(_project, pool_size=2, acquisition_seconds=0.05) as served:
        yield served


@pytest.fixture
def api(_api: RestApi) -> RestApi:
    _api.reset()
    return _api


@pytest.fixture
def owner(_project: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(_project, autocommit=True) as connection:
        connection.execute("truncate notes restart identity")
        yield connection


@pytest.fixture
def superuser(_project: str) -> Iterator[psycopg.Connection[Any]]:
    """In another database, so that the project can be closed to everybody."""
    url = services.with_database(services.as_role(_project, "postgres", ""), "postgres")
    with psycopg.connect(url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def client(api: RestApi) -> Iterator[httpx.Client]:
    """Someone with the service_role key."""
    with _client(api, api.service_key) as opened:
        yield opened


def _client(api: RestApi, key: str, token: str | None = None) -> httpx.Client:
    return _bare_client(api, {"apikey": key, "authorization": f"Bearer {token or key}"})


def _bare_client(api: RestApi, headers: dict[str, str]) -> httpx.Client:
    # Without certificates, whose loading takes longer than most tests.
    return httpx.Client(base_url=f"{api.url}/rest/v1", headers=headers, timeout=10, verify=False)


def _call(client: httpx.Client, name: str, **arguments: Any) -> httpx.Response:
    return client.post(f"/rpc/{name}", json=arguments)


def _notes(owner: psycopg.Connection[Any]) -> list[str]:
    return [text for (text,) in owner.execute("select text from notes order by id")]


# --- calls ---------------------------------------------------------------------------------------------------------


def test_a_call_answers_with_the_functions_value_as_json(client: httpx.Client) -> None:
    answer = _call(client, "echo", args={"deep": [1, None, "ä"]})
    assert answer.json() == {"deep": [1, None, "ä"]}
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json; charset=utf-8")


@pytest.mark.parametrize(
    ("name", "arguments", "body"),
    [
        ("echo", {"args": None}, "null"),
        ("echo", {"args": "text"}, '"text"'),
        ("add_up", {"a": 2, "b": 3}, "5"),
        ("add_up", {"a": "2"}, "3"),
        ("numbers", {}, "[1, 2]"),
        ("first_note", {}, '{"id":null,"text":null,"secret":null}'),
    ],
)
def test_values_of_every_kind_are_the_body(
    client: httpx.Client, owner: psycopg.Connection[Any], name: str, arguments: dict[str, Any], body: str
) -> None:
    assert _call(client, name, **arguments).text == body


def test_a_void_function_has_no_content(client: httpx.Client) -> None:
    answer = _call(client, "nothing")
    assert (answer.status_code, answer.content) == (204, b"")


def test_of_an_array_of_objects_the_first_is_called(client: httpx.Client, owner: psycopg.Connection[Any]) -> None:
    assert client.post("/rpc/note", json=[{"args": {"text": text}} for text in ("first", "second")]).text == "1"
    assert _notes(owner) == ["first"]


def test_an_unknown_function_is_answered_with_the_likeliest_one(client: httpx.Client) -> None:
    answer = _call(client, "ticketflow_comit", changes=[])
    assert answer.status_code == 404
    assert answer.json() == {
        "code": "PGRST202",
        "details": "Searched for the function public.ticketflow_comit with parameter changes or with a single unnamed "
        "json/jsonb parameter, but no matches were found in the schema cache.",
        "hint": "Perhaps you meant to call the function public.ticketflow_commit",
        "message": "Could not find the function public.ticketflow_comit(changes) in the schema cache",
    }
    assert answer.headers["proxy-status"] == "PostgREST; error=PGRST202"


@pytest.mark.parametrize(("given", "shown"), [({}, " without parameters"), ({"c": 1, "a": 2}, "(a, c)")])
def test_arguments_that_the_function_does_not_have_are_unknown_as_well(
    client: httpx.Client, given: dict[str, Any], shown: str
) -> None:
    answer = _call(client, "add_up", **given)
    assert answer.status_code == 404
    assert answer.json()["message"] == f"Could not find the function public.add_up{shown} in the schema cache"


@pytest.mark.parametrize("body", [b"{", b"\xff", b'{"args": 1,}', b"[1, 2]"])
def test_a_body_without_arguments_is_refused(client: httpx.Client, body: bytes) -> None:
    answer = client.post("/rpc/echo", content=body)
    assert (answer.status_code, answer.json()["code"]) == (400, "PGRST102")


def test_another_type_of_content_is_refused(client: httpx.Client) -> None:
    answer = client.post("/rpc/echo", content=b"<a/>", headers={"content-type": "application/x-yaml"})
    assert (answer.status_code, answer.json()["message"]) == (400, "Content-Type not acceptable: application/x-yaml")


def test_what_postgresql_cannot_convert_is_its_own_error(client: httpx.Client) -> None:
    answer = client.post("/rpc/echo", content=rb'{"args": {"text": "\u0000"}}')
    assert (answer.status_code, answer.json()["code"]) == (400, "22P05")
    answer = _call(client, "add_up", a="one")
    assert (answer.status_code, answer.json()["code"]) == (400, "22P02")
    answer = client.get("/notes", params={"text": "eq.\0"})
    assert (answer.status_code, answer.json()["code"]) == (400, "22021")


def test_only_post_calls_a_function(client: httpx.Client) -> None:
    answer = client.put("/rpc/echo", json={"args": 1})
    assert (answer.status_code, answer.json()["code"]) == (405, "PGRST101")
    assert client.get("/rpc/echo").status_code == 501


def test_another_schema_is_not_exposed(client: httpx.Client) -> None:
    answer = client.post("/rpc/echo", json={"args": 1}, headers={"content-profile": "auth"})
    assert (answer.status_code, answer.json()["code"]) == (406, "PGRST106")
    answer = client.post("/rpc/echo", json={"args": 1}, headers={"content-profile": "public"})
    assert (answer.status_code, answer.headers["content-profile"]) == (200, "public")


# --- the transaction -----------------------------------------------------------------------------------------------


def test_a_call_runs_as_the_role_of_its_token_with_the_request_at_hand(client: httpx.Client) -> None:
    around = _call(client, "surroundings").json()
    assert (around["user"], around["login"]) == ("service_role", "authenticator")
    assert (around["request.method"], around["request.path"]) == ("POST", "/rpc/surroundings")
    assert json.loads(around["request.jwt.claims"])["iss"] == "supabase"
    assert json.loads(around["request.headers"])["content-type"] == "application/json"
    assert around["search_path"] == '"public", "extensions"'


def test_a_call_leaves_nothing_behind_on_its_connection(api: RestApi, client: httpx.Client) -> None:
    with _client(api, api.anon_key) as anonymous:
        assert _call(anonymous, "surroundings").json()["statement_timeout"] == "3s"
    around = _call(client, "surroundings").json()
    assert (around["user"], around["statement_timeout"]) == ("service_role", "8s")


def test_volatile_functions_may_write_and_others_may_not(client: httpx.Client, owner: psycopg.Connection[Any]) -> None:
    assert _call(client, "surroundings_of_a_write").json()["read_only"] == "off"
    assert _call(client, "surroundings").json()["read_only"] == "on"
    answer = _call(client, "note_in_a_read", args={"text": "no"})
    assert (answer.status_code, answer.json()["code"]) == (405, "25006")
    assert _notes(owner) == []
    assert _call(client, "note", args={"text": "yes"}).json() == 1
    assert _notes(owner) == ["yes"]


def test_the_time_for_a_statement_is_that_of_the_role_and_else_the_logins(api: RestApi) -> None:
    user = api.token({"role": "authenticated", "sub": "anna"})
    for key, token, limit in (
        (api.service_key, None, "8s"),
        (api.anon_key, None, "3s"),
        (api.anon_key, user, "8s"),
    ):
        with _client(api, key, token) as client:
            assert _call(client, "surroundings").json()["statement_timeout"] == limit


def test_the_time_that_a_function_asks_for_is_that_of_its_transaction(client: httpx.Client) -> None:
    assert _call(client, "patient").json() == "90s"


def test_a_function_that_takes_too_long_is_ended(client: httpx.Client) -> None:
    answer = _call(client, "slow")
    assert (answer.status_code, answer.json()["code"]) == (500, "57014")
    assert answer.json()["message"] == "canceling statement due to statement timeout"


# --- tables --------------------------------------------------------------------------------------------------------


def test_a_table_is_read_by_column_order_and_number(client: httpx.Client, owner: psycopg.Connection[Any]) -> None:
    for text in "abc":
        _call(client, "note", args={"text": text})
    owner.execute("update notes set secret = text where id > 1")
    answer = client.get("/notes", params={"select": "id,text", "order": "text.desc", "limit": "2"})
    assert answer.json() == [{"id": 3, "text": "c"}, {"id": 2, "text": "b"}]
    assert answer.headers["content-range"] == "0-1/*"
    for asked, found in (("eq.1", [1]), ("gte.2", [2, 3]), ("in.(1,3)", [1, 3])):
        rows = client.get("/notes", params={"select": "id", "order": "id", "id": asked}).json()
        assert [row["id"] for row in rows] == found
    assert client.get("/notes?select=id&secret=is.null").json() == [{"id": 1}]
    assert client.get("/notes?id=gt.9").json() == []


def test_the_projects_migrations_can_be_read(client: httpx.Client) -> None:
    rows = client.get("/schema_migrations", params={"select": "number,checksum", "order": "number"}).json()
    assert [row["number"] for row in rows] == list(range(1, len(rows) + 1))
    assert all(row["checksum"] for row in rows)


async def test_a_signed_in_customer_sees_their_own_tickets(api: RestApi) -> None:
    changes = [creation(customer_id=customer, subject=f"From {customer}") for customer in ("anna", "bert")]
    gateway = PostgresGateway(api.owner_url, 1)
    await gateway.open()
    for change in changes:
        await applied(Commits(gateway), change)
    await gateway.aclose()
    token = api.token({"role": "authenticated", "sub": "anna", "exp": int(time.time()) + 60})
    with _client(api, api.publishable_key, token) as anna:
        rows = anna.get("/tickets?select=id,subject,status").json()
        assert rows == [{"id": str(changes[0].ticket_id), "subject": "From anna", "status": "pending"}]
        assert anna.get("/tickets?select=*").status_code == 403
    with _client(api, api.anon_key) as stranger:
        assert stranger.get("/tickets?select=id&limit=1").status_code == 401


def test_unknown_tables_and_columns(client: httpx.Client) -> None:
    answer = client.get("/note")
    assert (answer.status_code, answer.json()["code"]) == (404, "PGRST205")
    assert answer.json()["message"] == "Could not find the table 'public.note' in the schema cache"
    assert answer.json()["hint"] == "Perhaps you meant the table 'public.notes'"
    answer = client.get("/notes?select=nothing")
    assert (answer.status_code, answer.json()["code"]) == (400, "42703")
    assert client.get("/notes?order=id.sideways").json()["code"] == "PGRST100"
    assert client.get("/a/b").json()["code"] == "PGRST125"


def test_what_is_not_imitated_says_so(client: httpx.Client) -> None:
    for answer in (
        client.get("/notes?select=id,events(*)"),
        client.get("/notes?text=like.*a"),
        client.post("/notes", json={}),
    ):
        assert answer.status_code == 501
        assert answer.json()["message"].startswith("not imitated")


# --- the schema cache ----------------------------------------------------------------------------------------------


@pytest.fixture
def young(owner: psycopg.Connection[Any]) -> Iterator[str]:
    """The statement that makes a new function."""
    yield "create function young() returns jsonb language sql as $$ select '1'::jsonb $$"
    owner.execute("drop function if exists young()")


def test_a_change_of_the_schema_is_seen_once_the_database_has_said_so(
    api: RestApi, client: httpx.Client, owner: psycopg.Connection[Any], young: str
) -> None:
    assert _call(client, "young").json()["code"] == "PGRST202"
    owner.execute(young)
    until(lambda: _call(client, "young").status_code == 200, 10, "the new schema")
    owner.execute("drop function young()")
    until(lambda: _call(client, "young").json()["code"] == "PGRST202", 10, "the schema after the drop")
    words = api.schema_words
    owner.execute("notify pgrst, 'reload schema'")
    until(lambda: api.schema_words == words + 1, 10, "a reload on demand")


def test_a_stale_cache_knows_nothing_new_and_calls_what_is_gone(
    api: RestApi, client: httpx.Client, owner: psycopg.Connection[Any], young: str
) -> None:
    for statement, code in ((young, "PGRST202"), ("drop function young()", "42883")):
        api.reload_schema()
        api.freeze_schema()
        words = api.schema_words
        owner.execute(statement)
        until(lambda before=words: api.schema_words > before, 10, "word of the change")
        answer = _call(client, "young")
        assert (answer.status_code, answer.json()["code"]) == (404, code)
        api.reset()


# --- keys and tokens -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["service_key", "secret_key", "anon_key", "publishable_key"])
@pytest.mark.parametrize("bearer", [True, False])
def test_each_key_has_its_role_with_and_without_authorization(api: RestApi, name: str, bearer: bool) -> None:
    key = getattr(api, name)
    headers = {"apikey": key} | ({"authorization": f"Bearer {key}"} if bearer else {})
    with _bare_client(api, headers) as client:
        answer = _call(client, "surroundings")
    role = "service_role" if name in ("service_key", "secret_key") else "anon"
    assert answer.json()["user"] == role
    claims = json.loads(answer.json()["request.jwt.claims"])
    assert (claims["role"], "iss" in claims) == (role, name in ("service_key", "anon_key"))


def test_the_key_may_stand_in_the_url(api: RestApi) -> None:
    with _bare_client(api, {}) as client:
        assert client.get("/notes", params={"select": "id", "apikey": api.service_key}).status_code == 200


def test_without_a_key_the_gateway_refuses(api: RestApi) -> None:
    with _bare_client(api, {}) as client:
        answer = _call(client, "echo", args=1)
    assert answer.status_code == 401
    assert answer.json() == {
        "message": "No API key found in request",
        "hint": "No `apikey` request header or url param was found.",
    }


def test_an_unknown_and_a_revoked_key_are_refused(api: RestApi, client: httpx.Client) -> None:
    api.keys.revoke(api.service_key)
    with _client(api, "sb_secret_wrong") as stranger:
        answers = [_call(each, "echo", args=1) for each in (client, stranger)]
    for answer in answers:
        assert answer.status_code == 401
        assert answer.json() == {
            "message": "Invalid API key",
            "hint": "Double check your Supabase `anon` or `service_role` API key.",
        }


def test_a_secret_key_is_refused_in_a_browser(api: RestApi) -> None:
    with _client(api, api.secret_key) as browser:
        browser.headers["user-agent"] = "Mozilla/5.0 (X11; Linux x86_64)"
        assert _call(browser, "echo", args=1).status_code == 401


def test_a_signed_in_users_token_outranks_the_key(api: RestApi) -> None:
    token = api.token({"role": "authenticated", "sub": "anna", "exp": int(time.time()) + 60})
    with _client(api, api.anon_key, token) as client:
        around = _call(client, "surroundings").json()
    assert around["user"] == "authenticated"
    assert json.loads(around["request.jwt.claims"])["sub"] == "anna"


@pytest.mark.parametrize(
    ("claims", "code", "message"),
    [
        ({"exp": -31}, "PGRST303", "JWT expired"),
        ({"exp": -25}, None, None),
        ({"nbf": 60}, "PGRST303", "JWT not yet valid"),
        ({"iat": 60}, "PGRST303", "JWT issued at future"),
    ],
)
def test_times_in_a_token_hold_within_half_a_minute(
    api: RestApi, claims: dict[str, int], code: str | None, message: str | None
) -> None:
    moments = {name: int(time.time()) + seconds for name, seconds in claims.items()}
    with _client(api, api.anon_key, api.token({"role": "authenticated", **moments})) as client:
        answer = _call(client, "echo", args=1)
    if code is None:
        assert answer.status_code == 200
        return
    assert (answer.status_code, answer.json()["code"], answer.json()["message"]) == (401, code, message)
    challenge = f'Bearer error="invalid_token", error_description="{message}"'
    assert answer.headers["www-authenticate"] == challenge


def test_a_token_that_the_project_did_not_sign_is_refused(api: RestApi) -> None:
    forged = api.token({"role": "service_role"}, "another-secret-of-at-least-32-bytes")
    for token, message in (
        (forged, "No suitable key or wrong key type"),
        ("nonsense", "Expected 3 parts in JWT; got 1"),
        (api.secret_key, "Expected 3 parts in JWT; got 1"),
    ):
        with _client(api, api.anon_key, token) as client:
            answer = _call(client, "echo", args=1)
        assert (answer.status_code, answer.json()["code"]) == (401, "PGRST301")
        assert answer.json()["message"] == message


def test_a_token_with_a_role_that_is_not_to_be_had_is_refused(api: RestApi) -> None:
    for role, status, code in (("nobody", 401, "22023"), ("project_owner", 403, "42501")):
        with _client(api, api.anon_key, api.token({"role": role})) as client:
            answer = _call(client, "echo", args=1)
        assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_without_the_right_a_user_is_forbidden_and_a_stranger_unauthorized(api: RestApi) -> None:
    user = api.token({"role": "authenticated", "sub": "anna"})
    for token, status in ((user, 403), (None, 401)):
        with _client(api, api.anon_key, token) as client:
            answer = _call(client, "ticketflow_stats", args={})
        assert (answer.status_code, answer.json()["code"]) == (status, "42501")
        assert answer.json()["message"] == "permission denied for function ticketflow_stats"


# --- errors --------------------------------------------------------------------------------------------------------


def test_an_error_of_the_function_comes_whole(client: httpx.Client, owner: psycopg.Connection[Any]) -> None:
    answer = _call(client, "fail", args={"code": "P0001"})
    assert answer.status_code == 400
    assert answer.json() == {
        "code": "P0001",
        "details": "In detail.",
        "hint": "A hint.",
        "message": "It failed.",
    }
    assert answer.headers["proxy-status"] == "PostgREST; error=P0001"
    assert answer.headers["content-type"] == "application/json; charset=utf-8"


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("08006", 503), ("09000", 500), ("0L000", 403), ("0P000", 403), ("23503", 409), ("23505", 409), ("23502", 400),
        ("25006", 405), ("25001", 500), ("28000", 403), ("2D000", 500), ("38000", 500), ("39000", 500), ("3B000", 500),
        ("40001", 500), ("40P01", 500), ("53400", 500), ("53100", 503), ("54001", 500), ("55P03", 500), ("57014", 500),
        ("57P01", 503), ("58030", 500), ("F0000", 500), ("HV000", 500), ("P0001", 400), ("P0002", 500), ("XX000", 500),
        ("42883", 404), ("42P01", 404), ("42P17", 500), ("42501", 403), ("22P05", 400), ("PT402", 402), ("TF001", 400),
    ],
)  # fmt: skip
def test_each_class_of_errors_has_its_status(code: str, status: int) -> None:
    assert status_of(code) == status


def test_a_pool_that_is_used_up_is_a_time_out(
    client: httpx.Client, owner: psycopg.Connection[Any], superuser: psycopg.Connection[Any]
) -> None:
    owner.execute("select pg_advisory_lock(7)")
    with ThreadPoolExecutor(2) as others:
        waiting = [others.submit(_call, client, "wait_for_lock") for _ in range(2)]
        count = "select count(*) from pg_stat_activity where wait_event = 'advisory' and application_name = 'postgrest'"
        until(lambda: superuser.execute(count).fetchone() == (2,), 10, "two calls in the database")
        answer = _call(client, "echo", args=1)
        owner.execute("select pg_advisory_unlock(7)")
        assert [each.result().status_code for each in waiting] == [200, 200]
    assert (answer.status_code, answer.json()["code"]) == (504, "PGRST003")
    assert answer.json()["message"] == "Timed out acquiring connection from connection pool."


def test_without_the_database_the_answer_is_503_until_it_is_back(
    client: httpx.Client, owner: psycopg.Connection[Any], superuser: psycopg.Connection[Any]
) -> None:
    name = owner.info.dbname
    assert _call(client, "echo", args=1).status_code == 200
    try:
        superuser.execute(f'alter database "{name}" allow_connections false')
        superuser.execute("select pg_terminate_backend(pid) from pg_stat_activity where datname = %s", (name,))
        lost = _call(client, "echo", args=1)
        without_a_schema = _call(client, "echo", args=1)
    finally:
        superuser.execute(f'alter database "{name}" allow_connections true')
    assert (lost.status_code, lost.headers["retry-after"]) == (503, "1")
    assert lost.json()["code"] in ("57P01", "PGRST000", "PGRST001")
    assert (without_a_schema.status_code, without_a_schema.json()["code"]) == (503, "PGRST002")
    assert without_a_schema.json()["message"] == "Could not query the database for the schema cache. Retrying."
    assert _call(client, "echo", args=1).status_code == 200


# --- what goes wrong on the way ------------------------------------------------------------------------------------


@pytest.mark.parametrize("reply", [faults.UNAVAILABLE, faults.PAUSED, faults.BAD_GATEWAY, faults.RATE_LIMITED])
def test_an_answer_of_the_gateway_comes_instead_of_the_call(
    api: RestApi, client: httpx.Client, owner: psycopg.Connection[Any], reply: faults.Reply
) -> None:
    api.faults.instead(reply, times=2, functions=["note"])
    assert _call(client, "echo", args=1).status_code == 200
    for _ in range(2):
        answer = _call(client, "note", args={"text": "no"})
        assert (answer.status_code, answer.content) == (reply.status, reply.body)
    assert _call(client, "note", args={"text": "yes"}).status_code == 200
    assert _notes(owner) == ["yes"]


def test_an_answer_of_the_gateway_may_hide_what_took_effect(
    api: RestApi, client: httpx.Client, owner: psycopg.Connection[Any]
) -> None:
    api.faults.after(faults.BAD_GATEWAY)
    assert _call(client, "note", args={"text": "hidden"}).headers["content-type"] == "text/html; charset=UTF-8"
    assert _notes(owner) == ["hidden"]


@pytest.mark.parametrize("cut", [faults.DROPPED, faults.HALF])
@pytest.mark.parametrize("executed", [True, False])
def test_a_connection_that_is_cut_tells_nothing_of_the_effect(
    api: RestApi, client: httpx.Client, owner: psycopg.Connection[Any], cut: faults.Cut, executed: bool
) -> None:
    (api.faults.after if executed else api.faults.instead)(cut)
    with pytest.raises(httpx.RemoteProtocolError):
        _call(client, "note", args={"text": "cut"})
    assert _notes(owner) == (["cut"] if executed else [])
    assert _call(client, "note", args={"text": "next"}).status_code == 200


def test_every_nth_answer_can_be_lost(api: RestApi, client: httpx.Client, owner: psycopg.Connection[Any]) -> None:
    api.faults.after(faults.DROPPED, every=3, times=None)
    lost = []
    for number in range(7):
        try:
            _call(client, "note", args={"text": str(number)})
        except httpx.RemoteProtocolError:
            lost.append(number)
    assert lost == [2, 5]
    assert _notes(owner) == list("0123456")


def test_a_body_above_the_limit_is_too_large(api: RestApi, client: httpx.Client) -> None:
    api.faults.largest_body = 1000
    assert _call(client, "echo", args="a" * 1000).status_code == 413
    assert _call(client, "echo", args="a").status_code == 200


def test_a_redirect(api: RestApi, client: httpx.Client) -> None:
    api.faults.instead(faults.redirect("https://elsewhere.example"))
    answer = _call(client, "echo", args=1)
    assert (answer.status_code, answer.headers["location"]) == (307, "https://elsewhere.example")


@pytest.mark.parametrize("executed", [True, False])
def test_calls_can_be_held(api: RestApi, client: httpx.Client, owner: psycopg.Connection[Any], executed: bool) -> None:
    with ThreadPoolExecutor(1) as other, api.faults.held("note", executed=executed) as hold:
        call = other.submit(_call, client, "note", args={"text": "held"})
        hold.arrived()
        assert _notes(owner) == (["held"] if executed else [])
        assert _call(client, "echo", args=1).status_code == 200
        assert not call.done()
        hold.release()
        assert call.result(10).status_code == 200
    assert _notes(owner) == ["held"]


def test_calls_and_bytes_are_counted(api: RestApi, client: httpx.Client) -> None:
    api.faults.instead(faults.UNAVAILABLE, functions=["echo"])
    first, second = _call(client, "echo", args="1"), _call(client, "echo", args="1")
    read = client.get("/notes?select=id")
    assert (api.calls["echo"], api.executed["echo"], api.calls["notes"]) == (2, 1, 1)
    assert api.traffic.statuses == {503: 1, 200: 2}
    assert api.traffic.bytes_in == len(first.request.content) * 2
    assert api.traffic.bytes_out == sum(len(answer.content) for answer in (first, second, read))


def test_a_project_that_is_gone_refuses_connections_until_it_is_back(api: RestApi, client: httpx.Client) -> None:
    url = api.url
    with ThreadPoolExecutor(1) as other, api.faults.held("echo") as hold:
        call = other.submit(_call, client, "echo", args=1)
        hold.arrived()
        api.stop()
        with pytest.raises(httpx.TransportError):
            call.result(10)
    try:
        with pytest.raises(httpx.ConnectError):
            _call(client, "echo", args=1)
    finally:
        api.start()
    assert api.url == url
    assert _call(client, "echo", args=1).status_code == 200


def test_as_a_process_it_ends_however_often_it_is_told_to(api: RestApi) -> None:
    command = [sys.executable, "-m", "tests.support.postgrest", "--url", api.owner_url, "--port", "0"]
    sent = 0
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("export SUPABASE_URL=http://127.0.0.1:")
        while process.poll() is None and (sent := sent + 1) < 20_000:
            process.send_signal(signal.SIGTERM)
        try:
            assert process.wait(20) == 0
        finally:
            process.kill()
