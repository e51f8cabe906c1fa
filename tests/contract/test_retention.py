"""Retention: closed tickets give up their checkpoints or go whole, in bounded batches, and nothing else is touched."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from tests.support.trails import (
    RESULT,
    applied,
    claimed,
    creation,
    event,
    fail,
    new_ticket,
    put_aside,
    step_done,
    tables_that_name,
    under,
)
from ticketflow.db.commits import Commits
from ticketflow.db.leases import Leases
from ticketflow.db.postgres import PostgresGateway
from ticketflow.db.reads import Reads
from ticketflow.db.retention import Pruned, Retention
from ticketflow.domain.change import CheckpointRow, Create
from ticketflow.domain.errors import Invalid
from ticketflow.domain.roles import LOCAL_ADMIN
from ticketflow.measuring import Measured
from ticketflow.services.caller import Caller
from ticketflow.services.inspect import Inspect
from ticketflow.services.prune import prune
from ticketflow.services.steer import Steer
from ticketflow.services.verify import verify
from ticketflow.telemetry.metrics import Metrics

STEPS = ("classify", "extract", "finalize")
SOON = timedelta(hours=1)


@pytest.fixture
def retention(gateway: PostgresGateway) -> Retention:
    return Retention(gateway)


async def with_checkpoints(
    commits: Commits, leases: Leases, gateway: PostgresGateway, *, end: bool = True, **fields: Any
) -> UUID:
    """A ticket that went through three steps, with a pending write; completed, or still under way."""
    ticket_id = await new_ticket(commits, **fields)
    lease = await claimed(leases, ticket_id)
    for number, step in enumerate(STEPS):
        last = end and step == STEPS[-1]
        events = [step_done(step), *([event(status="completed", result=dict(RESULT))] if last else [])]
        row = CheckpointRow(str(ticket_id), "", f"c{number}", None, {"v": 1}, {}, {})
        await applied(commits, under(lease, *events, release=last, checkpoint=row))
    await gateway.call(
        "ticketflow_checkpoint_writes",
        {
            "thread_id": str(ticket_id),
            "checkpoint_ns": "",
            "checkpoint_id": "c0",
            "task_id": "t",
            "task_path": "",
            "writes": [{"idx": 0, "channel": "a", "value": {"j": 1}}],
        },
    )
    return ticket_id


async def pruned(retention: Retention, *, whole: bool = False, batch: int = 100, dry_run: bool = False) -> list[Pruned]:
    """Prune everything that has ended by now; what each batch did."""
    before = datetime.now(UTC) + SOON
    return [each async for each in retention.prune(before, whole=whole, batch=batch, dry_run=dry_run)]


async def test_checkpoints_go_and_everything_that_a_person_reads_stays(
    commits: Commits, leases: Leases, gateway: PostgresGateway, reads: Reads, retention: Retention, database_url: str
) -> None:
    ticket_id = await with_checkpoints(commits, leases, gateway)
    before = await reads.ticket(ticket_id), await reads.events(ticket_id)
    assert await pruned(retention, dry_run=True) == [Pruned(tickets=1, checkpoints=3)]
    assert tables_that_name(database_url, ticket_id) >= {"checkpoints", "checkpoint_writes"}
    assert await pruned(retention) == [Pruned(tickets=1, checkpoints=3)]
    assert tables_that_name(database_url, ticket_id) == {"tickets", "ticket_words", "events", "outbox"}
    assert (await reads.ticket(ticket_id), await reads.events(ticket_id)) == before
    steps = (await Inspect(reads).workflow(ticket_id, LOCAL_ADMIN))["steps"]
    assert [step["step"] for step in steps if step["status"] == "done"] == list(STEPS)
    assert (await Inspect(reads).state(ticket_id, LOCAL_ADMIN, version=3))["status"] == "processing"
    assert not (await verify(reads)).violations
    assert await pruned(retention) == [Pruned()]


async def test_a_whole_ticket_leaves_nothing_in_any_table(
    commits: Commits, leases: Leases, gateway: PostgresGateway, reads: Reads, retention: Retention, database_url: str
) -> None:
    stays = await with_checkpoints(commits, leases, gateway, end=False)
    guard = Create(uuid4(), timedelta(hours=24))
    change = creation(guard=guard)
    await applied(commits, change)
    ticket_id = change.ticket_id
    await fail(commits, leases, ticket_id)
    [letter] = await reads.dead_letters(limit=5)
    with psycopg.connect(database_url) as connection:
        # What a redrive, a vain wake-up and a crash may leave behind.
        connection.execute("update dead_letters set redriven_at = now(), redriven_by = 'x' where id = %s", (letter.id,))
        connection.execute("insert into wake_ups values (%s, now())", (ticket_id,))
        connection.execute("insert into timers values (%s, 'retry', now())", (ticket_id,))
        connection.execute("insert into leases values (%s, gen_random_uuid(), 'w', now())", (ticket_id,))
    assert await pruned(retention, whole=True, dry_run=True) == [Pruned(tickets=1, events=6)]
    assert len(tables_that_name(database_url, ticket_id)) == 9
    assert await pruned(retention, whole=True) == [Pruned(tickets=1, events=6)]
    assert tables_that_name(database_url, ticket_id) == set()
    assert tables_that_name(database_url, stays) >= {"tickets", "events", "leases", "checkpoints", "checkpoint_writes"}
    verdict = await verify(reads)
    assert (verdict.tickets, verdict.violations) == (1, ())
    # The same text is a new ticket, as it is for one that never was.
    await applied(commits, creation(guard=guard))


@pytest.mark.parametrize("whole", [False, True])
async def test_a_ticket_that_may_yet_go_on_is_not_touched(
    commits: Commits,
    leases: Leases,
    gateway: PostgresGateway,
    retention: Retention,
    database_url: str,
    whole: bool,
) -> None:
    running = await with_checkpoints(commits, leases, gateway, end=False)
    waiting = await new_ticket(commits)
    await put_aside(commits, leases, waiting, timedelta(hours=1))
    failed = await new_ticket(commits)
    lease = await claimed(leases, failed)
    row = CheckpointRow(str(failed), "", "c0", None, {"v": 1}, {}, {})
    await applied(commits, under(lease, step_done("classify"), checkpoint=row))
    await leases.release(lease)
    await fail(commits, leases, failed)
    before = {each: tables_that_name(database_url, each) for each in (running, waiting, failed)}
    assert "checkpoints" in before[failed]
    assert await pruned(retention, whole=whole) == [Pruned(kept=int(whole))]
    assert {each: tables_that_name(database_url, each) for each in before} == before


async def test_a_cancelled_ticket_keeps_its_checkpoints_for_a_retry_until_it_goes_whole(
    commits: Commits,
    leases: Leases,
    gateway: PostgresGateway,
    reads: Reads,
    retention: Retention,
    database_url: str,
) -> None:
    ticket_id = await with_checkpoints(commits, leases, gateway, end=False)
    steer = Steer(commits, reads, Measured(Metrics()))
    await steer.cancel(ticket_id, Caller("r"))
    assert await pruned(retention) == [Pruned()]
    assert tables_that_name(database_url, ticket_id) >= {"checkpoints", "checkpoint_writes"}
    assert (await steer.retry(ticket_id, Caller("r"))).status == "pending"
    await steer.cancel(ticket_id, Caller("r"))
    [batch] = await pruned(retention, whole=True)
    assert (batch.tickets, batch.checkpoints) == (1, 3)
    assert tables_that_name(database_url, ticket_id) == set()


async def test_batches_are_bounded_and_go_oldest_first(
    commits: Commits, leases: Leases, gateway: PostgresGateway, reads: Reads, retention: Retention
) -> None:
    tickets = [await with_checkpoints(commits, leases, gateway) for _ in range(7)]
    batches = retention.prune(datetime.now(UTC) + SOON, whole=True, batch=3, dry_run=False)
    assert (await anext(batches)).tickets == 3
    left = await reads.tickets({}, sort="created_at", limit=10)
    assert [ticket.id for ticket in left] == tickets[3:]
    assert [batch.tickets async for batch in batches] == [3, 1]
    assert await pruned(retention, whole=True, batch=3) == [Pruned()]


async def test_only_what_ended_before_that_time_goes(
    commits: Commits, leases: Leases, gateway: PostgresGateway, reads: Reads, retention: Retention
) -> None:
    earlier, later = [await with_checkpoints(commits, leases, gateway) for _ in range(2)]
    ticket = await reads.ticket(later)
    assert ticket is not None
    assert ticket.completed_at is not None
    batches = retention.prune(ticket.completed_at, whole=True, batch=1, dry_run=False)
    assert sum([batch.tickets async for batch in batches]) == 1
    assert [left.id for left in await reads.tickets({}, sort="created_at", limit=5)] == [later]
    assert await reads.ticket(earlier) is None


@pytest.mark.parametrize("whole", [False, True])
async def test_a_ticket_that_another_transaction_holds_is_left_for_the_next_time(
    commits: Commits,
    leases: Leases,
    gateway: PostgresGateway,
    retention: Retention,
    database_url: str,
    whole: bool,
) -> None:
    held, free = [await with_checkpoints(commits, leases, gateway) for _ in range(2)]
    with psycopg.connect(database_url) as other:
        other.execute("select 1 from tickets where id = %s for update", (held,))
        [batch] = await pruned(retention, whole=whole)
        assert (batch.tickets, batch.busy) == (1, 1)
        assert "checkpoints" in tables_that_name(database_url, held)
        assert "checkpoints" not in tables_that_name(database_url, free)
    [batch] = await pruned(retention, whole=whole)
    assert (batch.tickets, batch.busy) == (1, 0)


async def test_a_key_that_an_intake_holds_is_not_waited_for(
    commits: Commits, leases: Leases, retention: Retention, database_url: str
) -> None:
    """The intake may hold the key and wait for the ticket: each would wait for the other."""
    change = creation(guard=Create(uuid4(), timedelta(hours=24)))
    await applied(commits, change)
    lease = await claimed(leases, change.ticket_id)
    await applied(commits, under(lease, event(status="completed"), release=True))
    with psycopg.connect(database_url) as intake:
        intake.execute("select 1 from intake_keys for update")
        [batch] = await pruned(retention, whole=True)
    assert batch.tickets == 1
    assert tables_that_name(database_url, change.ticket_id) == {"intake_keys"}


async def test_events_are_still_never_changed_and_never_deleted_by_themselves(
    commits: Commits, leases: Leases, gateway: PostgresGateway, database_url: str
) -> None:
    gone, stays = [await with_checkpoints(commits, leases, gateway) for _ in range(2)]
    open_ticket = await with_checkpoints(commits, leases, gateway, end=False)
    ended = "2000-01-01T00:00:00+00:00"
    with psycopg.connect(database_url, autocommit=True) as session:
        session.execute("select ticketflow_forget(array[%s::uuid], %s::timestamptz)", (gone, ended))
        assert session.execute("select count(*) from events where ticket_id = %s", (gone,)).fetchone() == (0,)
        for setting in ("", "set ticketflow.pruning = 'on'"):
            if setting:
                session.execute(setting)
            for ticket_id in (stays, open_ticket):
                for statement in (
                    "delete from events where ticket_id = %s",
                    "update events set actor = 'x' where ticket_id = %s",
                ):
                    with pytest.raises(psycopg.errors.RestrictViolation, match="never updated"):
                        session.execute(statement, (ticket_id,))
    with psycopg.connect(database_url) as session:
        # Within one transaction too, the permission ends with the function.
        session.execute("select ticketflow_forget(array[%s::uuid], %s::timestamptz)", (stays, ended))
        session.execute("delete from tickets where id = %s", (open_ticket,))
        with pytest.raises(psycopg.errors.RestrictViolation):
            session.execute("delete from events where ticket_id = %s", (open_ticket,))


@pytest.mark.parametrize(
    ("older_than", "whole", "why"),
    [
        (timedelta(), False, "no time at all"),
        (timedelta(days=-1), False, "no time at all"),
        (timedelta(hours=23), True, "at least 24h"),
        (timedelta(weeks=999_999), False, "longer ago"),
    ],
)
async def test_a_time_that_cannot_be_meant_is_refused(
    retention: Retention, older_than: timedelta, whole: bool, why: str
) -> None:
    with pytest.raises(Invalid, match=why):
        await anext(prune(retention, older_than, whole=whole, batch=10, dry_run=False))


async def test_upkeep_goes_on_where_the_last_process_stopped(
    commits: Commits, leases: Leases, gateway: PostgresGateway, reads: Reads, retention: Retention, database_url: str
) -> None:
    ended = [await with_checkpoints(commits, leases, gateway) for _ in range(3)]
    under_way = await with_checkpoints(commits, leases, gateway, end=False)
    before = datetime.now(UTC)
    late = await with_checkpoints(commits, leases, gateway)
    assert await retention.prune_next(before, 2) == (Pruned(tickets=2, checkpoints=6), True)
    another = Retention(gateway)
    assert await another.prune_next(before, 2) == (Pruned(tickets=1, checkpoints=3), False)
    assert await another.prune_next(before, 2) == (Pruned(), False)
    assert all("checkpoints" not in tables_that_name(database_url, ticket_id) for ticket_id in ended)
    assert "checkpoints" in tables_that_name(database_url, under_way)
    assert "checkpoints" in tables_that_name(database_url, late)
    assert await another.prune_next(datetime.now(UTC), 2) == (Pruned(tickets=1, checkpoints=3), False)
    assert not (await verify(reads)).violations


async def test_upkeep_keeps_what_a_person_may_yet_redrive(
    commits: Commits, leases: Leases, gateway: PostgresGateway, reads: Reads, retention: Retention, database_url: str
) -> None:
    failed = await with_checkpoints(commits, leases, gateway, end=False)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("update leases set expires_at = now()")
        await fail(commits, leases, failed)
        odd = await with_checkpoints(commits, leases, gateway)
        connection.execute(
            "insert into dead_letters (kind, ticket_id, reason, detail) values ('message', %s, 'message', 'no')", (odd,)
        )
    assert await retention.prune_next(datetime.now(UTC), 10) == (Pruned(kept=1), False)
    assert {"checkpoints"} <= tables_that_name(database_url, failed) & tables_that_name(database_url, odd)


async def test_two_processes_do_not_prune_at_the_same_time(
    commits: Commits, leases: Leases, gateway: PostgresGateway, retention: Retention, database_url: str
) -> None:
    await with_checkpoints(commits, leases, gateway)
    with psycopg.connect(database_url) as other:
        other.execute("select pg_advisory_xact_lock(7236428003)")
        assert await retention.prune_next(datetime.now(UTC), 10) == (Pruned(), False)
        other.rollback()
    assert await retention.prune_next(datetime.now(UTC), 10) == (Pruned(tickets=1, checkpoints=3), False)
