"""The ticket row is the fold of its events, as the database folds and as Python folds, whatever happened."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.support.trails import FIRST, IMMUTABLE, TTL, applied, claimed, creation, event, under
from ticketflow.db.commits import Commits
from ticketflow.db.leases import Leases
from ticketflow.db.postgres import PostgresGateway
from ticketflow.db.reads import Reads
from ticketflow.domain.audit import violations
from ticketflow.domain.change import Change, ExpectVersion
from ticketflow.domain.events import MUTABLE_COLUMNS, EventType, NewEvent, fold
from ticketflow.domain.lifecycle import Place
from ticketflow.domain.roles import PIPELINE
from ticketflow.domain.tickets import CLAIMABLE, Category, Channel, Priority, Status, WaitingFor

TEXT = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=20)
# A larger float is a whole number, which jsonb gives back as the integer that its shortest decimal form names.
NUMBERS = st.integers(-(2**63), 2**63 - 1) | st.floats(-(2.0**53), 2.0**53)
TREES = st.recursive(
    st.none() | st.booleans() | TEXT | NUMBERS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
OBJECTS = st.dictionaries(TEXT, TREES, max_size=4)
CHANGES: dict[str, st.SearchStrategy[Any]] = {
    "status": st.sampled_from(Status),
    "waiting_for": st.none() | st.sampled_from(WaitingFor),
    "category": st.none() | st.sampled_from(Category),
    "priority": st.none() | st.sampled_from(Priority),
    "tags": st.lists(TEXT, max_size=3),
    "team": st.none() | TEXT,
    "lifecycle": st.sampled_from(Place),
    "assignee": st.none() | TEXT,
    "result": st.none() | OBJECTS,
    "error": st.none() | OBJECTS,
    "attempt": st.integers(1, 100),
    "excused_attempts": st.integers(0, 100),
    "flow_version": TEXT,
}
CREATED: dict[str, st.SearchStrategy[Any]] = {
    "customer_id": TEXT,
    "customer_email": st.none() | TEXT,
    "subject": TEXT,
    "body": TEXT,
    "channel": st.sampled_from(Channel),
    "metadata": OBJECTS,
    "fingerprint": TEXT,
    "vip": st.booleans(),
}
EVENTS = st.builds(
    NewEvent,
    event_type=st.sampled_from([kind for kind in EventType if kind is not EventType.CREATED]),
    actor=st.sampled_from(["pipeline", "system", "agent:mia"]),
    payload=OBJECTS,
    changes=st.fixed_dictionaries({}, optional=CHANGES),
    step_name=st.none() | TEXT,
    request_id=st.none() | TEXT,
)
HISTORIES = st.lists(st.lists(EVENTS, min_size=1, max_size=3), max_size=5)


def test_the_histories_below_change_every_column_that_an_event_may_change() -> None:
    assert CHANGES.keys() == MUTABLE_COLUMNS
    assert {*CREATED, *CHANGES} == {*IMMUTABLE, *MUTABLE_COLUMNS}


@pytest.mark.thorough
@given(
    first=st.fixed_dictionaries({}, optional=CREATED | CHANGES),
    more=st.lists(EVENTS, max_size=2),
    history=HISTORIES,
    leased=st.booleans(),
)
@settings(
    max_examples=100,
    phases=(Phase.generate,),
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
async def test_row_state_and_audit_agree_for_any_history(
    gateway: PostgresGateway,
    first: dict[str, Any],
    more: list[NewEvent],
    history: list[list[NewEvent]],
    leased: bool,
) -> None:
    commits, reads = Commits(gateway), Reads(gateway)
    created = creation(wake=False, **first)
    ticket_id = created.ticket_id
    version = await applied(commits, Change(ticket_id, created.guard, [*created.events, *more]))
    ticket = await reads.ticket(ticket_id)
    assert ticket is not None
    # Whoever claims a new ticket also assigns it and begins to work.
    taken = {"status": "processing"}
    taken_up = {"lifecycle": Place.IN_PROGRESS, "assignee": PIPELINE} if ticket.lifecycle is Place.NEW else {}
    lease = (
        await claimed(Leases(gateway, "worker", TTL, [ticket.flow_version]), ticket_id)
        if leased and ticket.status in CLAIMABLE
        else None
    )
    for events in history:
        change = under(lease, *events) if lease else Change(ticket_id, ExpectVersion(version), events)
        version = await applied(commits, change)

    ticket, trail = await reads.ticket(ticket_id), await reads.events(ticket_id)
    assert ticket is not None
    assert trail is not None
    row = {**asdict(ticket), "id": str(ticket_id), "tags": list(ticket.tags)}
    by_claim = (3 if taken_up else 1) if lease else 0
    if not history:
        version += by_claim
    assert row["version"] == version == len(trail)
    assert fold(trail) == row
    # And the row is what was asked for, so that a fold which forgot something on both sides would not pass.
    claim = [event(**taken, **taken_up)] if lease else []
    wanted: dict[str, Any] = {**IMMUTABLE, **FIRST, **first}
    for each in (*more, *claim, *(each for events in history for each in events)):
        wanted.update(each.changes)
    assert {name: row[name] for name in wanted} == wanted
    [record] = await reads.audit(UUID(int=ticket_id.int - 1), 1)
    assert record["ticket"]["id"] == str(ticket_id)
    assert [found for found in violations(record) if found.rule in ("row = fold of events", "seq has no gaps")] == []
