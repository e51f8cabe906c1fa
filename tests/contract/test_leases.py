"""Leases: one worker at a time, fenced from whoever had the ticket before."""

from __future__ import annotations

import asyncio
from uuid import UUID, uuid4

import psycopg
import pytest

from tests.support.trails import TTL, applied, claimed, event, everything, new_ticket, step_done, under, with_everything
from ticketflow.db.commits import Commits
from ticketflow.db.leases import Held, Lease, Leases, NotClaimable, OtherFlow, Unknown, Unreadable
from ticketflow.db.postgres import PostgresGateway
from ticketflow.db.reads import Reads
from ticketflow.domain.change import CheckpointRow, HoldsLease, Refusal, Refused
from ticketflow.domain.tickets import Status


def set_expiry(database_url: str, ticket_id: UUID, seconds: int) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute(
            "update leases set expires_at = clock_timestamp() + %s * interval '1 second' where ticket_id = %s",
            (seconds, ticket_id),
        )


async def test_a_claim_answers_what_stands_in_its_way(commits: Commits, leases: Leases, others: Leases) -> None:
    free, taken, done = [await new_ticket(commits) for _ in range(3)]
    await claimed(leases, taken)
    await applied(commits, under(await claimed(leases, done), event(status="completed"), release=True))
    outcomes = await asyncio.gather(
        *(others.claim(ticket_id, takeover=False) for ticket_id in (free, taken, done, uuid4()))
    )
    lease, *refusals = outcomes
    assert isinstance(lease, Lease)
    assert (lease.ticket.status, lease.ticket.version, lease.takeovers) == (Status.PROCESSING, 4, 0)
    assert lease.checkpoint is None
    assert refusals == [Held("worker-1"), NotClaimable(Status.COMPLETED), Unknown()]


async def test_of_many_claims_at_once_one_wins(commits: Commits, gateway: PostgresGateway) -> None:
    ticket_id = await new_ticket(commits)
    workers = [Leases(gateway, f"worker-{number}", TTL, ["1"]) for number in range(12)]
    outcomes = await asyncio.gather(*(worker.claim(ticket_id, takeover=False) for worker in workers))
    winners = [outcome for outcome in outcomes if isinstance(outcome, Lease)]
    assert len(winners) == 1
    assert sum(isinstance(outcome, Held) for outcome in outcomes) == 11


@pytest.mark.parametrize("how", ["takeover", "expiry"])
async def test_after_a_takeover_the_former_owner_changes_nothing(
    commits: Commits, leases: Leases, others: Leases, database_url: str, how: str
) -> None:
    ticket_id = await new_ticket(commits)
    old = await claimed(leases, ticket_id)
    await applied(commits, under(old, step_done("classify")))
    if how == "expiry":
        set_expiry(database_url, ticket_id, -1)
    new = await claimed(others, ticket_id, takeover=how == "takeover")
    assert new.takeovers == 1
    before = everything(database_url)
    for change in (
        under(old),
        under(old, release=True),
        with_everything(ticket_id=ticket_id, guard=HoldsLease(old.token)),
    ):
        assert await commits.apply(change) == Refused(Refusal.LEASE, new.ticket.version, status=Status.PROCESSING)
    await leases.release(old)
    assert everything(database_url) == before
    assert await leases.extend([old]) == {ticket_id: Status.PROCESSING}
    await applied(commits, under(new, step_done("extract")))


async def test_lost_workers_are_counted_until_a_step_is_completed(
    commits: Commits, leases: Leases, gateway: PostgresGateway, reads: Reads
) -> None:
    ticket_id = await new_ticket(commits)
    await claimed(leases, ticket_id)
    for expected in (1, 2, 3, 4):
        lease = await claimed(Leases(gateway, f"heir-{expected}", TTL, ["1"]), ticket_id, takeover=True)
        assert lease.takeovers == expected
    last = (await reads.events(ticket_id) or ())[-1]
    assert (last.event_type, last.payload["reason"], last.payload["previous_worker"]) == ("retry", "takeover", "heir-3")
    await applied(commits, under(lease, step_done("classify")))
    assert (await claimed(leases, ticket_id, takeover=True)).takeovers == 1


async def test_workers_that_take_a_ticket_from_each_other_are_not_lost(
    commits: Commits, leases: Leases, others: Leases
) -> None:
    """A connection to the broker that breaks again and again hands a healthy ticket to and fro."""
    ticket_id = await new_ticket(commits)
    for worker in (leases, others) * 5:
        assert (await claimed(worker, ticket_id, takeover=True)).takeovers <= 1


async def test_a_heartbeat_tells_that_its_worker_was_not_lost(
    commits: Commits, leases: Leases, others: Leases, gateway: PostgresGateway
) -> None:
    ticket_id = await new_ticket(commits)
    mine = await claimed(leases, ticket_id)
    assert (await claimed(others, ticket_id, takeover=True)).takeovers == 1
    assert await leases.extend([mine]) == {ticket_id: Status.PROCESSING}
    assert (await claimed(Leases(gateway, "third", TTL, ["1"]), ticket_id, takeover=True)).takeovers == 1


async def test_a_ticket_with_a_value_of_a_later_release_is_given_back_and_hurts_no_other(
    commits: Commits, leases: Leases, reads: Reads, database_url: str
) -> None:
    strange, plain = await new_ticket(commits, wake=False), await new_ticket(commits)
    with psycopg.connect(database_url) as connection:
        connection.execute("update tickets set priority = 'critical' where id = %s", (strange,))
    odd, usual = await asyncio.gather(leases.claim(strange, takeover=False), leases.claim(plain, takeover=False))
    assert isinstance(odd, Unreadable)
    assert isinstance(usual, Lease)
    assert (await reads.wakers(strange))["outbox"] == 1
    with psycopg.connect(database_url) as connection:
        connection.execute("update tickets set priority = 'high' where id = %s", (strange,))
    assert (await claimed(leases, strange)).takeovers == 0


async def test_copies_of_a_message_for_another_flow_do_not_each_go_on_for_ever(
    commits: Commits, leases: Leases, gateway: PostgresGateway, reads: Reads
) -> None:
    ticket_id = await new_ticket(commits, wake=False)
    lease = await claimed(leases, ticket_id)
    row = CheckpointRow(str(ticket_id), "", "c1", None, {"channel_versions": {"a": "1"}}, {}, {})
    await applied(commits, under(lease, step_done("classify"), checkpoint=row))
    stranger = Leases(gateway, "stranger", TTL, ["another"])
    for _ in range(10):
        assert await stranger.claim(ticket_id, takeover=True) == OtherFlow("1")
    assert (await reads.wakers(ticket_id))["outbox"] == 2


async def test_a_worker_that_claims_again_what_it_has_is_not_counted_as_lost(commits: Commits, leases: Leases) -> None:
    """The answer to its claim was lost, and the message came back to it."""
    ticket_id = await new_ticket(commits)
    for _ in range(8):
        assert (await claimed(leases, ticket_id, takeover=True)).takeovers == 0


async def test_a_claim_brings_the_newest_checkpoint_with_every_channel(commits: Commits, leases: Leases) -> None:
    ticket_id = await new_ticket(commits)
    lease = await claimed(leases, ticket_id)
    for number, (name, channels) in enumerate(
        (("c1", {"a": {"v": "1", "j": 1}, "b": {"v": "1", "j": 2}}), ("c2", {"a": {"v": "2", "j": 3}}))
    ):
        versions = {"a": str(number + 1), "b": "1"}
        row = CheckpointRow(str(ticket_id), "", name, None, {"channel_versions": versions}, {}, channels)
        await applied(commits, under(lease, step_done("classify"), checkpoint=row))
    resumed = await claimed(leases, ticket_id, takeover=True)
    assert resumed.checkpoint is not None
    assert resumed.checkpoint["checkpoint_id"] == "c2"
    assert {name: value["j"] for name, value in resumed.checkpoint["channels"].items()} == {"a": 3, "b": 2}


async def test_the_newest_checkpoint_is_the_last_that_was_written_whatever_clock_named_it(
    commits: Commits, leases: Leases, others: Leases
) -> None:
    """Checkpoint ids begin with the time of the machine that made them, and the next worker's clock may be behind."""
    ticket_id = await new_ticket(commits)
    for worker, step, made_at in ((leases, "classify", "9"), (others, "extract", "1")):
        lease = await claimed(worker, ticket_id, takeover=True)
        row = CheckpointRow(str(ticket_id), "", made_at, None, {"channel_versions": {step: "1"}}, {}, {})
        await applied(commits, under(lease, step_done(step), checkpoint=row))
    resumed = await claimed(leases, ticket_id, takeover=True)
    assert resumed.checkpoint is not None
    assert resumed.checkpoint["checkpoint_id"] == "1"


async def test_extend_keeps_what_is_ours_and_names_what_was_lost(
    commits: Commits, leases: Leases, others: Leases, database_url: str
) -> None:
    kept, lost, returned = [await claimed(leases, await new_ticket(commits)) for _ in range(3)]
    await claimed(others, lost.ticket.id, takeover=True)
    await applied(commits, under(returned, release=True))
    set_expiry(database_url, kept.ticket.id, 1)
    assert await leases.extend([kept, lost, returned]) == dict.fromkeys(
        (lost.ticket.id, returned.ticket.id), Status.PROCESSING
    )
    with psycopg.connect(database_url) as connection:
        rows = connection.execute(
            "select worker, expires_at > clock_timestamp() + interval '20 seconds' from leases order by 1"
        ).fetchall()
    assert rows == [("worker-1", True), ("worker-2", True)]
    assert await leases.extend([]) == {}


async def test_a_released_ticket_is_woken_and_claimed_at_once(
    commits: Commits, leases: Leases, others: Leases, reads: Reads
) -> None:
    ticket_id = await new_ticket(commits, wake=False)
    lease = await claimed(leases, ticket_id)
    await leases.release(lease)
    assert (await reads.wakers(ticket_id))["outbox"] == 1
    assert (await claimed(others, ticket_id)).ticket.id == ticket_id


async def test_a_heartbeat_that_meets_a_release_does_not_keep_the_ticket_from_others(
    commits: Commits, leases: Leases, others: Leases
) -> None:
    """Both may be on their way at the same time, each on its own connection."""
    lease = await claimed(leases, await new_ticket(commits))
    await leases.release(lease)
    assert await leases.extend([lease]) == {}
    assert (await claimed(others, lease.ticket.id)).takeovers == 0


async def test_workers_that_were_stopped_are_not_counted_as_lost(
    commits: Commits, leases: Leases, others: Leases, reads: Reads
) -> None:
    ticket_id = await new_ticket(commits)
    for worker in (leases, others) * 4:
        lease = await claimed(worker, ticket_id)
        assert lease.takeovers == 0
        await worker.release(lease)
    last = (await reads.events(ticket_id) or ())[-1]
    assert (last.event_type, last.payload["reason"], last.payload["previous_worker"]) == (
        "retry",
        "handover",
        "worker-1",
    )
    await claimed(leases, ticket_id)
    assert (await claimed(others, ticket_id, takeover=True)).takeovers == 1
