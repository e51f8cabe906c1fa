"""A ticket at any version and at any time is what was asked for up to there, whatever happened to it.

The histories are those of ``test_fold``, written through the real commit, many to a round trip. What a state must be is
worked out here from what was asked for, and from nothing but the times of what was stored.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from uuid import UUID

import psycopg
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests.contract.test_fold import CHANGES, CREATED, EVENTS, HISTORIES
from tests.support.trails import FIRST, IMMUTABLE, applied, at_version, creation, event, new_ticket
from ticketflow.db.commits import Commits
from ticketflow.db.gateway import Gateway
from ticketflow.db.postgres import PostgresGateway
from ticketflow.db.reads import MAX_EVENTS, Reads
from ticketflow.domain.change import Applied, Change, ExpectVersion
from ticketflow.domain.errors import Invalid
from ticketflow.domain.events import MUTABLE_COLUMNS, Event, NewEvent
from ticketflow.domain.roles import LOCAL_ADMIN
from ticketflow.services.inspect import Inspect

HISTORIES_TOLD, TOGETHER = 600, 50
TICK = timedelta(microseconds=1)
ENDED = {"completed", "failed_permanent", "cancelled"}


@dataclass(frozen=True)
class History:
    """A ticket as it was asked for: the columns that it is created with, and the events of each Change after that."""

    first: dict[str, Any]
    more: list[NewEvent]
    changes: list[list[NewEvent]]


STORIES = st.builds(
    History,
    st.fixed_dictionaries({}, optional=CREATED | CHANGES),
    st.lists(EVENTS, max_size=2),
    HISTORIES,
)


class ReadOnce(Reads):
    """Reads each trail from the database once; it does not change while a test looks at it from all sides."""

    def __init__(self, gateway: Gateway) -> None:
        super().__init__(gateway)
        self._trails: dict[UUID, list[Event]] = {}

    async def events(self, ticket_id: UUID, after: int = 0, limit: int = MAX_EVENTS) -> list[Event] | None:
        if ticket_id not in self._trails:
            trail = await super().events(ticket_id)
            assert trail is not None
            self._trails[ticket_id] = trail
        return self._trails[ticket_id][after:]


def expected(ticket_id: UUID, asked: Sequence[NewEvent], times: Sequence[datetime]) -> dict[str, Any]:
    """The ticket after these events: each column as it was last asked for, and what follows from when that was."""
    columns: dict[str, Any] = {**dict.fromkeys(MUTABLE_COLUMNS), "lifecycle": "new", **IMMUTABLE, **FIRST}
    for each in asked:
        columns |= each.changes
    moves = [(each.changes["status"], at) for each, at in zip(asked, times, strict=True) if "status" in each.changes]
    last_status, moved_at = moves[-1]
    return {
        **columns,
        "id": str(ticket_id),
        "version": len(asked),
        "created_at": times[0],
        "updated_at": times[-1],
        "started_at": next((at for status, at in moves if status == "processing"), None),
        "completed_at": moved_at if last_status in ENDED else None,
    }


async def written(commits: Commits, histories: Sequence[History]) -> list[tuple[UUID, list[NewEvent]]]:
    """Write them, the n-th Change of each in one round trip; each ticket with its events as they were asked for."""
    created = [creation(wake=False, **story.first) for story in histories]
    told = [[*change.events, *story.more] for change, story in zip(created, histories, strict=True)]
    changes = [replace(change, events=events) for change, events in zip(created, map(list, told), strict=True)]
    turn = 0
    while changes:
        for outcome in await commits.apply_all(changes):
            assert isinstance(outcome, Applied), outcome
        changes = []
        for story, change, events in zip(histories, created, told, strict=True):
            for further in story.changes[turn : turn + 1]:
                changes.append(Change(change.ticket_id, ExpectVersion(len(events)), further))
                events += further
        turn += 1
    return [(change.ticket_id, events) for change, events in zip(created, told, strict=True)]


def moments(times: Sequence[datetime]) -> set[datetime]:
    """At, just before, just after and between these times."""
    between = {earlier + (later - earlier) / 2 for earlier, later in pairwise(times)}
    return between | {at + shift for at in times for shift in (-TICK, timedelta(), TICK)} | {times[-1] + timedelta(1)}


async def check(reads: ReadOnce, ticket_id: UUID, asked: Sequence[NewEvent]) -> int:
    """Every version and every time around an event; how many events share their time with the one before."""
    inspect = Inspect(reads)
    times = [event.created_at for event in await inspect.events(ticket_id, LOCAL_ADMIN)]
    assert len(times) == len(asked)
    states = [expected(ticket_id, asked[:version], times[:version]) for version in range(1, len(asked) + 1)]
    for version, state in enumerate(states, 1):
        assert await inspect.state(ticket_id, LOCAL_ADMIN, version=version) == state
    for at in moments(times):
        if not (happened := bisect_right(times, at)):
            with pytest.raises(Invalid, match="did not exist yet"):
                await inspect.state(ticket_id, LOCAL_ADMIN, at=at)
            continue
        assert await inspect.state(ticket_id, LOCAL_ADMIN, at=at) == states[happened - 1]
        assert await inspect.state(ticket_id, LOCAL_ADMIN, version=len(asked), at=at) == states[happened - 1]
    row = await reads.ticket(ticket_id)
    assert row is not None
    assert {**asdict(row), "id": str(row.id), "tags": list(row.tags)} == states[-1]
    assert await inspect.state(ticket_id, LOCAL_ADMIN) == states[-1]
    return len(times) - len(set(times))


def stories(count: int) -> list[History]:
    """That many, the same ones each time."""
    told: list[History] = []

    @given(STORIES)
    @settings(max_examples=count, phases=(Phase.generate,), deadline=None, derandomize=True, database=None)
    def tell(story: History) -> None:
        told.append(story)

    tell()
    return told


@pytest.mark.thorough
async def test_every_version_and_time_of_any_history_is_what_was_asked_for_up_to_there(
    gateway: PostgresGateway,
) -> None:
    reads, told = ReadOnce(gateway), stories(HISTORIES_TOLD)
    assert len(told) >= 500
    simultaneous = 0
    for start in range(0, len(told), TOGETHER):
        for ticket_id, asked in await written(Commits(gateway), told[start : start + TOGETHER]):
            simultaneous += await check(reads, ticket_id, asked)
    assert simultaneous > 500


@pytest.mark.superuser
async def test_a_clock_that_was_set_back_shows_no_state_that_the_ticket_never_had(
    gateway: PostgresGateway, database_url: str
) -> None:
    """As after a failover to a server whose clock is behind: the third event seems older than the second."""
    commits = Commits(gateway)
    ticket_id = await new_ticket(commits)
    for version, changes in enumerate(({"team": "l1"}, {"priority": "high"}, {"category": "billing"}), 1):
        await applied(commits, at_version(ticket_id, version, event(**changes)))
    noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
    minutes = (0, 10, 5, 20)
    with psycopg.connect(database_url) as connection:
        # Triggers are off for this session alone: no test can set the server's clock.
        connection.execute("set session_replication_role = replica")
        for seq, minute in enumerate(minutes, 1):
            at = noon + timedelta(minutes=minute)
            connection.execute(
                "update events set created_at = %s where ticket_id = %s and seq = %s", (at, ticket_id, seq)
            )
    inspect = Inspect(Reads(gateway))
    versions = [
        (await inspect.state(ticket_id, LOCAL_ADMIN, at=noon + timedelta(minutes=minute)))["version"]
        for minute in range(25)
    ]
    assert versions == [1] * 5 + [3] * 15 + [4] * 5
    for at in (noon + timedelta(minutes=minute) for minute in minutes):
        state = await inspect.state(ticket_id, LOCAL_ADMIN, at=at)
        assert state == await inspect.state(ticket_id, LOCAL_ADMIN, version=state["version"])
