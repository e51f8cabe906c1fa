"""What a signed-in customer of a Supabase project reads: their own tickets, what happened to them as far as it is
theirs to know, and what was said to them."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import httpx
import psycopg
import pytest

from tests.support.postgrest import RestApi, rest_api
from tests.support.supabase import Supabase, acting_as
from tests.support.trails import applied, at_version, creation
from ticketflow.db.commits import Commits
from ticketflow.db.postgres import PostgresGateway
from ticketflow.domain.events import EventType, NewEvent
from ticketflow.domain.tickets import Status

SHOWN = {
    "tickets": "id, customer_id, customer_email, subject, body, channel, status, lifecycle, category, priority, "
    "version, created_at, updated_at, completed_at",
    "events": "id, ticket_id, seq, event_type, created_at",
    "messages": "id, ticket_id, seq, kind, author_role, body, created_at",
}
TRAIL = [
    *(NewEvent(kind, "system", {"note": "secret"}) for kind in EventType if kind is not EventType.CREATED),
    *(NewEvent(EventType.MESSAGE, "agent:mia", {"kind": kind}) for kind in ("reply", "note", "suggestion")),
    NewEvent(EventType.STATUS_CHANGE, "system", {"kind": "reply"}, {"status": Status.CANCELLED}),
]
"""After ``created``: one of each kind, then messages."""
VISIBLE = ["created", "cancelled", "lifecycle", "message"]


@dataclass(frozen=True)
class Shop:
    """A project with a ticket of ``anna`` and one of ``bert``, each with the trail and a message of each kind."""

    url: str
    anna: UUID
    bert: UUID

    def read_by(self, claims: Any) -> AbstractContextManager[psycopg.Connection[Any]]:
        return acting_as(self.url, "authenticated", claims)


@pytest.fixture(scope="module")
def shop(project_server: Supabase) -> Iterator[Shop]:
    with project_server.project() as url:
        anna, bert = asyncio.run(told(url, ["anna", "bert"]))
        yield Shop(url, anna, bert)


async def told(url: str, customers: Sequence[str]) -> list[UUID]:
    """A ticket of each customer, with the trail above and a message of each kind."""
    gateway = PostgresGateway(url, 2)
    await gateway.open()
    created = [creation(customer_id=customer) for customer in customers]
    try:
        for change in created:
            await applied(Commits(gateway), change)
            await applied(Commits(gateway), at_version(change.ticket_id, 1, *TRAIL))
    finally:
        await gateway.aclose()
    message = (
        "insert into messages (id, ticket_id, seq, kind, author, body, created_at)"
        " values (%s, %s, 2, %s, 'agent:mia', 'Switch it off and on.', now())"
    )
    with psycopg.connect(url) as owner:
        for change in created:
            for kind in ("reply", "note", "suggestion"):
                owner.execute(message, (uuid4(), change.ticket_id, kind))
    return [change.ticket_id for change in created]


def sees(session: psycopg.Connection[Any]) -> dict[str, int]:
    return {
        table: len(session.execute(f"select {columns} from {table}".encode()).fetchall())
        for table, columns in SHOWN.items()
    }


NOTHING = dict.fromkeys(SHOWN, 0)
ONE_TICKET = {"tickets": 1, "events": len(VISIBLE), "messages": 1}


@pytest.mark.parametrize(
    "claims",
    [
        {"sub": "anna"},
        {"sub": "u-1", "app_metadata": {"customer_id": "anna"}},
        {"sub": "anna", "app_metadata": {"customer_id": ""}},
        {"sub": "anna", "app_metadata": {"customer_id": 7}},
        {"sub": "anna", "app_metadata": ["bert"]},
        {"sub": "anna", "user_metadata": {"customer_id": "bert"}},
        {"sub": "anna", "app_metadata": {"role": ["admin"]}, "is_anonymous": True},
    ],
    ids=json.dumps,
)
def test_customers_see_their_own_tickets_and_what_is_theirs_to_know(shop: Shop, claims: dict[str, Any]) -> None:
    with shop.read_by(claims) as session:
        assert sees(session) == ONE_TICKET
        assert session.execute("select id, customer_id from tickets").fetchall() == [(shop.anna, "anna")]
        events = session.execute("select ticket_id, event_type from events order by seq").fetchall()
        assert events == [(shop.anna, kind) for kind in VISIBLE]
        assert session.execute("select ticket_id, kind from messages").fetchall() == [(shop.anna, "reply")]


@pytest.mark.parametrize(
    "claims",
    [
        None,
        "",
        " ",
        '"anna"',
        "null",
        "7",
        '["anna"]',
        '{"sub": ["anna"]}',
        '{"sub": {"anna": 1}}',
        '{"sub": null}',
        '{"sub": ""}',
        '{"sub": "ANNA"}',
        '{"sub": "an%"}',
        '{"sub": "anna\\n"}',
        '{"sub": "\\u0430nna"}',
        '{"sub": "carol", "customer_id": "anna", "email": "anna", "user_metadata": {"customer_id": "anna"}}',
        '{"sub": "carol", "role": "service_role", "app_metadata": {"role": "admin"}}',
        '{"sub": "anna", "app_metadata": {"customer_id": "carol"}}',
        '{"app_metadata": "anna"}',
        '{"n": 1e999999}',
        "{}",
    ],
    ids=lambda claims: str(claims)[:30],
)
def test_claims_that_name_no_customer_show_nothing(shop: Shop, claims: str | None) -> None:
    with shop.read_by(claims) as session:
        assert sees(session) == NOTHING


@pytest.mark.parametrize(
    "claims",
    ["anna", '{"sub": "anna"', '{"sub": "an\\u0000na"}', "[" * 100_000],
    ids=lambda claims: str(claims)[:30],
)
def test_claims_that_no_token_can_hold_are_refused(shop: Shop, claims: str) -> None:
    with shop.read_by(claims) as session:
        for table, columns in SHOWN.items():
            with pytest.raises((psycopg.errors.DataError, psycopg.errors.StatementTooComplex)):
                session.execute(f"select {columns} from {table}".encode())


def test_whatever_is_not_shown_cannot_be_asked_for(shop: Shop) -> None:
    with psycopg.connect(shop.url) as owner:
        listed = owner.execute(
            "select relname, attname from pg_attribute a join pg_class c on c.oid = attrelid "
            "where relname = any(%s) and attnum > 0 and not attisdropped",
            (list(SHOWN),),
        ).fetchall()
    hidden = [(table, column) for table, column in listed if column not in SHOWN[table].split(", ")]
    assert {"result", "error", "tags", "team", "assignee", "metadata", "vip", "fingerprint", "payload", "changes"} <= {
        column for _, column in hidden
    }
    with shop.read_by({"sub": "anna"}) as session:
        for table, column in hidden:
            for question in (f"select {column} from {table}", f"select 1 from {table} order by {column}"):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    session.execute(question.encode())
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                session.execute(f"select id from {table} where {column} is null".encode())


@pytest.mark.parametrize("role", ["authenticated", "anon"])
def test_nobody_who_is_no_service_writes_anything(shop: Shop, role: str) -> None:
    statements = {
        "tickets": "update tickets set subject = 'x'",
        "events": "insert into events (ticket_id, seq, event_type, actor, change_id) "
        "values (gen_random_uuid(), 1, 'created', 'x', gen_random_uuid())",
        "messages": "insert into messages values (gen_random_uuid(), gen_random_uuid(), 1, 'reply', 'x', 'x', now())",
    }
    with acting_as(shop.url, role, {"sub": "anna"}) as session:
        for table, statement in statements.items():
            for attempt in (statement, f"delete from {table}", f"truncate {table}"):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    session.execute(attempt.encode())


@pytest.fixture
def mistaken(shop: Shop) -> Iterator[Shop]:
    """Somebody granted signed-in customers more than they need."""
    with psycopg.connect(shop.url, autocommit=True) as owner:
        owner.execute("grant insert, update, delete on tickets, messages to authenticated")
        yield shop
        owner.execute("select ticketflow_secure()")


def test_a_grant_by_mistake_still_lets_no_customer_write(mistaken: Shop) -> None:
    with mistaken.read_by({"sub": "anna"}) as session:
        for attempt in ("update tickets set subject = 'x'", "delete from messages"):
            assert session.execute(attempt.encode()).rowcount == 0
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level security"):
            session.execute(
                "insert into messages values (gen_random_uuid(), %s, 1, 'reply', 'x', 'x', now())", (mistaken.anna,)
            )


def test_without_a_signed_in_customer_nothing_is_readable(shop: Shop) -> None:
    with acting_as(shop.url, "anon", {"sub": "anna", "app_metadata": {"customer_id": "anna"}}) as session:
        for table, columns in SHOWN.items():
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                session.execute(f"select {columns} from {table}".encode())


def test_an_index_finds_a_customers_tickets_under_the_policy(shop: Shop) -> None:
    with shop.read_by({"sub": "anna"}) as session:
        session.execute("set enable_seqscan = off")
        plan = "\n".join(line for (line,) in session.execute("explain select id from tickets").fetchall())
    assert "tickets_by_customer" in plan
    assert "InitPlan" in plan


def test_what_customers_see_is_published_for_realtime(shop: Shop) -> None:
    with psycopg.connect(shop.url) as owner:
        rows = owner.execute(
            "select tablename from pg_publication_tables where pubname = 'supabase_realtime'"
        ).fetchall()
    assert {name for (name,) in rows} == SHOWN.keys()


@pytest.fixture(scope="module")
def endpoint(shop: Shop) -> Iterator[RestApi]:
    with rest_api(shop.url) as api:
        yield api


def portal(api: RestApi, **claims: Any) -> httpx.Client:
    """What a customer's browser has: the publishable key, and a token once somebody is signed in."""
    token = {"Authorization": f"Bearer {api.token({'role': 'authenticated', **claims})}"} if claims else {}
    return httpx.Client(base_url=f"{api.url}/rest/v1", headers={"apikey": api.publishable_key, **token})


@pytest.mark.parametrize("claims", [{}, {"sub": "anna"}], ids=["nobody", "a customer"])
def test_a_portal_can_call_none_of_the_functions(shop: Shop, endpoint: RestApi, claims: dict[str, str]) -> None:
    query = "select proname, proargnames from pg_proc where proname like 'ticketflow\\_%'"
    with psycopg.connect(shop.url) as owner:
        functions = owner.execute(query).fetchall()
    assert len(functions) > 60
    before = endpoint.executed.total()
    with portal(endpoint, **claims) as browser:
        answers = {
            name: browser.post(f"/rpc/{name}", json=dict.fromkeys(arguments or [])) for name, arguments in functions
        }
    codes = Counter(answer.json()["code"] for answer in answers.values())
    assert {answer.status_code for answer in answers.values()} == {403 if claims else 401, 404}
    # What only triggers call is unknown to PostgREST.
    assert codes.keys() == {"42501", "PGRST202"}
    assert codes["PGRST202"] < 5
    assert endpoint.executed.total() == before


def test_a_portal_reads_the_signed_in_customers_rows_and_no_others(shop: Shop, endpoint: RestApi) -> None:
    with portal(endpoint, sub="anna") as browser:
        for table, columns in SHOWN.items():
            rows = browser.get(f"/{table}", params={"select": columns.replace(" ", "")}).json()
            assert {row.get("ticket_id", row["id"]) for row in rows} == {str(shop.anna)}, table
            assert len(rows) == ONE_TICKET[table]
        assert browser.get("/tickets", params={"select": "id,result"}).status_code == 403
        assert browser.get("/leases", params={"select": "ticket_id"}).status_code == 403
    with portal(endpoint, sub="carol") as browser:
        assert [browser.get(f"/{table}", params={"select": "id"}).json() for table in SHOWN] == [[], [], []]
    with portal(endpoint) as browser:
        assert [browser.get(f"/{table}", params={"select": "id"}).status_code for table in SHOWN] == [401, 401, 401]
