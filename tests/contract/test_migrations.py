"""Migrations run once, in order, in one process at a time; and what they leave behind is closed to everyone else."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from tests.support import services
from tests.support.pipeline import reached
from tests.support.trails import TTL, fail, new_ticket
from ticketflow.db.commits import Commits
from ticketflow.db.leases import Leases
from ticketflow.db.migrate import migrate, pending, shipped
from ticketflow.db.postgres import PostgresGateway
from ticketflow.db.reads import Reads
from ticketflow.db.retention import Retention
from ticketflow.domain.errors import ConfigurationError, StoreUnavailable

NAMES = [migration.name for migration in shipped()]


def applied_at(url: str) -> list[tuple[object, ...]]:
    with psycopg.connect(url) as connection:
        return connection.execute("select * from schema_migrations order by number").fetchall()


def change(url: str, statement: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute(statement)  # type: ignore[call-overload]


async def test_two_at_once_migrate_once(empty_database_url: str) -> None:
    assert len(await pending(empty_database_url)) == len(NAMES) > 0
    done = await asyncio.gather(*(migrate(empty_database_url) for _ in range(3)))
    assert [[migration.name for migration in each] for each in sorted(done, key=len)] == [[], [], NAMES]
    assert [row[1] for row in applied_at(empty_database_url)] == NAMES
    assert await pending(empty_database_url) == []


async def test_processes_that_start_on_an_empty_database_fill_it_once(empty_database_url: str) -> None:
    done = await asyncio.gather(*(migrate(empty_database_url, only_empty=True) for _ in range(3)))
    assert [[migration.name for migration in each] for each in sorted(done, key=len)] == [[], [], NAMES]


async def test_a_database_that_is_behind_or_holds_something_else_is_not_filled(empty_database_url: str) -> None:
    change(empty_database_url, "create view somebody_elses as select 1")
    assert await migrate(empty_database_url, only_empty=True) == []
    change(empty_database_url, "drop view somebody_elses")
    await migrate(empty_database_url, only_empty=True)
    change(empty_database_url, "delete from schema_migrations where number = 7")
    assert await migrate(empty_database_url, only_empty=True) == []


async def test_a_user_who_may_not_make_tables_is_told_so(empty_database_url: str, stranger: str) -> None:
    change(empty_database_url, "revoke create on schema public from public")
    change(empty_database_url, f"alter role {stranger} login password 'secret'")
    with pytest.raises(ConfigurationError, match="user lacks rights: permission denied"):
        await migrate(services.as_role(empty_database_url, stranger, "secret"))


async def test_a_process_that_lost_the_lock_finishes_its_migration_and_begins_no_other(empty_database_url: str) -> None:
    async with (
        await psycopg.AsyncConnection.connect(empty_database_url, autocommit=True) as server,
        await psycopg.AsyncConnection.connect(empty_database_url) as holder,
    ):

        async def count(of: str) -> int:
            return (await server.execute(f"select from {of}")).rowcount  # type: ignore[call-overload]

        here = "(select oid from pg_database where datname = current_database())"
        lock = f"pg_locks where locktype = 'advisory' and database = {here}"
        await server.execute(
            "create table schema_migrations (number integer primary key, name text not null, checksum text not null, "
            "applied_at timestamptz not null default clock_timestamp())"
        )
        async with holder.transaction():
            await holder.execute("lock table schema_migrations in exclusive mode")
            working = asyncio.create_task(migrate(empty_database_url))
            await reached(lambda: count(f"pg_stat_activity where wait_event_type = 'Lock' and datid = {here}"))
            assert await count(f"(select pg_terminate_backend(pid) from {lock}) ended") == 1
            await reached(lambda: no_more(count(lock)))
        with pytest.raises(StoreUnavailable):
            await working
    assert [row[1] for row in applied_at(empty_database_url)] == NAMES[:1]
    assert [migration.name for migration in await migrate(empty_database_url)] == NAMES[1:]


async def no_more(count: Awaitable[int]) -> bool:
    return await count == 0


async def test_the_record_of_another_programs_migrations_is_told_from_ours(empty_database_url: str) -> None:
    change(empty_database_url, "create table schema_migrations (version text)")
    for attempt in (pending, migrate):
        with pytest.raises(ConfigurationError, match=r"names that Ticketflow needs.*: schema_migrations;"):
            await attempt(empty_database_url)


async def test_files_that_something_else_applied_are_put_on_record(empty_database_url: str) -> None:
    for migration in shipped():
        change(empty_database_url, migration.script)
    assert await pending(empty_database_url) == []
    assert await migrate(empty_database_url, only_empty=True) == []
    assert applied_at(empty_database_url) == []
    assert await migrate(empty_database_url) == []
    assert [row[:3] for row in applied_at(empty_database_url)] == [
        (migration.number, migration.name, migration.checksum) for migration in shipped()
    ]


async def test_what_the_schema_says_of_itself_is_this_release(database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        [said] = connection.execute("select ticketflow_schema('{}')").fetchone() or ({},)
    assert said["version"] == shipped()[-1].number


async def test_a_later_releases_files_that_something_else_applied_are_seen(database_url: str) -> None:
    later = """create or replace function ticketflow_schema(args jsonb) returns jsonb language sql stable as
               $$ select '{"version": 9999, "reads": []}'::jsonb $$"""
    change(database_url, later)
    with pytest.raises(ConfigurationError, match="later release: it has migration 9999"):
        await migrate(database_url)
    assert await pending(database_url) == []


async def test_postgrest_is_told_to_look_again(database_url: str) -> None:
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as listener:
        await listener.execute("listen pgrst")
        await migrate(database_url)
        [heard] = [notice.payload async for notice in listener.notifies(timeout=10, stop_after=1)]
    assert heard == "reload schema"


async def test_migrating_again_changes_nothing(database_url: str) -> None:
    before = applied_at(database_url)
    assert await migrate(database_url) == []
    assert applied_at(database_url) == before


@pytest.mark.parametrize("made", ["table messages (id integer)", "type messages as enum ('reply', 'note')"])
async def test_what_somebody_else_has_by_names_of_ours_is_seen_before_anything_is_made(
    empty_database_url: str, made: str
) -> None:
    change(empty_database_url, f"create {made}; create table products (id integer)")
    with pytest.raises(ConfigurationError, match=r"nothing was changed: messages; .* where psql applied some"):
        await migrate(empty_database_url)
    with psycopg.connect(empty_database_url) as connection:
        made_since = connection.execute("select to_regclass('schema_migrations'), to_regclass('tickets')").fetchone()
    assert made_since == (None, None)
    change(empty_database_url, f"alter {made.split()[0]} messages rename to posts")
    assert [migration.name for migration in await migrate(empty_database_url)] == NAMES


async def test_a_migration_that_fails_leaves_nothing_of_itself(empty_database_url: str) -> None:
    change(empty_database_url, "create function ticketflow_queue_put(args jsonb) returns jsonb return 'null'::jsonb")
    with pytest.raises(ConfigurationError, match=rf"{NAMES[4]} cannot be applied.*queue_put.* already exists"):
        await migrate(empty_database_url)
    assert [row[1] for row in applied_at(empty_database_url)] == NAMES[:4]
    with psycopg.connect(empty_database_url) as connection:
        assert connection.execute("select to_regclass('queue_messages')").fetchone() == (None,)
    change(empty_database_url, "drop function ticketflow_queue_put(jsonb)")
    assert [migration.name for migration in await migrate(empty_database_url)] == NAMES[4:]


async def test_a_migration_that_was_applied_in_another_wording_is_refused(database_url: str) -> None:
    change(database_url, "update schema_migrations set checksum = 'x' where number = 2")
    with pytest.raises(ConfigurationError, match=NAMES[1]):
        await migrate(database_url)


async def test_a_database_of_a_later_release_is_not_migrated(database_url: str) -> None:
    change(database_url, "insert into schema_migrations (number, name, checksum) values (9999, '9999_later', 'x')")
    with pytest.raises(ConfigurationError, match="later release"):
        await migrate(database_url)
    # But this release may run on it: that is how a new one is rolled out.
    assert await pending(database_url) == []


async def test_a_server_that_is_away_is_an_error_of_ours_without_the_password() -> None:
    url = "postgresql://someone:hunter2@127.0.0.1:1/nothing"
    for attempt in (migrate, pending):
        with pytest.raises(StoreUnavailable) as refused:
            await attempt(url)
        assert "hunter2" not in str(refused.value)
        assert "\n" not in str(refused.value)


async def test_a_schema_that_is_not_there_says_what_to_run(empty_database_url: str) -> None:
    gateway = PostgresGateway(empty_database_url, 2)
    await gateway.open()
    try:
        with pytest.raises(StoreUnavailable, match="ticketflow migrate"):
            await Reads(gateway).stats()
    finally:
        await gateway.aclose()


@pytest.fixture
def stranger(database_url: str) -> Iterator[str]:
    """A role that may connect and was granted nothing."""
    name = f"ticketflow_test_{uuid4().hex[:12]}"
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(sql.SQL("create role {}").format(sql.Identifier(name)))
        yield name
        connection.execute(sql.SQL("drop owned by {}").format(sql.Identifier(name)))
        connection.execute(sql.SQL("drop role {}").format(sql.Identifier(name)))


async def test_an_owner_who_is_no_superuser_can_migrate_and_work(postgres_server: str, stranger: str) -> None:
    """As on most hosted servers."""
    with services.database(postgres_server) as url:
        change(url, f"alter role {stranger} login password 'secret'")
        change(url, f"alter schema public owner to {stranger}")
        own = services.as_role(url, stranger, "secret")
        await migrate(own)
        gateway = PostgresGateway(own, 2)
        await gateway.open()
        try:
            ticket_id = await new_ticket(Commits(gateway))
            await fail(Commits(gateway), Leases(gateway, "worker-1", TTL, ["1"]), ticket_id)
            change(url, "update dead_letters set redriven_at = now()")
            [pruned] = [
                batch
                async for batch in Retention(gateway).prune(
                    datetime.now(UTC) + timedelta(hours=1), whole=True, batch=5, dry_run=False
                )
            ]
            assert pruned.tickets == 1
        finally:
            await gateway.aclose()


async def test_every_table_has_row_level_security(database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        tables = connection.execute(
            "select relname, relrowsecurity from pg_class "
            "where relkind in ('r', 'p') and relnamespace = current_schema()::regnamespace"
        ).fetchall()
    assert len(tables) >= 15
    assert [name for name, secured in tables if not secured] == []


async def test_no_function_of_ours_may_be_called_by_a_role_that_was_granted_nothing(
    database_url: str, stranger: str
) -> None:
    with psycopg.connect(database_url) as connection:
        functions = connection.execute(
            "select p.oid::regprocedure::text, has_function_privilege(%s, p.oid, 'execute') from pg_proc p "
            "where p.proname like 'ticketflow\\_%%' and p.pronamespace = current_schema()::regnamespace",
            (stranger,),
        ).fetchall()
    assert len(functions) > 30
    assert [name for name, callable_ in functions if callable_] == []


async def test_a_role_that_is_granted_the_tables_still_sees_no_row(database_url: str, stranger: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("insert into queue_consumers values (gen_random_uuid(), now())")
        role = sql.Identifier(stranger)
        connection.execute(sql.SQL("grant usage on schema public to {}").format(role))
        connection.execute(sql.SQL("grant select on all tables in schema public to {}").format(role))
        connection.execute(sql.SQL("set role {}").format(role))
        assert connection.execute("select count(*) from queue_consumers").fetchone() == (0,)
        assert connection.execute("select count(*) from schema_migrations").fetchone() == (0,)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("select ticketflow_stats('{}')")
        connection.execute("reset role")


@pytest.mark.parametrize(
    "url", ["postgresql://u:100%sure@db/x", "postgresql://u:p@db/x?nonsense=1", "postgresql://u:p%00@db/"]
)
async def test_a_connection_string_that_cannot_be_read_is_refused_without_quoting_it(url: str) -> None:
    for attempt in (migrate, pending):
        with pytest.raises(ConfigurationError, match="DATABASE_URL") as refused:
            await attempt(url)
        assert "sure" not in str(refused.value)
        assert "\n" not in str(refused.value)
