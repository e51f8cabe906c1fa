"""The audit over a real database: each violation is planted by SQL, past the functions, and found where it is."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID, uuid4

import psycopg
import pytest

from tests.support import services
from tests.support.history.site import Unwatched
from tests.support.trails import TTL, applied, claimed, complete, event, fail, new_ticket, put_aside, step_done, under
from ticketflow.db.commits import Commits
from ticketflow.db.leases import Lease, Leases
from ticketflow.db.postgres import PostgresGateway
from ticketflow.db.reads import Reads
from ticketflow.domain.audit_rules import Rule
from ticketflow.domain.change import CheckpointRow
from ticketflow.domain.events import NewEvent
from ticketflow.services.caller import Caller
from ticketflow.services.steer import Steer
from ticketflow.services.verify import Verdict, verify

CALLER = Caller("request-1")
STEPS = ("classify", "extract", "research")


@dataclass(frozen=True)
class Healthy:
    """A database with a ticket in every kind of state."""

    database: str
    tickets: Mapping[str, UUID]


class Making:
    def __init__(self, gateway: PostgresGateway) -> None:
        self.commits, self.reads = Commits(gateway), Reads(gateway)
        self.leases = Leases(gateway, "worker-1", TTL, ["1"])
        self.others = Leases(gateway, "worker-2", TTL, ["1"])
        self.steer = Steer(self.commits, self.reads, Unwatched())

    async def working(self) -> Lease:
        """A ticket under way, with three steps done and a checkpoint after each."""
        lease = await claimed(self.leases, await new_ticket(self.commits))
        for step in STEPS:
            await self.step(lease, step)
        return lease

    async def step(self, lease: Lease, step: str, *more: NewEvent, release: bool = False) -> None:
        done = step_done(step)
        name = str(uuid4())
        named = NewEvent(
            done.event_type, done.actor, {**done.payload, "checkpoint_id": name}, done.changes, step_name=step
        )
        row = CheckpointRow(str(lease.ticket.id), "", name, None, {"channel_versions": {step: "1"}}, {}, {})
        await applied(self.commits, under(lease, named, *more, release=release, checkpoint=row))

    async def answered(self) -> UUID:
        lease = await self.working()
        await self.step(lease, "finalize", event(status="completed", result={"reply": "Here is how."}), release=True)
        return lease.ticket.id

    async def waiting(self) -> UUID:
        ticket_id = await new_ticket(self.commits)
        await put_aside(self.commits, self.leases, ticket_id, timedelta(hours=1))
        return ticket_id

    async def failed(self) -> UUID:
        ticket_id = await new_ticket(self.commits)
        await fail(self.commits, self.leases, ticket_id)
        return ticket_id

    async def moved(self, ticket_id: UUID, *moves: str) -> UUID:
        for move in moves:
            await getattr(self.steer, move)(ticket_id, CALLER)
        return ticket_id

    async def everything(self) -> dict[str, UUID]:
        replayed = await self.answered()
        await self.steer.replay(replayed, "extract", CALLER)
        answered_again = await self.answered()
        await self.steer.replay(answered_again, "finalize", CALLER)
        lease = await claimed(self.others, answered_again)
        await self.step(lease, "finalize", event(status="completed", result={"reply": "And so."}), release=True)
        taken_over = (await self.working()).ticket.id
        await self.step(await claimed(self.others, taken_over, takeover=True), "draft")
        released = await self.working()
        await self.leases.release([released])
        plain = await new_ticket(self.commits)
        await complete(self.commits, self.leases, plain)
        return {
            "taken in": await new_ticket(self.commits),
            "in work": (await self.working()).ticket.id,
            "taken over": taken_over,
            "given back": released.ticket.id,
            "waiting": await self.waiting(),
            "waiting and paused": await self.moved(await self.waiting(), "pause"),
            "paused in work": await self.moved((await self.working()).ticket.id, "pause"),
            "resumed": await self.moved((await self.working()).ticket.id, "pause", "resume"),
            "tried again": await self.moved(await self.waiting(), "retry"),
            "failed": await self.failed(),
            "failed and tried again": await self.moved(await self.failed(), "retry"),
            "cancelled": await self.moved((await self.working()).ticket.id, "cancel"),
            "answered": await self.answered(),
            "answered without checkpoints": plain,
            "replayed": replayed,
            "answered again": answered_again,
        }


@pytest.fixture(scope="module")
def healthy(postgres_server: str, template: str) -> Iterator[Healthy]:
    """Made once: each test plants in a copy of its own."""

    async def make(url: str) -> dict[str, UUID]:
        gateway = PostgresGateway(url, 2)
        await gateway.open()
        try:
            return await Making(gateway).everything()
        finally:
            await gateway.aclose()

    with services.database(postgres_server, template) as url:
        yield Healthy(url.rsplit("/", 1)[1].split("?")[0], asyncio.run(make(url)))


@pytest.fixture
def copied_url(postgres_server: str, healthy: Healthy) -> Iterator[str]:
    with services.database(postgres_server, healthy.database) as url:
        yield url


async def audited(url: str) -> Verdict:
    gateway = PostgresGateway(url, 2)
    await gateway.open()
    try:
        return await verify(Reads(gateway))
    finally:
        await gateway.aclose()


NO_TICKET = UUID("6f1f6c0e-5d0b-4c55-9d3a-000000000000")
APPENDED = """
    with t as (update tickets set version = version + 1, updated_at = updated_at + interval '1 second'
               where id = %(id)s returning *)
    insert into events (ticket_id, seq, event_type, step_name, actor, payload, changes, change_id, created_at)
    select id, version, '{kind}', {step}, 'pipeline', '{{}}', '{{}}', gen_random_uuid(), updated_at from t
"""
"""One more event, with a row that follows from it."""
LEASE = "insert into leases (ticket_id, token, worker, expires_at) values (%(id)s, gen_random_uuid(), 'w', 'infinity')"
TIMER = "insert into timers (ticket_id, kind, due_at) values (%(id)s, 'retry', 'infinity')"
LETTER = "insert into dead_letters (kind, ticket_id, reason, detail) values ('ticket', %(id)s, 'x', 'x')"
CHECKPOINT = (
    "insert into checkpoints (thread_id, checkpoint_ns, checkpoint_id, checkpoint, metadata, channels, position)"
    " overriding system value values (%(id)s, '', 'stranger', '{}', '{}', '{}', -1)"
)


def changed_event(change: str, of: str) -> str:
    return f"update events set {change} where ticket_id = %(id)s and {of}"


@dataclass(frozen=True)
class Plant:
    """``also``: other rules that cannot be kept once this one is broken."""

    of: str
    statement: str
    also: tuple[Rule, ...] = ()


PLANTS: Mapping[Rule, Plant] = {
    Rule.SEQ: Plant("in work", changed_event("seq = 0", "seq = 1")),
    Rule.BEGINNING: Plant("in work", changed_event("event_type = 'status_change'", "seq = 1"), (Rule.MOVE,)),
    Rule.CREATED_ONCE: Plant("waiting", changed_event("event_type = 'created'", "event_type = 'error'")),
    Rule.VERSION: Plant("answered", "update tickets set version = 99 where id = %(id)s", (Rule.FOLD,)),
    Rule.FOLD: Plant("paused in work", "update tickets set category = 'billing' where id = %(id)s"),
    Rule.MOVE: Plant("answered", changed_event("event_type = 'resumed'", "seq = 2")),
    Rule.TIMER_FIRES_ONCE: Plant(
        "failed and tried again", changed_event('payload = \'{"reason": "timer"}\'', "seq = 5")
    ),
    Rule.ATTEMPTS: Plant(
        "tried again",
        "with t as (update tickets set attempt = 3 where id = %(id)s) "
        + changed_event("changes = changes || '{\"attempt\": 3}'", "event_type = 'retry'"),
    ),
    Rule.STEP_ONCE: Plant("taken over", changed_event("step_name = 'classify'", "step_name = 'draft'")),
    Rule.STEP_IN_WORK: Plant("taken in", APPENDED.format(kind="step_complete", step="'classify'")),
    Rule.ONE_RESULT: Plant(
        "answered", changed_event('changes = changes || \'{"result": {"reply": "First."}}\'', "seq = 2")
    ),
    Rule.END: Plant("cancelled", APPENDED.format(kind="error", step="null")),
    Rule.CHECKPOINT: Plant(
        "replayed",
        "delete from checkpoints where thread_id = %(id)s::text and position ="
        " (select max(position) from checkpoints where thread_id = %(id)s::text)",
    ),
    Rule.CHECKPOINT_OWNER: Plant("answered again", CHECKPOINT),
    Rule.WAKER: Plant("waiting", "delete from timers where ticket_id = %(id)s"),
    Rule.TIMER_OWNER: Plant("waiting and paused", TIMER),
    Rule.LEASE: Plant("given back", "delete from leases where ticket_id = %(id)s"),
    Rule.LEASE_RETURNED: Plant("resumed", LEASE),
    Rule.DEAD_LETTER: Plant("failed", "update dead_letters set redriven_at = now() where ticket_id = %(id)s"),
    Rule.DEAD_LETTER_OWNER: Plant("answered without checkpoints", LETTER),
    Rule.STRAY: Plant("no ticket", "insert into outbox (ticket_id, lane, reason) values (%(id)s, 'normal', 'x')"),
}


def test_every_rule_has_its_plant() -> None:
    assert set(PLANTS) == set(Rule)


async def test_a_healthy_database_has_no_violation(copied_url: str, healthy: Healthy) -> None:
    verdict = await audited(copied_url)
    assert verdict.violations == ()
    assert verdict.tickets == len(healthy.tickets)


@pytest.mark.parametrize("rule", PLANTS)
async def test_a_planted_violation_is_found_in_its_ticket_and_named(
    copied_url: str, healthy: Healthy, rule: Rule
) -> None:
    plant = PLANTS[rule]
    ticket_id = healthy.tickets.get(plant.of, NO_TICKET)
    with psycopg.connect(copied_url) as connection:
        connection.execute("alter table events disable trigger events_are_final")
        planted = connection.execute(plant.statement, {"id": ticket_id})
        assert planted.rowcount == 1
    found = (await audited(copied_url)).violations
    assert {(violation.ticket_id, violation.rule) for violation in found} == {
        (str(ticket_id), each) for each in (rule, *plant.also)
    }
