"""The audit over a real database: each violation is planted by SQL, past the functions, and found where it is."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from uuid import UUID

import psycopg
import pytest

from tests.support import services
from tests.support.making import Making
from ticketflow.db.postgres import PostgresGateway
from ticketflow.db.reads import Reads
from ticketflow.domain.audit_rules import Rule
from ticketflow.services.verify import Verdict, verify


@dataclass(frozen=True)
class Healthy:
    """A database with a ticket in every kind of state."""

    database: str
    tickets: Mapping[str, UUID]


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
CLOSE = "insert into timers (ticket_id, kind, due_at) values (%(id)s, 'close', 'infinity')"
LETTER = "insert into dead_letters (kind, ticket_id, reason, detail) values ('ticket', %(id)s, 'x', 'x')"
CHECKPOINT = (
    "insert into checkpoints (thread_id, checkpoint_ns, checkpoint_id, checkpoint, metadata, channels, position)"
    " overriding system value values (%(id)s, '', 'stranger', '{}', '{}', '{}', -1)"
)


MESSAGE = (
    "insert into messages (id, ticket_id, seq, kind, author, body, created_at)"
    " values (gen_random_uuid(), %(id)s, 1, 'note', 'agent:mia', 'x', now())"
)
TRANSITION = 'payload = payload || \'{{"transition": "{}"}}\''
TRANSITION_IS = "payload->>'transition' = '{}'"


def changed_event(change: str, of: str) -> str:
    return f"update events set {change} where ticket_id = %(id)s and {of}"


@dataclass(frozen=True)
class Plant:
    """``also``: other rules that cannot be kept once this one is broken."""

    rule: Rule
    of: str
    statement: str
    also: tuple[Rule, ...] = ()


def set_by_event(column: str, value: str, of: str) -> str:
    """The column, in the row and in the event that set it."""
    return f"with t as (update tickets set {column} = '{value}' where id = %(id)s) " + changed_event(
        f'changes = changes || \'{{"{column}": "{value}"}}\'', of
    )


PLANTS = (
    Plant(Rule.SEQ, "in work", changed_event("seq = 0", "seq = 1")),
    Plant(Rule.BEGINNING, "in work", changed_event("event_type = 'status_change'", "seq = 1"), (Rule.MOVE,)),
    Plant(Rule.CREATED_ONCE, "waiting", changed_event("event_type = 'created'", "event_type = 'error'")),
    Plant(Rule.VERSION, "answered", "update tickets set version = 99 where id = %(id)s", (Rule.FOLD,)),
    Plant(Rule.FOLD, "paused in work", "update tickets set category = 'billing' where id = %(id)s"),
    Plant(Rule.MOVE, "answered", changed_event("event_type = 'resumed'", "seq = 2")),
    Plant(
        Rule.TIMER_FIRES_ONCE, "failed and tried again", changed_event('payload = \'{"reason": "timer"}\'', "seq = 5")
    ),
    Plant(
        Rule.ATTEMPTS,
        "tried again",
        "with t as (update tickets set attempt = 3 where id = %(id)s) "
        + changed_event("changes = changes || '{\"attempt\": 3}'", "event_type = 'retry'"),
    ),
    Plant(Rule.STEP_ONCE, "taken over", changed_event("step_name = 'classify'", "step_name = 'draft'")),
    Plant(Rule.STEP_IN_WORK, "taken in", APPENDED.format(kind="step_complete", step="'classify'")),
    Plant(
        Rule.ONE_RESULT,
        "answered",
        changed_event('changes = changes || \'{"result": {"reply": "First."}}\'', "seq = 2"),
    ),
    Plant(Rule.END, "cancelled", APPENDED.format(kind="error", step="null")),
    Plant(
        Rule.CHECKPOINT,
        "replayed",
        "delete from checkpoints where thread_id = %(id)s::text and position ="
        " (select max(position) from checkpoints where thread_id = %(id)s::text)",
    ),
    Plant(Rule.CHECKPOINT_OWNER, "answered again", CHECKPOINT),
    Plant(Rule.WAKER, "waiting", "delete from timers where ticket_id = %(id)s"),
    Plant(Rule.TIMER_OWNER, "waiting and paused", TIMER),
    Plant(Rule.LEASE, "given back", "delete from leases where ticket_id = %(id)s"),
    Plant(Rule.LEASE_RETURNED, "resumed", LEASE),
    Plant(Rule.DEAD_LETTER, "failed", "update dead_letters set redriven_at = now() where ticket_id = %(id)s"),
    Plant(Rule.DEAD_LETTER_OWNER, "answered without checkpoints", LETTER),
    Plant(Rule.STRAY, "no ticket", "insert into outbox (ticket_id, lane, reason) values (%(id)s, 'normal', 'x')"),
    Plant(Rule.WAKER, "asked", "update tickets set waiting_for = 'godot' where id = %(id)s", (Rule.FOLD,)),
    Plant(
        Rule.WAKER,
        "asked",
        set_by_event("lifecycle", "escalated", "payload->>'transition' = 'request_info'"),
        (Rule.LIFECYCLE,),
    ),
    Plant(Rule.WAKER, "asked", set_by_event("waiting_for", "retry", "changes->>'waiting_for' = 'customer'")),
    Plant(Rule.TIMER_OWNER, "closed", CLOSE),
    Plant(Rule.TIMER_OWNER, "reopened", CLOSE),
    Plant(Rule.TIMER_OWNER, "asked", TIMER),
    Plant(Rule.LIFECYCLE, "resolved", changed_event(TRANSITION.format("close"), TRANSITION_IS.format("resolve"))),
    Plant(Rule.LIFECYCLE, "resolved", changed_event(TRANSITION.format("vanish"), TRANSITION_IS.format("resolve"))),
    Plant(
        Rule.LIFECYCLE,
        "worked on by a person",
        changed_event("event_type = 'error'", TRANSITION_IS.format("start_work")),
    ),
    Plant(Rule.FIRED_BY, "closed", changed_event("actor = 'customer:cus_1'", TRANSITION_IS.format("close"))),
    Plant(Rule.FIRED_BY, "reopened", changed_event("actor = 'agent:mia'", TRANSITION_IS.format("reopen"))),
    Plant(Rule.FIRED_BY, "worked on by a person", changed_event("actor = 'mia'", TRANSITION_IS.format("assign"))),
    Plant(
        Rule.ONE_REPLY,
        "reopened",
        "with m as (update messages set author = 'pipeline' where ticket_id = %(id)s) "
        + changed_event("actor = 'pipeline'", "actor = 'customer:cus_1' and event_type = 'message'"),
    ),
    Plant(Rule.MESSAGE, "resolved", "delete from messages where ticket_id = %(id)s"),
    Plant(Rule.MESSAGE, "worked on by a person", "update messages set kind = 'reply' where ticket_id = %(id)s"),
    Plant(
        Rule.MESSAGE, "reopened", "update messages set seq = seq + 1 where ticket_id = %(id)s and author <> 'pipeline'"
    ),
    Plant(Rule.MESSAGE, "taken in", MESSAGE),
)


def test_every_rule_has_its_plant() -> None:
    assert {plant.rule for plant in PLANTS} == set(Rule)


async def test_a_healthy_database_has_no_violation(copied_url: str, healthy: Healthy) -> None:
    verdict = await audited(copied_url)
    assert verdict.violations == ()
    assert verdict.tickets == len(healthy.tickets)


@pytest.mark.parametrize("plant", PLANTS, ids=[f"{plant.rule}, {plant.of}" for plant in PLANTS])
async def test_a_planted_violation_is_found_in_its_ticket_and_named(
    copied_url: str, healthy: Healthy, plant: Plant
) -> None:
    ticket_id = healthy.tickets.get(plant.of, NO_TICKET)
    with psycopg.connect(copied_url) as connection:
        for table in ("events", "messages"):
            connection.execute(f"alter table {table} disable trigger {table}_are_final")
        planted = connection.execute(plant.statement, {"id": ticket_id})
        assert planted.rowcount == 1
    found = (await audited(copied_url)).violations
    assert {(violation.ticket_id, violation.rule) for violation in found} == {
        (str(ticket_id), each) for each in (plant.rule, *plant.also)
    }
