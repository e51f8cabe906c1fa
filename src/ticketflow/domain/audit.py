"""The consistency audit: what must hold over every ticket's row, trail, lease, timers and messages.

Pure functions over plain JSON, so that the same checks serve ``ticketflow verify``, the acceptance tests and whoever
has an export. Each violation names the rule and what was found.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from ticketflow.domain.events import DERIVED_COLUMNS, Event, EventType, fold
from ticketflow.domain.tickets import TERMINAL, Status

_MOMENTS = ("created_at", "updated_at", "started_at", "completed_at")


@dataclass(frozen=True, slots=True)
class Violation:
    ticket_id: str
    rule: str
    found: str


def violations(record: Mapping[str, Any]) -> list[Violation]:
    """Check one ticket's ``{"ticket", "events", "lease", "timers", "outbox", "open_dead_letters"}``, rows as JSON."""
    ticket = record["ticket"]
    events = [_event(row) for row in record["events"]]
    found: list[Violation] = []

    def report(rule: str, what: str) -> None:
        found.append(Violation(str(ticket["id"]), rule, what))

    seqs = [event.seq for event in events]
    if seqs != list(range(1, len(events) + 1)):
        report("seq has no gaps", f"seqs {seqs}")
    if not events or events[0].event_type != EventType.CREATED:
        report("a trail begins with created", f"{events[0].event_type if events else 'no events'}")
    if Counter(event.event_type for event in events)[EventType.CREATED] > 1:
        report("a ticket is created once", "more than one created event")
    if ticket["version"] != len(events):
        report("version is the last seq", f"version {ticket['version']}, {len(events)} events")
    for difference in _differences(ticket, fold(events)):
        report("row = fold of events", difference)
    for rule, what in (*_step_problems(events), *_ending_problems(events), *_waker_problems(record)):
        report(rule, what)
    return found


def _differences(ticket: Mapping[str, Any], folded: Mapping[str, Any]) -> list[str]:
    differences = []
    for column in sorted(folded.keys() | DERIVED_COLUMNS):
        if column not in ticket:
            differences.append(f"{column} is in no row")
            continue
        row, trail = ticket[column], folded.get(column)
        if column in _MOMENTS:
            row = row and datetime.fromisoformat(row)
        # A column that no event ever set has its default.
        if column not in ("id", *_MOMENTS) and trail is None and row in (None, False, [], {}):
            continue
        if row != trail:
            differences.append(f"{column}: row {row!r:.80}, trail {trail!r:.80}")
    return differences


def _step_problems(events: Sequence[Event]) -> list[tuple[str, str]]:
    runs = Counter(
        (event.payload.get("attempt"), event.step_name, event.payload.get("round"))
        for event in events
        if event.event_type == EventType.STEP_COMPLETE and event.step_name in ("draft", "review")
    ) + Counter(
        # Outside the review loop a step is completed once in all attempts: a retry goes on, it does not begin anew.
        (None, event.step_name, None)
        for event in events
        if event.event_type == EventType.STEP_COMPLETE and event.step_name not in ("draft", "review")
    )
    return [
        ("a committed step is not run again", f"{step} of attempt {attempt}, round {number}: {count} times")
        for (attempt, step, number), count in runs.items()
        if count > 1
    ]


def _ending_problems(events: Sequence[Event]) -> list[tuple[str, str]]:
    problems = []
    results = [event for event in events if event.changes.get("result") is not None]
    if len(results) > 1:
        problems.append(("at most one final result", f"results at seqs {[event.seq for event in results]}"))
    ended_at: int | None = None
    for event in events:
        if ended_at is not None and event.event_type != EventType.RETRY:
            problems.append(("nothing happens after the end", f"{event.event_type} at seq {event.seq}"))
            break
        status = event.changes.get("status")
        if status is not None:
            ended_at = event.seq if status in TERMINAL else None
    return problems


def _waker_problems(record: Mapping[str, Any]) -> list[tuple[str, str]]:
    status = record["ticket"]["status"]
    kinds = [timer["kind"] for timer in record["timers"]]
    problems = []
    if status == Status.WAITING and record["ticket"]["waiting_for"] == "retry" and kinds != ["retry"]:
        problems.append(("a waiting ticket has something that wakes it", f"timers {kinds}"))
    if status != Status.WAITING and kinds:
        problems.append(("a timer belongs to a waiting ticket", f"{status} with timers {kinds}"))
    if status in TERMINAL and record["lease"] is not None:
        problems.append(("a lease is returned", f"{status} but held by {record['lease']['worker']}"))
    if status == Status.FAILED_PERMANENT and record["open_dead_letters"] != 1:
        problems.append(("a failed ticket has one dead letter", f"{record['open_dead_letters']} open"))
    if status != Status.FAILED_PERMANENT and record["open_dead_letters"]:
        problems.append(("a dead letter belongs to a failed ticket", f"{status} with open dead letters"))
    return problems


def _event(row: Mapping[str, Any]) -> Event:
    return Event(
        id=row["id"],
        ticket_id=UUID(row["ticket_id"]),
        seq=row["seq"],
        event_type=row["event_type"],
        step_name=row["step_name"],
        actor=row["actor"],
        payload=row["payload"],
        changes=row["changes"],
        request_id=row["request_id"],
        created_at=datetime.fromisoformat(row["created_at"]),
    )
