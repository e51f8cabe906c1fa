"""The consistency audit: what must hold over every ticket's row, trail, lease, checkpoints, timers and dead letters.

Pure functions over plain JSON, so that the same checks serve ``ticketflow verify``, every test that breaks something,
and whoever has an export. Each violation names the rule and what was found.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from ticketflow.domain.audit_people import people_problems
from ticketflow.domain.audit_rules import Problem, Rule, Violation
from ticketflow.domain.change import TimerKind
from ticketflow.domain.events import DERIVED_COLUMNS, Event, EventType, fold
from ticketflow.domain.lifecycle import Place
from ticketflow.domain.replay import lineage
from ticketflow.domain.tickets import TERMINAL, Status, WaitingFor

_MOMENTS = ("created_at", "updated_at", "started_at", "completed_at")


def violations(record: Mapping[str, Any]) -> list[Violation]:
    """Check one ticket's rows, as JSON: ``{"ticket", "events", "lease", "timers", "outbox", "open_dead_letters",
    "checkpoints", "messages"}``, where ``checkpoints`` are the ids of its thread, oldest first."""
    events = [_event(row) for row in record["events"]]
    problems = (
        *_trail_problems(record["ticket"], events),
        *_history_problems(events),
        *_step_problems(events),
        *_checkpoint_problems(record, events),
        *_waker_problems(record),
        *people_problems(record["messages"], events),
    )
    return [Violation(str(record["ticket"]["id"]), rule, what) for rule, what in problems]


def _trail_problems(ticket: Mapping[str, Any], events: Sequence[Event]) -> Iterator[Problem]:
    seqs = [event.seq for event in events]
    if seqs != list(range(1, len(events) + 1)):
        yield Rule.SEQ, f"seqs {seqs}"
    if not events or events[0].event_type != EventType.CREATED:
        yield Rule.BEGINNING, f"{events[0].event_type if events else 'no events'}"
    if sum(event.event_type == EventType.CREATED for event in events) > 1:
        yield Rule.CREATED_ONCE, "more than one created event"
    if ticket["version"] != len(events):
        yield Rule.VERSION, f"version {ticket['version']}, {len(events)} events"
    for difference in _differences(ticket, fold(events)):
        yield Rule.FOLD, difference


def _differences(ticket: Mapping[str, Any], folded: Mapping[str, Any]) -> Iterator[str]:
    for column in sorted(folded.keys() | DERIVED_COLUMNS):
        if column not in ticket:
            yield f"{column} is in no row"
            continue
        row, trail = ticket[column], folded.get(column)
        if column in _MOMENTS:
            row = row and datetime.fromisoformat(row)
        # A column that no event ever set has its default.
        if column not in ("id", *_MOMENTS) and trail is None and row in (None, False, 0, [], {}):
            continue
        if row != trail:
            yield f"{column}: row {row!r:.80}, trail {trail!r:.80}"


_RETRY, _PAUSED, _CUSTOMER = (
    f"waiting for {who}" for who in (WaitingFor.RETRY, WaitingFor.PAUSED, WaitingFor.CUSTOMER)
)
_MOVES: Mapping[str, Mapping[str, frozenset[str]]] = {
    EventType.CREATED: {Status.PENDING: frozenset({""})},
    EventType.STATUS_CHANGE: {
        Status.PROCESSING: frozenset({Status.PENDING}),
        Status.COMPLETED: frozenset({Status.PROCESSING}),
        Status.FAILED_PERMANENT: frozenset({Status.PROCESSING}),
        _RETRY: frozenset({Status.PROCESSING}),
        _CUSTOMER: frozenset({Status.PROCESSING}),
    },
    EventType.RETRY: {
        Status.PENDING: frozenset({_RETRY, Status.FAILED_PERMANENT, Status.CANCELLED}),
        # The question still stands.
        _CUSTOMER: frozenset({Status.CANCELLED}),
    },
    EventType.PAUSED: {_PAUSED: frozenset({Status.PENDING, Status.PROCESSING, _RETRY})},
    EventType.RESUMED: {Status.PENDING: frozenset({_PAUSED})},
    EventType.CANCELLED: {Status.CANCELLED: frozenset({Status.PENDING, Status.PROCESSING, _RETRY, _PAUSED, _CUSTOMER})},
    # From within the work too: what a customer adds is answered together with the rest.
    EventType.REPLAYED: {Status.PENDING: frozenset({*TERMINAL, Status.PROCESSING, _RETRY, _PAUSED, _CUSTOMER})},
}
"""By event type and the state that it leads to: the states that it may come from."""

_REOPENING = (EventType.RETRY, EventType.REPLAYED)
_AMONG_PEOPLE = (EventType.LIFECYCLE, EventType.MESSAGE)
"""What goes on when the pipeline has ended."""


def _history_problems(events: Sequence[Event]) -> Iterator[Problem]:
    state, status, attempt, result = "", "", 0, None
    for event in events:
        at = f"{event.event_type} at seq {event.seq}"
        if status in TERMINAL and event.event_type not in (*_REOPENING, *_AMONG_PEOPLE):
            yield Rule.END, at
            return
        if event.event_type == EventType.STEP_COMPLETE and state not in (Status.PROCESSING, _PAUSED):
            yield Rule.STEP_IN_WORK, f"{event.step_name} at seq {event.seq}, {state}"
        if event.payload.get("reason") == "timer" and state != _RETRY:
            yield Rule.TIMER_FIRES_ONCE, f"{at}, {state}"
        if event.changes.get("attempt", attempt) - attempt not in (0, 1):
            yield Rule.ATTEMPTS, f"{event.changes['attempt']} after {attempt} at seq {event.seq}"
        if event.changes.get("result") is not None and result is not None:
            yield Rule.ONE_RESULT, f"another at seq {event.seq}"
        if "status" in event.changes:
            status, waiting_for = event.changes["status"], event.changes.get("waiting_for")
            before, state = state, f"waiting for {waiting_for}" if waiting_for else status
            if before not in _MOVES.get(event.event_type, {}).get(state, ()):
                yield Rule.MOVE, f"{before or 'nothing'} to {state} by {at}"
        attempt = event.changes.get("attempt", attempt)
        result = event.changes.get("result", result)


def _step_problems(events: Sequence[Event]) -> Iterator[Problem]:
    """Within what the ticket's state rests on, a step is completed once in a round: a retry goes on, and only a replay
    begins anew."""
    for end, event in enumerate(events, 1):
        if event.event_type != EventType.STEP_COMPLETE:
            continue
        *before, _ = lineage(events[:end])
        run = (event.step_name, event.payload.get("round"))
        if run in [(step.step_name, step.payload.get("round")) for step in before]:
            yield Rule.STEP_ONCE, f"{run[0]} in round {run[1]} again at seq {event.seq}"


def _checkpoint_problems(record: Mapping[str, Any], events: Sequence[Event]) -> Iterator[Problem]:
    written = [event for event in events if event.event_type in (EventType.STEP_COMPLETE, EventType.REPLAYED)]
    if any("checkpoint_id" not in event.payload for event in written):
        return  # Steps of a release that did not name them.
    kept = record["checkpoints"]
    newest = kept[-1] if kept else None
    last = written[-1].payload["checkpoint_id"] if written else None
    # Those of a closed ticket may have been pruned.
    if newest != last and not (newest is None and record["ticket"]["status"] in TERMINAL):
        yield Rule.CHECKPOINT, f"newest {newest}, by the trail {last}"
    for stranger in set(kept) - {event.payload["checkpoint_id"] for event in written}:
        yield Rule.CHECKPOINT_OWNER, f"{stranger} is in no event"


def _waker_problems(record: Mapping[str, Any]) -> Iterator[Problem]:
    status, waiting_for = record["ticket"]["status"], record["ticket"]["waiting_for"]
    kinds = [timer["kind"] for timer in record["timers"]]
    waits_for_retry = status == Status.WAITING and waiting_for == WaitingFor.RETRY
    if waits_for_retry and TimerKind.RETRY not in kinds:
        yield Rule.WAKER, f"timers {kinds}"
    if status == Status.WAITING and waiting_for not in list(WaitingFor):
        yield Rule.WAKER, f"waits for {waiting_for}"
    place = record["ticket"]["lifecycle"]
    if waiting_for == WaitingFor.CUSTOMER and place != Place.PENDING_CUSTOMER:
        yield Rule.WAKER, f"waits for the customer while {place}"
    owned = {TimerKind.RETRY: waits_for_retry, TimerKind.CLOSE: place == Place.RESOLVED}
    for kind in kinds:
        if not owned.get(kind, False):
            yield Rule.TIMER_OWNER, f"{status} and {place} with a timer for {kind}"
    held = record["lease"] is not None
    if status == Status.PROCESSING and not held:
        yield Rule.LEASE, "no lease"
    # One that was paused keeps the lease of the step that was under way until it is resumed.
    if held and status != Status.PROCESSING and waiting_for != WaitingFor.PAUSED:
        yield Rule.LEASE_RETURNED, f"{status} but held by {record['lease']['worker']}"
    letters = record["open_dead_letters"]
    if status == Status.FAILED_PERMANENT and letters != 1:
        yield Rule.DEAD_LETTER, f"{letters} open"
    if status != Status.FAILED_PERMANENT and letters:
        yield Rule.DEAD_LETTER_OWNER, f"{status} with open dead letters"


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
