"""The database's own guard, on a project with the roles that Supabase has: each role can do what is listed here and
nothing else, whatever it is granted on everything new. What was written is final for every one of them."""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from tests.support.supabase import GRANTED, OWNER, Supabase, acting_as, as_service
from tests.support.trails import TTL, complete, new_ticket, tables_that_name
from ticketflow.db.commits import Commits
from ticketflow.db.leases import Leases
from ticketflow.db.migrate import migrate, shipped
from ticketflow.db.postgres import PostgresGateway
from ticketflow.db.retention import Retention
from ticketflow.domain.events import DERIVED_COLUMNS, IMMUTABLE_COLUMNS, MUTABLE_COLUMNS

ROWS = {"select", "insert", "update", "delete"}
TABLES: dict[str, set[str]] = {
    "tickets": {"select", "insert"},
    "ticket_words": ROWS,
    "marks": ROWS,
    "tallies": ROWS,
    "tally_corrections": ROWS,
    "events": {"select", "insert"},
    "messages": {"select", "insert"},
    "leases": ROWS,
    "outbox": ROWS,
    "timers": ROWS,
    "intake_keys": ROWS,
    "wake_ups": ROWS,
    "dead_letters": ROWS,
    "checkpoints": ROWS,
    "checkpoint_writes": ROWS,
    "articles": ROWS,
    "passages": ROWS,
    "queue_messages": ROWS,
    "queue_consumers": ROWS,
    "tokens": ROWS,
    "schema_migrations": {"select"},
}
"""What service_role may do with whole rows of each. Signed-in customers read columns of three, and that is all."""
SENT = IMMUTABLE_COLUMNS | {"id", "created_at"}
"""Of a ticket's columns, those that nothing changes after its creation."""
SHOWN = {"tickets", "events", "messages"}
OWNERS_ALONE = {"ticketflow_secure", "ticketflow_admit_customers"}
FINAL = ("events", "messages")


def rows(url: str, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
    with psycopg.connect(url, autocommit=True) as connection:
        return connection.execute(query.encode(), parameters).fetchall()


def tables(url: str) -> set[str]:
    found = rows(
        url,
        "select relname from pg_class where relkind in ('r', 'p', 'v', 'm') "
        "and relnamespace = current_schema()::regnamespace",
    )
    return {name for (name,) in found}


def allowed(session: psycopg.Connection[Any], table: str) -> set[str]:
    """What this session gets through with on whole rows, each thing really tried."""
    named = (
        "select quote_ident(attname) from pg_attribute where attrelid = to_regclass(%s)"
        " and attnum > 0 and not attisdropped and attgenerated = '' order by attnum"
    )
    columns = [column for (column,) in session.execute(named, (table,)).fetchall()]
    column, every = columns[0], ", ".join(columns)
    tried = {
        "select": f"select * from {table}",
        "insert": f"insert into {table} ({every}) overriding system value"
        f" select {', '.join(f'(null::{table}).{each}' for each in columns)} where false",
        "update": f"update {table} set {column} = default where false",
        "delete": f"delete from {table}",
        "truncate": f"truncate {table} cascade",
    }
    done = set()
    for right, statement in tried.items():
        with suppress(psycopg.errors.InsufficientPrivilege), session.transaction(force_rollback=True):
            session.execute(statement.encode())
            done.add(right)
    return done


def test_every_table_is_listed_here_and_guarded(project: str) -> None:
    assert tables(project) == TABLES.keys()
    assert set(rows(project, "select ticketflow_tables()")[0][0]) == TABLES.keys()


def test_each_role_can_do_with_a_table_what_is_listed(project: str) -> None:
    found: dict[str, dict[str, set[str]]] = {}
    for role in GRANTED:
        with acting_as(project, role) as session:
            found[role] = {table: allowed(session, table) for table in TABLES}
    assert found["service_role"] == TABLES
    assert found["anon"] == {table: set() for table in TABLES}
    # Some columns of three tables: whole rows are not theirs to read.
    assert found["authenticated"] == found["anon"]


def test_no_role_is_granted_more_on_any_table_column_or_sequence(project: str) -> None:
    granted = rows(
        project,
        "select coalesce(r.rolname, 'public'), c.relname, lower(a.privilege_type) from pg_class c "
        "cross join aclexplode(c.relacl) a left join pg_roles r on r.oid = a.grantee "
        "where c.relnamespace = current_schema()::regnamespace and a.grantee <> c.relowner",
    )
    assert set(granted) == {("service_role", table, right) for table, rights in TABLES.items() for right in rights}
    columns = rows(
        project,
        "select r.rolname, c.relname, lower(a.privilege_type) from pg_attribute t "
        "join pg_class c on c.oid = t.attrelid cross join aclexplode(t.attacl) a "
        "left join pg_roles r on r.oid = a.grantee "
        "where c.relnamespace = current_schema()::regnamespace",
    )
    shown = {("authenticated", table, "select") for table in SHOWN}
    assert set(columns) == shown | {("service_role", "tickets", "update")}


def test_of_a_ticket_service_role_changes_what_events_change_and_not_what_was_sent(project: str) -> None:
    changed = set()
    with acting_as(project, "service_role") as session:
        for column in IMMUTABLE_COLUMNS | MUTABLE_COLUMNS | DERIVED_COLUMNS:
            with suppress(psycopg.errors.InsufficientPrivilege):
                session.execute(f"update tickets set {column} = {column} where false".encode())
                changed.add(column)
    assert changed == (MUTABLE_COLUMNS | DERIVED_COLUMNS) - SENT


def test_functions_may_be_called_by_service_role_only(project: str) -> None:
    listed = rows(
        project,
        "select p.proname, array(select r from unnest(array['anon', 'authenticated', 'service_role']) r "
        "where has_function_privilege(r, p.oid, 'execute')) from pg_proc p "
        "where p.pronamespace = current_schema()::regnamespace",
    )
    assert len(listed) > 40
    callers = {name: set(roles) for name, roles in listed}
    assert [callers.pop(name) for name in OWNERS_ALONE] == [set(), set()]
    assert [name for name, roles in callers.items() if roles != {"service_role"}] == []
    for role in ("anon", "authenticated"):
        with (
            acting_as(project, role) as session,
            pytest.raises(psycopg.errors.InsufficientPrivilege, match="permission denied for function"),
        ):
            session.execute("select ticketflow_stats('{}')")


def test_whatever_runs_as_the_owner_finds_names_in_a_path_of_its_own(project: str) -> None:
    as_owner = rows(
        project,
        "select proname, proconfig::text from pg_proc "
        "where prosecdef and pronamespace = current_schema()::regnamespace",
    )
    assert as_owner == [("ticketflow_forget", '{"search_path=pg_catalog, public, pg_temp"}')]


def test_no_function_of_the_callers_own_rights_would_delete_or_change_what_is_final(project: str) -> None:
    bodies = rows(
        project,
        "select proname, prosrc from pg_proc where not prosecdef and pronamespace = current_schema()::regnamespace",
    )
    forbidden = re.compile(r"\b(delete from|truncate|update) (only )?(events|messages)\b|\bdelete from tickets\b", re.I)
    assert [name for name, body in bodies if forbidden.search(body)] == []


@pytest.fixture
async def trail(project: str) -> UUID:
    """A completed ticket with a message."""
    gateway = PostgresGateway(project, 2)
    await gateway.open()
    try:
        ticket_id = await new_ticket(Commits(gateway))
        await complete(Commits(gateway), Leases(gateway, "worker-1", TTL, ["1"]), ticket_id)
    finally:
        await gateway.aclose()
    with psycopg.connect(project) as owner:
        owner.execute(
            "insert into messages values (%s, %s, 1, 'reply', 'customer', 'Hello?', now())", (uuid4(), ticket_id)
        )
    return ticket_id


ATTEMPTS = [
    "update {} set created_at = now() where ticket_id = %s",
    "delete from {} where ticket_id = %s",
    "truncate {}",
    "truncate tickets, {}",
    "truncate {} restart identity cascade",
]


@pytest.mark.parametrize("table", FINAL)
@pytest.mark.parametrize("role", [OWNER, "service_role"])
@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_what_was_written_is_final(project: str, trail: UUID, table: str, role: str, attempt: str) -> None:
    before = rows(project, f"select * from {table}")
    refusal = psycopg.errors.RestrictViolation if role == OWNER else psycopg.errors.InsufficientPrivilege
    text, parameters = attempt.format(table), (trail,) if "%s" in attempt else ()
    with acting_as(project, role) as session:
        for setting in ("", "on"):
            session.execute("select set_config('ticketflow.pruning', %s, false)", (setting,))
            with pytest.raises(refusal):
                session.execute(text.encode(), parameters)
    assert rows(project, f"select * from {table}") == before != []


@pytest.mark.parametrize("table", FINAL)
def test_a_role_that_was_granted_deletion_by_mistake_still_cannot(project: str, trail: UUID, table: str) -> None:
    with psycopg.connect(project) as owner:
        owner.execute("grant all on all tables in schema public to service_role")
    with acting_as(project, "service_role") as session:
        session.execute("set ticketflow.pruning = 'on'")
        session.execute("delete from tickets where id = %s", (trail,))
        for attempt in ATTEMPTS[:-1]:
            with pytest.raises(psycopg.errors.RestrictViolation):
                session.execute(attempt.format(table).encode(), (trail,) if "%s" in attempt else ())


async def test_service_role_prunes_whole_tickets_though_it_may_delete_nothing_of_them(
    project: str, trail: UUID
) -> None:
    gateway = PostgresGateway(as_service(project), 2)
    await gateway.open()
    try:
        open_ticket = await new_ticket(Commits(gateway))
        before = datetime.now(UTC) + timedelta(hours=1)
        [batch] = [each async for each in Retention(gateway).prune(before, whole=True, batch=5, dry_run=False)]
    finally:
        await gateway.aclose()
    assert (batch.tickets, batch.events) == (1, 6)
    assert tables_that_name(project, trail) == set()
    assert tables_that_name(project, open_ticket) == {"tickets", "ticket_words", "events", "outbox"}


def test_only_tickets_that_are_over_are_forgotten_and_only_ours(project: str, trail: UUID) -> None:
    with psycopg.connect(project) as owner:
        owner.execute("update tickets set completed_at = null")
    with acting_as(project, "service_role") as session:
        # Tables of the caller's own, with the names of ours, lead it nowhere else.
        session.execute("create temp table tickets (id uuid, completed_at timestamptz)")
        session.execute("insert into tickets values (%s, now())", (trail,))
        session.execute("select ticketflow_forget(array[%s::uuid], now())", (trail,))
        assert session.execute("select count(*) from pg_temp.tickets").fetchone() == (1,)
    assert tables_that_name(project, trail) >= {"tickets", "events", "messages"}
    with psycopg.connect(project) as owner:
        owner.execute("update tickets set completed_at = now()")
    with acting_as(project, "service_role") as session:
        session.execute("select ticketflow_forget(array[%s::uuid], now())", (trail,))
    assert tables_that_name(project, trail) == set()


async def test_rights_are_put_right_by_the_next_migrate(project: str) -> None:
    access = "select relname, relacl::text from pg_class where relname !~ '^pg_' order by 1"
    right = rows(project, access)
    assert await migrate(project) == []
    assert rows(project, access) == right
    with psycopg.connect(project) as owner:
        owner.execute("grant all on all tables in schema public to anon, service_role")
        owner.execute("grant update (subject) on tickets to authenticated")
        owner.execute("grant usage on all sequences in schema public to anon")
        owner.execute("grant execute on all functions in schema public to public, anon")
        owner.execute("drop policy customers_read_their_own on tickets")
        owner.execute("alter publication supabase_realtime drop table tickets, events")
    assert await migrate(project) == []
    test_each_role_can_do_with_a_table_what_is_listed(project)
    test_no_role_is_granted_more_on_any_table_column_or_sequence(project)
    test_functions_may_be_called_by_service_role_only(project)
    assert published(project) == SHOWN
    policies = rows(project, "select tablename::text, cmd, roles::text from pg_policies")
    assert set(policies) == {(table, "SELECT", "{authenticated}") for table in SHOWN}


def test_files_that_something_else_applied_leave_the_same_rights(project_server: Supabase) -> None:
    with project_server.bare() as project:
        with psycopg.connect(project) as owner:
            for migration in shipped():
                owner.execute(migration.script.encode())
        test_no_role_is_granted_more_on_any_table_column_or_sequence(project)
        test_functions_may_be_called_by_service_role_only(project)


async def test_rows_that_somebody_stopped_guarding_are_guarded_again_by_the_next_migrate(
    project: str, trail: UUID
) -> None:
    with psycopg.connect(project) as owner:
        for table in TABLES:
            owner.execute(f"alter table {table} disable row level security".encode())
    assert read_by_a_stranger(project) == [(trail,)]
    assert await migrate(project) == []
    assert read_by_a_stranger(project) == []
    unguarded = (
        "select relname from pg_class where relkind = 'r' and not relrowsecurity and relnamespace = %s::regnamespace"
    )
    assert rows(project, unguarded, "public") == []


def read_by_a_stranger(url: str) -> list[tuple[Any, ...]]:
    with acting_as(url, "authenticated", {"sub": "stranger"}) as session:
        return session.execute("select id from tickets").fetchall()


async def test_a_schema_that_was_made_anew_is_open_to_those_who_need_it(project: str) -> None:
    with psycopg.connect(project) as owner:
        owner.execute("drop schema public cascade")
        owner.execute("create schema public")
    await migrate(project)
    with acting_as(project, "service_role") as service:
        assert service.execute("select ticketflow_tickets('{\"limit\": 1}')").fetchone() == ([],)
    assert read_by_a_stranger(project) == []
    test_no_role_is_granted_more_on_any_table_column_or_sequence(project)
    assert published(project) == SHOWN


def published(url: str) -> set[str]:
    return {
        name for (name,) in rows(url, "select tablename from pg_publication_tables where pubname = 'supabase_realtime'")
    }


async def test_somebody_elses_tables_and_functions_beside_ours_are_left_alone(project_server: Supabase) -> None:
    with project_server.bare() as project:
        with psycopg.connect(project) as owner:
            owner.execute("create table products (id integer)")
            owner.execute("create function price() returns integer language sql as 'select 1'")
        theirs = (
            "select relname::text, relacl::text from pg_class where relname = 'products' "
            "union all select proname, proacl::text from pg_proc where proname = 'price'"
        )
        before = rows(project, theirs)
        await migrate(project)
        assert rows(project, theirs) == before
        assert re.search(r"anon=\w+", before[0][1])
        assert published(project) == SHOWN


async def test_without_these_roles_the_schema_is_the_same_and_nobody_is_granted_anything(database_url: str) -> None:
    assert rows(database_url, "select policyname from pg_policies") == []
    assert (
        rows(
            database_url,
            "select c.relname from pg_class c cross join aclexplode(c.relacl) a "
            "where c.relnamespace = current_schema()::regnamespace and a.grantee <> c.relowner",
        )
        == []
    )
