"""The one door: a Change is applied whole or refused whole, once however often it is sent, and hurts no neighbour."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import psycopg
import pytest

from tests.support.trails import (
    applied,
    at_version,
    claimed,
    creation,
    event,
    everything,
    new_ticket,
    step_done,
    under,
    with_everything,
)
from ticketflow.db.commits import Commits
from ticketflow.db.leases import Leases
from ticketflow.db.postgres import PostgresGateway
from ticketflow.db.reads import Reads
from ticketflow.domain.change import (
    Applied,
    Change,
    Create,
    ExpectVersion,
    HoldsLease,
    Refusal,
    Refused,
)
from ticketflow.domain.errors import Poison
from ticketflow.domain.events import EventType, NewEvent
from ticketflow.domain.ids import identify
from ticketflow.domain.tickets import Status


async def test_a_change_is_applied_with_every_part(commits: Commits, reads: Reads, database_url: str) -> None:
    ticket_id = await new_ticket(commits, wake=False)
    assert await commits.apply(with_everything(ticket_id=ticket_id, guard=ExpectVersion(1))) == Applied(3)
    ticket = await reads.ticket(ticket_id)
    assert ticket is not None
    assert (ticket.version, ticket.status, ticket.team) == (3, Status.WAITING, "l2")
    assert [item.seq for item in await reads.events(ticket_id) or ()] == [1, 2, 3]
    wakers = await reads.wakers(ticket_id)
    assert ([timer["kind"] for timer in wakers["timers"]], wakers["outbox"]) == (["retry"], 1)
    [letter] = await reads.dead_letters(limit=5, include_redriven=True)
    assert (letter.reason, letter.payload, letter.redriven_by) == ("reason", {"a": 1}, "someone")
    assert len(everything(database_url)["checkpoints"]) == 2


async def test_a_guard_that_does_not_hold_refuses_with_its_reason_and_changes_nothing(
    commits: Commits, leases: Leases, database_url: str
) -> None:
    ticket_id, held = await new_ticket(commits), await new_ticket(commits)
    lease = await claimed(leases, held)
    before = everything(database_url)
    for guarded, refused in (
        (with_everything(ticket_id=ticket_id, guard=ExpectVersion(2)), Refused(Refusal.VERSION, 1)),
        (with_everything(ticket_id=ticket_id, guard=ExpectVersion(0)), Refused(Refusal.VERSION, 1)),
        (with_everything(ticket_id=held, guard=ExpectVersion(1)), Refused(Refusal.VERSION, 4)),
        (
            with_everything(ticket_id=ticket_id, guard=HoldsLease(uuid4())),
            Refused(Refusal.LEASE, 1, status=Status.PENDING),
        ),
        (
            with_everything(ticket_id=ticket_id, guard=HoldsLease(lease.token)),
            Refused(Refusal.LEASE, 1, status=Status.PENDING),
        ),
        (
            with_everything(ticket_id=held, guard=HoldsLease(uuid4(), release=True)),
            Refused(Refusal.LEASE, 4, status=Status.PROCESSING),
        ),
        (
            with_everything(ticket_id=held, guard=HoldsLease(lease.token, status=Status.WAITING)),
            Refused(Refusal.STATUS, 4, status=Status.PROCESSING),
        ),
        (with_everything(ticket_id=uuid4(), guard=ExpectVersion(1)), Refused(Refusal.NOT_FOUND)),
        (with_everything(ticket_id=uuid4(), guard=HoldsLease(lease.token)), Refused(Refusal.NOT_FOUND)),
    ):
        assert await commits.apply(guarded) == refused
    assert everything(database_url) == before


async def test_a_ticket_that_exists_is_not_created_again(commits: Commits, database_url: str) -> None:
    ticket_id = await new_ticket(commits, fingerprint="first")
    before = everything(database_url)
    outcome = await commits.apply(creation(ticket_id, fingerprint="second"))
    assert isinstance(outcome, Refused)
    assert (outcome.reason, outcome.version) == (Refusal.EXISTS, 1)
    assert outcome.existing is not None
    assert (outcome.existing.id, outcome.existing.fingerprint, outcome.existing.status) == (
        ticket_id,
        "first",
        "pending",
    )
    assert everything(database_url) == before


@pytest.mark.parametrize("guard", ["create", "window", "version", "lease", "release"])
async def test_a_change_sent_again_returns_its_first_outcome_and_appends_nothing(
    commits: Commits, leases: Leases, database_url: str, guard: str
) -> None:
    if guard in ("create", "window"):
        change = creation(guard=Create(uuid4(), timedelta(days=1)) if guard == "window" else Create())
    else:
        ticket_id = await new_ticket(commits)
        if guard == "version":
            change = with_everything(ticket_id=ticket_id, guard=ExpectVersion(1))
        else:
            token = (await claimed(leases, ticket_id)).token
            change = with_everything(ticket_id=ticket_id, guard=HoldsLease(token, release=guard == "release"))
    first = await commits.apply(change)
    assert isinstance(first, Applied)
    assert not first.repeated
    before = everything(database_url)
    for again in (await commits.apply(change), *await commits.apply_all([change, change])):
        assert again == Applied(first.version, repeated=True)
    assert everything(database_url) == before


async def test_a_change_that_comes_again_after_its_holder_went_on_appends_nothing(
    commits: Commits, leases: Leases, database_url: str
) -> None:
    """A slow network may deliver a call a second time when the answer to a repetition was acted on long ago."""
    lease = await claimed(leases, await new_ticket(commits))
    steps = [under(lease, step_done(step)) for step in ("classify", "extract", "research")]
    versions = [await applied(commits, step) for step in steps]
    before = everything(database_url)
    for step, version in zip(steps, versions, strict=True):
        assert await commits.apply(step) == Applied(version, repeated=True)
    assert everything(database_url) == before


@pytest.mark.parametrize("guard", ["create", "version", "release"])
async def test_a_change_sent_again_late_still_returns_its_first_outcome(
    commits: Commits, leases: Leases, others: Leases, database_url: str, guard: str
) -> None:
    change = creation()
    await applied(commits, change)
    if guard == "version":
        change = at_version(change.ticket_id, 1, event(team="l2"))
        await applied(commits, change)
    elif guard == "release":
        lease = await claimed(leases, change.ticket_id)
        change = under(lease, step_done("classify"), release=True)
        await applied(commits, change)
    first = (await commits.apply(change)).version
    # The ticket moves on in other hands before the caller, who never heard back, asks again.
    taken = await claimed(others, change.ticket_id, takeover=True)
    await applied(commits, under(taken, step_done("extract")))
    before = everything(database_url)
    assert await commits.apply(change) == Applied(first or 0, repeated=True)
    assert everything(database_url) == before


async def test_one_refused_change_hurts_no_neighbour(commits: Commits, reads: Reads) -> None:
    ids = [await new_ticket(commits) for _ in range(4)]
    outcomes = await commits.apply_all(
        [
            at_version(ids[0], 1, event(team="a")),
            at_version(ids[1], 7, event(team="b")),
            at_version(uuid4(), 1, event(team="c")),
            creation(ids[2]),
            at_version(ids[3], 1, event(team="d")),
        ]
    )
    reasons = [outcome.reason if isinstance(outcome, Refused) else None for outcome in outcomes]
    assert reasons == [None, Refusal.VERSION, Refusal.NOT_FOUND, Refusal.EXISTS, None]
    assert [(await reads.ticket(ticket_id)).team for ticket_id in ids] == ["a", None, None, "d"]  # type: ignore[union-attr]


async def test_changes_of_one_ticket_in_a_batch_are_applied_in_their_order(commits: Commits, reads: Reads) -> None:
    created = creation()
    ticket_id = created.ticket_id
    steps = [at_version(ticket_id, version, event(team=f"t{version}")) for version in range(1, 6)]
    outcomes = await commits.apply_all([created, creation(), *steps])
    assert [outcome.version for outcome in outcomes] == [1, 1, 2, 3, 4, 5, 6]
    ticket = await reads.ticket(ticket_id)
    assert ticket is not None
    assert ticket.team == "t5"


POISON = {
    "NUL in a payload": NewEvent(EventType.ERROR, "system", {"a": ["b\x00"]}),
    "a lone surrogate": NewEvent(EventType.ERROR, "system", {"a": "\ud800"}),
    "an integer of a hundred digits": NewEvent(EventType.ERROR, "system", {"a": 10**100}),
    "no JSON at all": NewEvent(EventType.ERROR, "system", {"a": object()}),
    "NUL in a change": event(team="a\x00"),
    "an empty required column": event(status=None),
    "a number where a list is": event(tags=7),
    "not a number": event(attempt="many"),
}


@pytest.mark.parametrize("poison", POISON.values(), ids=POISON.keys())
async def test_a_poisonous_change_fails_alone(commits: Commits, reads: Reads, poison: NewEvent) -> None:
    ids = [await new_ticket(commits) for _ in range(5)]
    changes = [at_version(ticket_id, 1, event(team="l2")) for ticket_id in ids]
    changes[2] = at_version(ids[2], 1, event(team="l2"), poison)
    outcomes = await asyncio.gather(*map(commits.apply, changes), return_exceptions=True)
    assert isinstance(outcomes.pop(2), Poison)
    assert outcomes == [Applied(2)] * 4
    teams = [(await reads.ticket(ticket_id)).team for ticket_id in ids]  # type: ignore[union-attr]
    assert teams == ["l2", "l2", None, "l2", "l2"]
    assert len(await reads.events(ids[2]) or ()) == 1


async def test_the_words_of_a_refused_value_do_not_quote_it(commits: Commits) -> None:
    with pytest.raises(Poison) as refused:
        await commits.apply(creation(tags=None, body="a very private sentence"))
    assert "private" not in str(refused.value)


async def test_no_event_may_set_what_follows_from_its_place(commits: Commits, database_url: str) -> None:
    ticket_id = await new_ticket(commits)
    before = everything(database_url)
    for column in ("id", "version", "created_at", "updated_at", "started_at", "completed_at"):
        smuggled = event()
        object.__setattr__(smuggled, "changes", {column: None})
        with pytest.raises(Poison):
            await commits.apply(at_version(ticket_id, 1, smuggled))
    assert everything(database_url) == before


async def test_callers_with_the_same_tickets_in_another_order_do_not_wait_for_each_other_in_a_ring(
    commits: Commits, gateway: PostgresGateway, reads: Reads
) -> None:
    ids = [await new_ticket(commits, wake=False) for _ in range(20)]
    key = [uuid4() for _ in range(20)]
    windows = [creation(uuid4(), guard=Create(each, timedelta(days=1))) for each in key]

    async def caller(order: int) -> int:
        mine = [at_version(ticket_id, 1, event(team=str(order))) for ticket_id in ids] + windows
        outcomes = await Commits(gateway).apply_all(mine if order % 2 else mine[::-1])
        return sum(isinstance(outcome, Applied) and not outcome.repeated for outcome in outcomes)

    assert sum(await asyncio.gather(*map(caller, range(8)))) == 40
    assert {(await reads.ticket(ticket_id)).version for ticket_id in ids} == {2}  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "statement", ["update events set payload = '{\"a\": 1}'", "delete from events", "update events set seq = seq"]
)
async def test_events_are_never_updated_or_deleted(commits: Commits, database_url: str, statement: str) -> None:
    await new_ticket(commits)
    before = everything(database_url)
    with psycopg.connect(database_url) as connection, pytest.raises(psycopg.errors.RestrictViolation):
        connection.execute(statement)
    assert everything(database_url) == before


WINDOW = timedelta(hours=1)


def posted(now: datetime, text: str = "text") -> Change:
    identity = identify("cus_1", "subject", text, None, now, WINDOW)
    return creation(identity.ticket_id, guard=Create(identity.window_key, WINDOW))


async def test_two_posts_on_either_side_of_a_windows_edge_are_one_ticket(commits: Commits, database_url: str) -> None:
    edge = datetime(2026, 3, 1, 12, tzinfo=UTC)
    before, after = posted(edge - timedelta(seconds=1)), posted(edge + timedelta(seconds=1))
    assert before.ticket_id != after.ticket_id
    assert await commits.apply(before) == Applied(1)
    stored = everything(database_url)
    outcome = await commits.apply(after)
    assert isinstance(outcome, Refused)
    assert outcome.existing is not None
    assert (outcome.reason, outcome.existing.id) == (Refusal.EXISTS, before.ticket_id)
    assert everything(database_url) == stored


@pytest.mark.parametrize("first", [0, 1])
async def test_also_when_both_travel_in_one_call(commits: Commits, reads: Reads, first: int) -> None:
    edge = datetime(2026, 3, 1, 12, tzinfo=UTC)
    both = [posted(edge - timedelta(seconds=1)), posted(edge + timedelta(seconds=1))]
    outcomes = await commits.apply_all([both[first], both[1 - first]])
    kinds = sorted(type(outcome).__name__ for outcome in outcomes)
    assert kinds == ["Applied", "Refused"]
    created = [change.ticket_id for change in both if await reads.ticket(change.ticket_id)]
    existing = [outcome.existing.id for outcome in outcomes if isinstance(outcome, Refused) and outcome.existing]
    assert created == existing


async def test_after_the_window_the_same_text_is_a_new_ticket(commits: Commits, database_url: str) -> None:
    edge = datetime(2026, 3, 1, 12, tzinfo=UTC)
    await applied(commits, posted(edge))
    with psycopg.connect(database_url) as connection:
        connection.execute("update intake_keys set created_at = created_at - interval '61 minutes'")
    assert await commits.apply(posted(edge + timedelta(minutes=61))) == Applied(1)
    # And from then on that one is the ticket which repeats are compared with.
    again = await commits.apply(posted(edge + timedelta(minutes=125)))
    assert isinstance(again, Refused)
    assert again.existing is not None
    assert again.existing.id == posted(edge + timedelta(minutes=61)).ticket_id
