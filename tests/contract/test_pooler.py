"""Through a connection pooler in transaction mode: no call, no migration and no ticket may need a session."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from unittest.mock import AsyncMock

import psycopg
import pytest

from tests.support.api import settings_for
from tests.support.pipeline import at_work, ended, reached
from tests.support.pooler import Pooler, pooled
from ticketflow.cli.doctor import examine
from ticketflow.db.migrate import migrate, pending, shipped
from ticketflow.db.pooling import Pooling, by_address
from ticketflow.db.postgres import PostgresGateway
from ticketflow.domain.errors import ConfigurationError, StoreUnavailable


@contextlib.asynccontextmanager
async def opened(url: str) -> AsyncIterator[PostgresGateway]:
    gateway = PostgresGateway(url, 8)
    await gateway.open()
    try:
        yield gateway
    finally:
        await gateway.aclose()


@pytest.fixture
async def through(database_url: str) -> AsyncIterator[tuple[str, Pooler]]:
    async with pooled(database_url) as made:
        yield made


async def test_a_statement_that_was_prepared_is_gone_at_the_next_call(through: tuple[str, Pooler]) -> None:
    url, _ = through
    async with await psycopg.AsyncConnection.connect(url, autocommit=True, prepare_threshold=1) as careless:

        async def often() -> None:
            for number in range(4):
                await careless.execute("select %s::int", (number,))

        with pytest.raises(psycopg.errors.InvalidSqlStatementName):
            await often()


async def test_hundreds_of_calls_at_once_go_through_a_pooler(through: tuple[str, Pooler]) -> None:
    async with opened(through[0]) as gateway:
        assert gateway.pooling is Pooling.TRANSACTION
        asked = [{"number": number} for number in range(300)]
        echoes = [gateway.call("jsonb_strip_nulls", each) for each in asked]
        stats = [gateway.call("ticketflow_stats", {}) for _ in asked]
        answers = await asyncio.gather(*echoes, *stats)
    assert answers[:300] == asked
    assert [answer["total"] for answer in answers[300:]] == [0] * 300


async def test_a_pooler_that_nothing_gave_away_costs_calls_and_poisons_nothing(
    through: tuple[str, Pooler], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ticketflow.db.postgres.find_out", AsyncMock(return_value=Pooling.NONE))
    async with opened(through[0]) as gateway:
        asked = (gateway.call("ticketflow_stats", {}) for _ in range(60))
        failed = [each for each in await asyncio.gather(*asked, return_exceptions=True) if isinstance(each, Exception)]
        assert {type(each) for each in failed} == {StoreUnavailable}
        assert gateway.pooling is Pooling.UNKNOWN
        answers = [await gateway.call("ticketflow_stats", {}) for _ in range(20)]
    assert len(answers) == 20


async def test_a_call_that_is_given_up_is_cancelled_and_hurts_no_other(
    through: tuple[str, Pooler], database_url: str
) -> None:
    async with (
        opened(through[0]) as gateway,
        await psycopg.AsyncConnection.connect(database_url, autocommit=True) as server,
    ):
        async with server.transaction():
            await server.execute("lock table tickets")
            call = asyncio.create_task(gateway.call("ticketflow_stats", {}))
            await reached(lambda: waiting(server))
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            await reached(lambda: not gateway._abandoned)
            assert not await waiting(server)
        answers = await asyncio.gather(*(gateway.call("ticketflow_stats", {}) for _ in range(50)))
        assert [answer["total"] for answer in answers] == [0] * 50


async def waiting(server: psycopg.AsyncConnection[tuple[object, ...]]) -> bool:
    """Whether somebody in this database waits for a lock."""
    cursor = await server.execute(
        "select from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
    )
    return bool(cursor.rowcount)


async def test_processes_that_migrate_at_once_get_by_with_two_connections_of_the_pooler(
    empty_database_url: str,
) -> None:
    async with pooled(empty_database_url, backends=2) as (url, _):
        done = await asyncio.gather(*(migrate(url, only_empty=each) for each in (True, True, True)))
        assert [len(each) for each in sorted(done, key=len)] == [0, 0, len(shipped())]
        assert await migrate(url) == await pending(url) == []
        async with await psycopg.AsyncConnection.connect(empty_database_url) as server:
            locks = await server.execute(
                "select from pg_locks where locktype = 'advisory' "
                "and database = (select oid from pg_database where datname = current_database())"
            )
            assert locks.rowcount == 0


async def test_tickets_go_all_the_way_through_a_pooler(through: tuple[str, Pooler]) -> None:
    async with at_work(through[0], None, db_pool_size=2) as api:
        for ticket_id in [await api.ticket(subject=f"I forgot my password {number}") for number in range(4)]:
            assert (await ended(api, ticket_id))["status"] == "completed"


@pytest.mark.parametrize(("session_mode", "seen"), [(False, Pooling.TRANSACTION), (True, Pooling.UNKNOWN)])
async def test_a_pooler_is_told_by_what_it_does(database_url: str, session_mode: bool, seen: Pooling) -> None:
    for backends in (1, 3):
        async with pooled(database_url, backends=backends, session_mode=session_mode) as (url, _), opened(url) as found:
            assert found.pooling is seen
            await asyncio.gather(*(found.call("ticketflow_stats", {}) for _ in range(20)))


async def test_where_no_pooler_is_statements_are_prepared(database_url: str) -> None:
    async with opened(database_url) as gateway:
        assert gateway.pooling is Pooling.NONE
        assert (gateway.pooling.label, gateway.pooling.advice) == ("", "")
        async with gateway._pool.connection() as connection:
            assert connection.prepare_threshold is not None


@pytest.mark.parametrize(
    ("host", "port", "pooling"),
    [
        ("aws-0-eu-central-1.pooler.supabase.com", 6543, Pooling.TRANSACTION),
        ("aws-0-eu-central-1.pooler.supabase.com", 5432, Pooling.SESSION),
        ("db.abcdefghijkl.supabase.co", 6543, Pooling.TRANSACTION),
        ("db.abcdefghijkl.supabase.co", 5432, None),
        ("pooler.supabase.com.evil.example", 6543, None),
        ("127.0.0.1", 6543, None),
    ],
)
def test_supabases_poolers_are_known_by_their_addresses(host: str, port: int, pooling: Pooling | None) -> None:
    assert by_address(host, port) is pooling


async def test_doctor_says_that_there_is_a_pooler_and_what_would_be_better(through: tuple[str, Pooler]) -> None:
    [database, *_] = await examine(settings_for(through[0]))
    assert (database.part, database.ok) == ("database", True)
    assert database.finding.endswith("through a pooler in transaction mode: no prepared statements")
    assert "5432" in database.advice


@pytest.mark.parametrize(
    "refusal",
    [
        "Tenant or user not found",
        "(ENOTFOUND) tenant/user postgres.abcdefghijkl not found",
        "(ENOIDENTIFIER) no tenant identifier provided (external_id or sni_hostname required)",
    ],
)
async def test_a_user_whom_supabases_pooler_does_not_know_is_told_how_it_names_them(
    through: tuple[str, Pooler], refusal: str
) -> None:
    url, pooler = through
    pooler.refusal = refusal
    for attempt in (migrate(url), pending(url), PostgresGateway(url).open()):
        with pytest.raises(ConfigurationError, match=r"NAME\.PROJECT_REF") as caught:
            await attempt
        assert refusal in str(caught.value)


@pytest.mark.parametrize("ignores", [False, True])
async def test_a_role_that_a_pooler_does_not_pass_on_is_not_done_without(
    through: tuple[str, Pooler], ignores: bool
) -> None:
    url, pooler = through
    pooler.ignores_options = ignores
    with pytest.raises(ConfigurationError, match=r"does not pass on .*alter role LOGIN set"):
        async with opened(url + "?options=-c%20role%3Dpg_monitor"):
            pass


async def test_a_role_that_arrives_is_no_error(database_url: str) -> None:
    async with opened(database_url + "?options=-c%20role%3Dpg_monitor") as gateway:
        with pytest.raises(StoreUnavailable, match="permission denied"):
            await gateway.ping()
