"""What has to happen later: outbox rows, timers, and tickets that nothing else would wake."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from uuid import UUID, uuid4

import psycopg
import pytest

from tests.support.trails import applied, at_version, claimed, creation, event, new_ticket, put_aside, under
from ticketflow.db.commits import Commits
from ticketflow.db.leases import Leases
from ticketflow.db.outbox import Outbox
from ticketflow.db.reads import Reads
from ticketflow.domain.change import Create, Timer, TimerKind, WakeUp
from ticketflow.domain.routing import Lane
from ticketflow.services.wake import fire

HOLD = timedelta(hours=1)
NOW = timedelta()


def run(database_url: str, statement: str, *parameters: object) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute(statement, parameters)


# Outbox ------------------------------------------------------------------------------------------------------------


async def test_rows_are_taken_in_order_with_everything_that_the_message_needs(commits: Commits, outbox: Outbox) -> None:
    headers = {"x-request-id": "r", "traceparent": "00-a-b-01"}
    change = creation(wake=False)
    wake_ups = [WakeUp(Lane.HIGH, "one", headers), WakeUp(Lane.LOW, "two")]
    await applied(commits, change)
    await applied(commits, at_version(change.ticket_id, 1, wake_ups=wake_ups))
    rows = await outbox.take(10, HOLD)
    assert [(row.ticket_id, row.lane, row.reason, row.headers) for row in rows] == [
        (change.ticket_id, Lane.HIGH, "one", headers),
        (change.ticket_id, Lane.LOW, "two", {}),
    ]
    assert rows[0].id < rows[1].id


async def test_a_taken_row_is_left_alone_until_its_hold_ends_or_it_is_given_back(
    commits: Commits, outbox: Outbox
) -> None:
    for _ in range(3):
        await new_ticket(commits)
    first = await outbox.take(2, HOLD)
    second = await outbox.take(10, HOLD)
    assert (len(first), len(second)) == (2, 1)
    assert await outbox.take(10, HOLD) == []
    await outbox.give_back([row.id for row in first])
    assert await outbox.take(10, NOW) == first
    # Taken with no hold, as if its relay had died long ago: offered again.
    assert await outbox.take(10, HOLD) == first


async def test_only_what_was_sent_is_forgotten(commits: Commits, outbox: Outbox) -> None:
    for _ in range(3):
        await new_ticket(commits)
    rows = await outbox.take(3, NOW)
    assert await outbox.take(10, HOLD, sent=[rows[0].id, rows[2].id]) == [rows[1]]
    assert await outbox.take(10, HOLD, sent=[rows[0].id]) == []


async def test_relays_that_take_at_once_never_take_the_same_row(commits: Commits, outbox: Outbox) -> None:
    await commits.apply_all([creation() for _ in range(40)])
    taken = [row.id for rows in await asyncio.gather(*(outbox.take(7, HOLD) for _ in range(8))) for row in rows]
    assert len(taken) == len(set(taken)) == 40


# Timers ------------------------------------------------------------------------------------------------------------


async def due(commits: Commits, leases: Leases, database_url: str) -> UUID:
    """A ticket whose retry is due."""
    ticket_id = await new_ticket(commits, wake=False)
    await put_aside(commits, leases, ticket_id, timedelta(hours=1))
    run(database_url, "update timers set due_at = clock_timestamp() where ticket_id = %s", ticket_id)
    return ticket_id


async def test_a_due_timer_starts_the_next_attempt_once_however_many_fire_it(
    commits: Commits, leases: Leases, outbox: Outbox, reads: Reads, database_url: str
) -> None:
    ticket_id = await due(commits, leases, database_url)
    seen = [timer for _ in range(4) for timer in await outbox.due_timers(10, NOW)]
    assert len(seen) == 4
    fired = await asyncio.gather(*(fire(timer, commits, outbox) for timer in seen))
    assert sorted(fired) == [False, False, False, True]
    ticket = await reads.ticket(ticket_id)
    assert ticket is not None
    assert (ticket.status, ticket.waiting_for, ticket.attempt) == ("pending", None, 2)
    trail = [item.event_type for item in await reads.events(ticket_id) or ()]
    assert trail.count("retry") == 1
    assert await reads.wakers(ticket_id) == {"lease": None, "timers": [], "outbox": 1}
    assert await outbox.due_timers(10, NOW) == []


async def test_two_processes_that_look_at_once_are_given_a_timer_once(
    commits: Commits, leases: Leases, outbox: Outbox, database_url: str
) -> None:
    expected = {await due(commits, leases, database_url) for _ in range(5)}
    found = [
        timer for timers in await asyncio.gather(*(outbox.due_timers(2, HOLD) for _ in range(6))) for timer in timers
    ]
    assert len(found) == 5
    assert {timer.ticket_id for timer in found} == expected


async def test_a_timer_that_is_not_due_is_not_given(commits: Commits, leases: Leases, outbox: Outbox) -> None:
    await put_aside(commits, leases, await new_ticket(commits), timedelta(hours=1))
    assert await outbox.due_timers(10, NOW) == []


async def test_a_timer_whose_ticket_moved_on_is_dropped_without_a_trace(
    commits: Commits, leases: Leases, outbox: Outbox, reads: Reads, database_url: str
) -> None:
    ticket_id = await due(commits, leases, database_url)
    ticket = await reads.ticket(ticket_id)
    assert ticket is not None
    await applied(commits, at_version(ticket_id, ticket.version, event(status="cancelled", waiting_for=None)))
    run(database_url, "insert into timers (ticket_id, kind, due_at) values (%s, 'retry', now())", uuid4())
    timers = await outbox.due_timers(10, NOW)
    assert sorted(timer.ticket is None for timer in timers) == [False, True]
    assert [await fire(timer, commits, outbox) for timer in timers] == [False, False]
    assert await outbox.due_timers(10, NOW) == []
    after = await reads.ticket(ticket_id)
    assert after is not None
    assert after.version == ticket.version + 1


async def test_setting_a_timer_again_moves_it_and_cancelling_removes_it(
    commits: Commits, outbox: Outbox, reads: Reads
) -> None:
    ticket_id = await new_ticket(commits)
    await applied(commits, at_version(ticket_id, 1, timers=[Timer(TimerKind.RETRY, NOW)]))
    assert len(await outbox.due_timers(10, HOLD)) == 1
    # Set anew while someone had taken it: it is nobody's, and due at its new time.
    await applied(commits, at_version(ticket_id, 2, timers=[Timer(TimerKind.RETRY, NOW)]))
    assert len(await outbox.due_timers(10, NOW)) == 1
    await applied(commits, at_version(ticket_id, 3, timers=[Timer(TimerKind.RETRY, timedelta(hours=1))]))
    assert await outbox.due_timers(10, NOW) == []
    await applied(commits, at_version(ticket_id, 4, cancel_timers=[TimerKind.RETRY]))
    assert (await reads.wakers(ticket_id))["timers"] == []


# Sweeper -----------------------------------------------------------------------------------------------------------


async def test_the_sweeper_wakes_what_no_message_will_ever_wake_and_nothing_else(
    commits: Commits, leases: Leases, outbox: Outbox, database_url: str
) -> None:
    forgotten = await new_ticket(commits, wake=False, priority="urgent")
    expired = await new_ticket(commits, wake=False, priority="low")
    await claimed(leases, expired)
    orphaned = await new_ticket(commits, wake=False)
    await claimed(leases, orphaned)
    has_message = await new_ticket(commits)
    worked_on = await new_ticket(commits, wake=False)
    await claimed(leases, worked_on)
    waiting = await new_ticket(commits, wake=False)
    await put_aside(commits, leases, waiting, timedelta(hours=1))
    done = await new_ticket(commits, wake=False)
    await applied(commits, under(await claimed(leases, done), event(status="completed"), release=True))
    run(database_url, "update leases set expires_at = clock_timestamp() where ticket_id = %s", expired)
    run(database_url, "delete from leases where ticket_id = %s", orphaned)
    run(database_url, "update tickets set updated_at = updated_at - interval '10 minutes'")
    fresh = await new_ticket(commits, wake=False)

    assert set(await outbox.sweep(timedelta(minutes=5))) == {forgotten, expired, orphaned}
    rows = {row.ticket_id: (row.lane, row.reason) for row in await outbox.take(10, NOW)}
    assert rows.pop(has_message) == (Lane.NORMAL, "created")
    assert rows == {
        forgotten: (Lane.HIGH, "sweep"),
        expired: (Lane.LOW, "sweep"),
        orphaned: (Lane.NORMAL, "sweep"),
    }
    assert not {fresh, worked_on, waiting, done} & rows.keys()


async def test_the_sweeper_waits_longer_after_each_vain_wake_up(
    commits: Commits, leases: Leases, outbox: Outbox, database_url: str
) -> None:
    ticket_id = await new_ticket(commits, wake=False)
    stale = timedelta(minutes=1)
    minutes_until_woken = []
    for _ in range(3):
        for minutes in range(1, 20):
            run(database_url, "update tickets set updated_at = updated_at - interval '61 seconds'")
            run(database_url, "update wake_ups set last_at = last_at - interval '61 seconds'")
            if await outbox.sweep(stale):
                minutes_until_woken.append(minutes)
                break
        # The message was published and lost.
        await outbox.take(10, HOLD, sent=[row.id for row in await outbox.take(10, HOLD)])
    assert minutes_until_woken == [1, 2, 4]
    # Once a worker has it, the patience is forgotten.
    lease = await claimed(leases, ticket_id)
    await applied(commits, under(lease, event(status="pending"), release=True))
    run(database_url, "update tickets set updated_at = updated_at - interval '61 seconds'")
    assert await outbox.sweep(stale) == [ticket_id]


async def test_sweepers_that_run_at_once_wake_a_ticket_once(commits: Commits, outbox: Outbox) -> None:
    ids = {await new_ticket(commits, wake=False) for _ in range(10)}
    woken = [ticket for found in await asyncio.gather(*(outbox.sweep(NOW) for _ in range(4))) for ticket in found]
    assert len(woken) == 10
    assert set(woken) == ids


async def test_the_sweeper_forgets_texts_whose_window_is_over(
    commits: Commits, outbox: Outbox, database_url: str
) -> None:
    for _ in range(2):
        await applied(commits, creation(guard=Create(uuid4(), timedelta(days=1))))
    with psycopg.connect(database_url) as connection:
        [old, young] = [row[0] for row in connection.execute("select key from intake_keys").fetchall()]
        connection.execute("update intake_keys set created_at = now() - interval '25 hours' where key = %s", (old,))
        connection.commit()
        await outbox.sweep(HOLD)
        assert connection.execute("select key from intake_keys").fetchall() == [(young,)]


@pytest.mark.parametrize("limit", [1, 3])
async def test_no_read_is_without_a_bound(commits: Commits, outbox: Outbox, limit: int) -> None:
    await commits.apply_all([creation(wake=False) for _ in range(5)])
    assert len(await outbox.sweep(NOW, limit)) == limit
    assert len(await outbox.take(limit, HOLD)) == limit


async def test_a_timer_whose_ticket_only_a_later_release_can_read_holds_up_no_other(
    commits: Commits, leases: Leases, outbox: Outbox, database_url: str
) -> None:
    strange, plain = await new_ticket(commits), await new_ticket(commits)
    for ticket_id in (strange, plain):
        await put_aside(commits, leases, ticket_id, timedelta())
    with psycopg.connect(database_url) as connection:
        connection.execute("update tickets set priority = 'critical' where id = %s", (strange,))
    assert [timer.ticket_id for timer in await outbox.due_timers(10, timedelta(seconds=30))] == [plain]
