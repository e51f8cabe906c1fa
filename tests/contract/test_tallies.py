"""Statistics from tallies are those of a full reckoning, whatever happened before, between and during the tallying."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.contract.test_horizon import Nowhere
from tests.support.pipeline import reached
from tests.support.trails import applied, at_version, complete, event, new_ticket, step_done
from ticketflow.broker.relay import Relay
from ticketflow.db.commits import Commits
from ticketflow.db.leases import Leases
from ticketflow.db.outbox import Outbox
from ticketflow.db.postgres import PostgresGateway
from ticketflow.db.reads import Reads
from ticketflow.db.retention import Retention
from ticketflow.db.tallies import Tallies
from ticketflow.domain.change import Applied, Change
from ticketflow.domain.events import EventType, NewEvent
from ticketflow.domain.tickets import TERMINAL, Status
from ticketflow.worker import upkeep
from ticketflow.worker.upkeep import Upkeep

AT_ONCE = timedelta(0)
OPEN = ("pending", "processing", "waiting")
MIGRATION = Path(__file__).parents[2] / "migrations" / "0007_steering.sql"


@pytest.fixture
def tallies(gateway: PostgresGateway) -> Tallies:
    return Tallies(gateway, AT_ONCE)


@pytest.fixture
def database(database_url: str) -> Iterator[psycopg.Connection[Any]]:
    """Knows how to reckon: the statistics as they were counted before there were tallies, through all tickets."""
    [definition] = [
        part
        for part in MIGRATION.read_text().split("create or replace function ")
        if part.startswith("ticketflow_stats(")
    ]
    body = definition.split("$$;")[0].replace("ticketflow_stats(", "reckoned(")
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(f"create function {body}$$".encode())
        yield connection


def agree(database: psycopg.Connection[Any]) -> dict[str, Any]:
    """The statistics, which must be those of a full reckoning at the same moment."""
    row = database.execute("select ticketflow_stats('{}'), reckoned('{}')").fetchone()
    assert row is not None
    assert row[0] == row[1]
    return dict(row[0])


async def settled(database: psycopg.Connection[Any]) -> None:
    """Whatever else the server does: other databases' transactions are waited for as well."""
    ready = "select bool_and(settled_by <= pg_snapshot_xmin(pg_current_snapshot())) from marks where name = 'tallies'"
    await reached(lambda: one(database, ready) is not False)


async def take_all(database: psycopg.Connection[Any], tallies: Tallies, batch: int = 100) -> int:
    """Once to see what has ended by now, and then until nothing is left of it; how many the second time."""
    await settled(database)
    await tallies.take_next(1000)
    await settled(database)
    taken, more = 0, True
    while more:
        some, more = await tallies.take_next(batch)
        taken += some
    return taken


def one(database: psycopg.Connection[Any], query: str) -> Any:
    row = database.execute(query.encode()).fetchone()
    return row and row[0]


class Held:
    """A gateway whose transaction stays open until somebody says so."""

    def __init__(self, connection: psycopg.AsyncConnection[Any]) -> None:
        self._connection = connection

    async def call(self, function: str, args: Any) -> Any:
        cursor = await self._connection.execute(
            f"select {function}(%s::jsonb)".encode(), (json.dumps(args, default=str),)
        )
        row = await cursor.fetchone()
        return row and row[0]

    async def ping(self) -> None: ...

    async def aclose(self) -> None: ...


# What happens to a ticket, by any caller --------------------------------------------------------------------------

FIGURES = st.sampled_from([0, 7, 1.5, 0.0012, -3, "ten", None])
USAGE = st.fixed_dictionaries({"input_tokens": FIGURES, "output_tokens": FIGURES, "cost_usd": FIGURES})
CATEGORIES = st.none() | st.sampled_from(["billing", "technical"])
RESULTS = st.none() | st.fixed_dictionaries(
    {"usage": USAGE}, optional={"disposition": st.sampled_from(["answered", "escalated"])}
)


def _spending(kind: EventType, usage: dict[str, Any], status: Status, category: str | None) -> NewEvent:
    return NewEvent(kind, "pipeline", {"usage": usage}, {"status": status, "category": category}, step_name="draft")


ONGOING = st.builds(
    _spending,
    st.sampled_from([EventType.STEP_COMPLETE, EventType.ERROR, EventType.REPLAYED]),
    USAGE,
    st.sampled_from([status for status in Status if status not in TERMINAL]),
    CATEGORIES,
)
ENDING = st.builds(
    lambda status, result, category: event(status=status, result=result, category=category),
    st.sampled_from(sorted(TERMINAL)),
    RESULTS,
    CATEGORIES,
)
BESIDE = st.builds(lambda category: event(EventType.LIFECYCLE, category=category, team="l2"), CATEGORIES)
"""By a person, whatever the pipeline has done."""

TICKETS = st.integers(0, 2)
CHANGED = st.tuples(
    st.just("change"),
    TICKETS,
    st.lists(ONGOING | ENDING, min_size=1, max_size=3)
    | ENDING.map(lambda end: [end])
    | BESIDE.map(lambda said: [said]),
)
TALLIED = st.tuples(st.just("tally"), st.sampled_from([1, 2, 100]), st.integers(1, 3))
MEANWHILE = st.tuples(
    st.just("meanwhile"),
    TICKETS,
    st.lists(ENDING | ONGOING | BESIDE, min_size=1, max_size=1),
    st.lists(CHANGED | TALLIED, max_size=4),
    st.booleans(),
)
PRUNED = st.tuples(st.just("prune"), st.integers(1, 2))
HAPPENINGS = st.lists(CHANGED | TALLIED | MEANWHILE | PRUNED | TALLIED | CHANGED, min_size=5, max_size=25)


class Desk:
    """A few tickets, and a transaction that stays open while others go on."""

    def __init__(self, gateway: PostgresGateway, held: psycopg.AsyncConnection[Any], database: psycopg.Connection[Any]):
        self._commits, self._retention = Commits(gateway), Retention(gateway)
        self._tallies = Tallies(gateway, AT_ONCE)
        self._connection, self._held = held, Commits(Held(held))
        self._database = database
        self._ids: dict[int, UUID] = {}

    async def happens(self, what: str, *how: Any, busy: int | None = None) -> None:
        match what, *how:
            case "change", int(number), list(events) if number != busy:
                await applied(self._commits, await self._change(number, events))
            case "meanwhile", int(number), list(events), list(others), bool(for_good):
                [outcome] = await self._held.apply_all([await self._change(number, events)])
                assert isinstance(outcome, Applied)
                for other in others:
                    await self.happens(*other, busy=number)
                await (self._connection.commit() if for_good else self._connection.rollback())
            case "prune", int(limit):
                before = datetime.now(UTC) + timedelta(hours=1)
                await anext(self._retention.prune(before, whole=True, batch=limit, dry_run=False))
            case "tally", int(limit), int(times):
                for _ in range(times):
                    await self._tallies.take_next(limit)
        agree(self._database)

    async def _change(self, number: int, events: list[NewEvent]) -> Change:
        version = None
        if number in self._ids:
            version = one(self._database, f"select version from tickets where id = '{self._ids[number]}'")
        if version is None:
            self._ids[number], version = await new_ticket(self._commits), 1
        return at_version(self._ids[number], version, *events)


@pytest.mark.thorough
@given(happenings=HAPPENINGS)
@settings(
    max_examples=60,
    phases=(Phase.generate,),
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
async def test_statistics_are_those_of_a_full_reckoning_whatever_happened(
    gateway: PostgresGateway, database_url: str, database: psycopg.Connection[Any], happenings: list[Any]
) -> None:
    async with await psycopg.AsyncConnection.connect(database_url) as held:
        desk = Desk(gateway, held, database)
        for what, *how in happenings:
            await desk.happens(what, *how)
    await take_all(database, Tallies(gateway, AT_ONCE), 2)
    agree(database)
    tallied = one(database, "select coalesce(sum(tickets), 0) from tallies")
    assert tallied == one(database, "select count(*) from tickets where completed_at is not null")
    assert one(database, "select count(*) from tally_corrections") == 0


# What is tallied, and by whom -------------------------------------------------------------------------------------


async def ended(commits: Commits, leases: Leases, count: int) -> list[UUID]:
    tickets = [await new_ticket(commits) for _ in range(count)]
    for ticket_id in tickets:
        await complete(commits, leases, ticket_id)
    return tickets


async def test_a_ticket_that_is_said_to_have_ended_long_ago_is_not_missed(
    commits: Commits, leases: Leases, tallies: Tallies, database: psycopg.Connection[Any]
) -> None:
    await ended(commits, leases, 2)
    assert await take_all(database, tallies) == 2
    database.execute("update tickets set completed_at = completed_at - interval '1 hour'")
    assert agree(database)["by_status"] == {"completed": 2}
    assert await take_all(database, tallies) == 0
    assert agree(database)["by_status"] == {"completed": 2}


async def test_what_has_just_ended_is_left_to_be_counted(
    commits: Commits,
    leases: Leases,
    gateway: PostgresGateway,
    tallies: Tallies,
    database: psycopg.Connection[Any],
) -> None:
    await ended(commits, leases, 2)
    assert await take_all(database, Tallies(gateway)) == 0
    assert agree(database)["by_status"] == {"completed": 2}
    assert await take_all(database, tallies) == 2
    assert agree(database)["by_status"] == {"completed": 2}


async def test_of_many_who_tally_at_once_one_does(
    commits: Commits, leases: Leases, tallies: Tallies, database: psycopg.Connection[Any]
) -> None:
    await ended(commits, leases, 5)
    await tallies.take_next(1)
    taken = 0
    while one(database, "select coalesce(sum(tickets), 0) from tallies") < 5:
        taken += sum(some for some, _ in await asyncio.gather(*(tallies.take_next(1) for _ in range(6))))
    assert taken == 5
    assert agree(database)["total"] == 5


async def test_who_finds_another_at_it_does_nothing(
    commits: Commits, leases: Leases, tallies: Tallies, database: psycopg.Connection[Any]
) -> None:
    await ended(commits, leases, 1)
    await tallies.take_next(10)
    await settled(database)
    with database.transaction():
        database.execute("select pg_advisory_xact_lock(7236428004)")
        assert await tallies.take_next(10) == (0, False)
    assert await tallies.take_next(10) == (1, False)


async def test_tickets_that_ended_together_are_taken_together(
    commits: Commits, leases: Leases, tallies: Tallies, database: psycopg.Connection[Any]
) -> None:
    await ended(commits, leases, 4)
    database.execute("update tickets set completed_at = (select min(completed_at) from tickets)")
    await tallies.take_next(2)
    await settled(database)
    assert await tallies.take_next(2) == (4, True)
    assert await tallies.take_next(2) == (0, False)
    assert agree(database)["total"] == 4


async def test_neither_steps_nor_ends_nor_what_people_do_afterwards_writes_a_correction(
    commits: Commits, leases: Leases, database: psycopg.Connection[Any]
) -> None:
    [ticket_id] = await ended(commits, leases, 1)
    version = one(database, "select version from tickets")
    await applied(commits, at_version(ticket_id, version, event(EventType.LIFECYCLE, lifecycle="closed", tags=["a"])))
    assert one(database, "select count(*) from tally_corrections") == 0
    await applied(commits, at_version(ticket_id, version + 1, event(EventType.REPLAYED, status="pending")))
    assert one(database, "select count(*) from tally_corrections") == 1
    lease_free = at_version(ticket_id, version + 2, step_done("draft", status="processing"))
    await applied(commits, lease_free)
    assert one(database, "select count(*) from tally_corrections") == 1
    agree(database)


async def test_a_database_that_was_restored_on_another_server_is_tallied_there(
    commits: Commits, leases: Leases, tallies: Tallies, database: psycopg.Connection[Any]
) -> None:
    await ended(commits, leases, 1)
    await tallies.take_next(1)
    database.execute("update marks set settled_by = '1000000000000'")
    assert await tallies.take_next(10) == (0, False)
    await settled(database)
    assert await tallies.take_next(10) == (1, False)


def test_a_status_is_that_of_a_ticket_under_way_or_of_one_that_ended() -> None:
    """As ``ticketflow_stats`` has it: the first are counted by status, the others by the time of their end."""
    assert {*OPEN, *TERMINAL} == set(Status)
    definition = MIGRATION.with_name("0014_stats.sql").read_text()
    assert f"t.status = any ('{{{','.join(OPEN)}}}')" in definition


async def test_every_worker_tallies(
    commits: Commits,
    leases: Leases,
    gateway: PostgresGateway,
    tallies: Tallies,
    database: psycopg.Connection[Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await ended(commits, leases, 3)
    monkeypatch.setattr(upkeep, "TALLY_PERIOD", 0.01)
    monkeypatch.setattr(upkeep, "TALLY_BATCH", 1)
    outbox = Outbox(gateway)
    loops = Upkeep(outbox, commits, Relay(outbox, Nowhere()), timedelta(hours=1), Retention(gateway), None, tallies)
    running = asyncio.create_task(loops.run())
    try:
        await reached(lambda: one(database, "select sum(tickets) from tallies") == 3)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert (await Reads(gateway).stats())["by_status"] == {"completed": 3}
