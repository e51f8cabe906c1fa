"""The consistency audit: a clean trail passes, and each rule's violation is seen and named."""

from __future__ import annotations

import copy
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ticketflow.domain.audit import violations
from ticketflow.domain.audit_rules import Rule

LEASE = {"worker": "w-1"}
ID = "6f1f6c0e-5d0b-4c55-9d3a-0f6b7a5f9b0e"
START = datetime(2026, 1, 1, tzinfo=UTC)
Planned = tuple[str, str | None, dict[str, Any], dict[str, Any]]
"""An event to be: type, step, payload, changes."""

CREATED = {
    "customer_id": "cus_1",
    "customer_email": None,
    "subject": "s",
    "body": "b",
    "channel": "api",
    "metadata": {},
    "fingerprint": "f",
    "vip": False,
    "status": "pending",
    "attempt": 1,
    "excused_attempts": 0,
    "flow_version": "1",
    "tags": [],
    "priority": None,
    "category": None,
}
RESULT = {"reply": "Here is how."}


def moment(seq: int) -> str:
    return (START + timedelta(seconds=seq)).isoformat()


def record(*events: Planned, **beside: Any) -> dict[str, Any]:
    """What the database hands to the audit: events as (type, step, payload, changes), and the row that follows."""
    row: dict[str, Any] = {"id": ID, "waiting_for": None, "team": None, "result": None, "error": None}
    row |= {"lifecycle": "new", "assignee": None}
    row |= {"created_at": moment(1), "started_at": None, "completed_at": None}
    trail = []
    for seq, (kind, step, payload, changes) in enumerate(events, 1):
        if kind in ("step_complete", "replayed"):
            payload = {"checkpoint_id": f"c{seq}", **payload}
        row |= {**changes, "version": seq, "updated_at": moment(seq)}
        if changes.get("status") == "processing" and row["started_at"] is None:
            row["started_at"] = moment(seq)
        if "status" in changes:
            terminal = changes["status"] in ("completed", "failed_permanent", "cancelled")
            row["completed_at"] = moment(seq) if terminal else None
        trail.append(
            {
                "id": seq,
                "ticket_id": ID,
                "seq": seq,
                "event_type": kind,
                "step_name": step,
                "actor": payload.get("by", "pipeline"),
                "payload": payload,
                "changes": changes,
                "request_id": None,
                "created_at": moment(seq),
            }
        )
    lease = LEASE if row.get("status") == "processing" else None
    checkpoints = [event["payload"]["checkpoint_id"] for event in trail if "checkpoint_id" in event["payload"]]
    usual = {"lease": lease, "timers": [], "outbox": 0, "open_dead_letters": 0, "checkpoints": checkpoints}
    usual["messages"] = [
        {"id": event["payload"]["message_id"], "seq": event["seq"], "kind": "reply", "author": event["actor"]}
        for event in trail
        if event["event_type"] == "message"
    ]
    return {"ticket": row, "events": trail, **usual, **beside}


def created(**changes: Any) -> Planned:
    return ("created", None, {}, {**CREATED, **changes})


def status(value: str, **changes: Any) -> Planned:
    return ("status_change", None, {}, {"status": value, **changes})


def step(name: str, attempt: int = 1, round: int = 1, **changes: Any) -> Planned:
    return ("step_complete", name, {"attempt": attempt, "round": round}, changes)


def retry(**payload: Any) -> Planned:
    return ("retry", None, payload, {"status": "pending", "waiting_for": None, "error": None, "attempt": 2})


def replayed(after_seq: int) -> Planned:
    changes = {"status": "pending", "waiting_for": None, "result": None, "attempt": 2}
    return ("replayed", None, {"after_seq": after_seq}, changes)


def fired(transition: str, before: str, after: str, by: str = "pipeline", **changes: Any) -> Planned:
    payload = {"transition": transition, "from": before, "to": after, "by": by}
    return ("lifecycle", None, payload, {"lifecycle": after, **changes})


def said(message_id: str, by: str = "pipeline") -> Planned:
    return ("message", None, {"message_id": message_id, "kind": "reply", "by": by}, {})


TAKEN_UP = (fired("assign", "new", "assigned", assignee="pipeline"), fired("start_work", "assigned", "in_progress"))
ASKED = (
    step("finalize"),
    said("m-1"),
    fired("request_info", "in_progress", "pending_customer"),
    status("waiting", waiting_for="customer"),
)
REPLIED = (said("m-2", "customer:cus_1"), fired("customer_reply", "pending_customer", "in_progress", "customer:cus_1"))
RESOLVED = (
    step("finalize"),
    said("m-3"),
    fired("resolve", "in_progress", "resolved"),
    status("completed", result=RESULT),
)
PAUSED = ("paused", None, {}, {"status": "waiting", "waiting_for": "paused"})
RESUMED = ("resumed", None, {}, {"status": "pending", "waiting_for": None})
CANCELLED = ("cancelled", None, {}, {"status": "cancelled", "waiting_for": None})
BEGUN = (created(), status("processing"))
EARLY = (step("classify", category="billing"), step("extract"), step("research"))
DRAFTED = (step("draft", round=1), step("review", round=1), step("draft", round=2), step("review", round=2))
ANSWERED = (step("finalize"), status("completed", result=RESULT))
FAILED = (*BEGUN, ("error", "classify", {}, {}), status("failed_permanent", error={"code": "x"}))
WAITING = (*BEGUN, ("error", "classify", {}, {}), status("waiting", waiting_for="retry"))
TIMER = {"kind": "retry"}

CLOSE_TIMER = {"kind": "close"}

CLEAN = {
    "asked the customer": record(created(), status("processing"), *TAKEN_UP, *ASKED),
    "answered what the customer added": record(
        *(created(), status("processing"), *TAKEN_UP, *ASKED, *REPLIED, replayed(0), status("processing"), *RESOLVED),
        timers=[CLOSE_TIMER],
    ),
    "escalated by an agent and resolved by a supervisor": record(
        created(),
        fired("assign", "new", "assigned", "agent:mia", assignee="mia"),
        fired("start_work", "assigned", "in_progress", "agent:mia"),
        fired("escalate", "in_progress", "escalated", "agent:mia", assignee=None),
        fired("resolve_escalated", "escalated", "resolved", "supervisor:kai", assignee="kai"),
        fired("close", "resolved", "closed", "system"),
        fired("reopen", "closed", "new", "admin:root", assignee=None),
    ),
    "put where it belongs by an upgrade": record(
        *(*BEGUN, *EARLY, *DRAFTED, *ANSWERED),
        ("lifecycle", None, {"reason": "upgrade", "to": "resolved", "by": "system"}, {"lifecycle": "resolved"}),
    ),
    "taken in": record(created(), outbox=1),
    "being worked on": record(*BEGUN, step("classify")),
    "paused while a step runs": record(*BEGUN, PAUSED, lease=LEASE),
    "paused after its step": record(*BEGUN, PAUSED, step("classify")),
    "resumed and completed": record(*BEGUN, PAUSED, RESUMED, status("processing"), *EARLY, *DRAFTED, *ANSWERED),
    "cancelled while it was paused": record(*BEGUN, PAUSED, CANCELLED),
    "completed, replayed and completed": record(
        *BEGUN, *EARLY, *DRAFTED, *ANSWERED, replayed(5), status("processing"), *DRAFTED[:2], *ANSWERED
    ),
    "completed, its checkpoints pruned": record(*BEGUN, *EARLY, *DRAFTED, *ANSWERED, checkpoints=[]),
    "completed": record(*BEGUN, *EARLY, *DRAFTED, *ANSWERED),
    "waiting for its retry": record(*WAITING, timers=[TIMER]),
    "failed": record(*FAILED, open_dead_letters=1),
    "failed, tried again and completed": record(
        *FAILED, retry(), status("processing"), *EARLY, step("draft", 2, 1), step("review", 2, 1), *ANSWERED
    ),
    "tried again after its wait": record(*WAITING, retry(reason="timer")),
}


@pytest.mark.parametrize("clean", CLEAN.values(), ids=CLEAN.keys())
def test_a_clean_ticket_has_no_violations(clean: dict[str, Any]) -> None:
    assert violations(clean) == []


def without_event(seq: int) -> Callable[[dict[str, Any]], None]:
    return lambda damaged: damaged["events"].pop(seq - 1)


def with_row(**values: Any) -> Callable[[dict[str, Any]], None]:
    return lambda damaged: damaged["ticket"].update(values)


def beside(**values: Any) -> Callable[[dict[str, Any]], None]:
    return lambda damaged: damaged.update(values)


def event_says(number: int, **values: Any) -> Callable[[dict[str, Any]], None]:
    return lambda damaged: damaged["events"][number - 1].update(values)


def no_events(damaged: dict[str, Any]) -> None:
    damaged["events"].clear()


PLANTED: list[tuple[str, Callable[[dict[str, Any]], Any], str]] = [
    ("completed", without_event(3), "seq has no gaps"),
    ("completed", event_says(3, seq=30), "seq has no gaps"),
    ("taken in", no_events, "a trail begins with created"),
    ("completed", event_says(1, event_type="status_change"), "a trail begins with created"),
    ("completed", event_says(2, event_type="created"), "a ticket is created once"),
    ("completed", with_row(version=10), "version is the last seq"),
    ("completed", without_event(11), "version is the last seq"),
    ("waiting for its retry", beside(timers=[]), "a waiting ticket has something that wakes it"),
    ("waiting for its retry", beside(timers=[{"kind": "other"}]), "a waiting ticket has something that wakes it"),
    ("asked the customer", with_row(lifecycle="in_progress"), "a waiting ticket has something that wakes it"),
    ("asked the customer", beside(messages=[]), "a message and its event belong together"),
    (
        "completed",
        beside(messages=[{"id": "m", "seq": 3, "kind": "note", "author": "agent:mia"}]),
        "a message and its event belong together",
    ),
    (
        "escalated by an agent and resolved by a supervisor",
        event_says(5, actor="agent:mia"),
        "whoever moves a ticket may",
    ),
    (
        "escalated by an agent and resolved by a supervisor",
        event_says(7, actor="agent:mia"),
        "whoever moves a ticket may",
    ),
    (
        "escalated by an agent and resolved by a supervisor",
        event_says(3, actor="customer:x"),
        "whoever moves a ticket may",
    ),
    ("escalated by an agent and resolved by a supervisor", event_says(3, actor="nobody"), "whoever moves a ticket may"),
    ("completed", beside(timers=[CLOSE_TIMER]), "a timer belongs to a waiting ticket"),
    ("completed", beside(timers=[TIMER]), "a timer belongs to a waiting ticket"),
    ("being worked on", beside(timers=[TIMER]), "a timer belongs to a waiting ticket"),
    ("being worked on", beside(lease=None), "a ticket in work has a lease"),
    ("being worked on", beside(checkpoints=[]), "what was done has its checkpoint"),
    ("being worked on", beside(checkpoints=["c3", "c9"]), "what was done has its checkpoint"),
    ("completed, replayed and completed", beside(checkpoints=["c3"]), "what was done has its checkpoint"),
    ("being worked on", beside(checkpoints=["c9", "c3"]), "a checkpoint belongs to what was done"),
    ("paused after its step", with_row(waiting_for="nothing"), "a waiting ticket has something that wakes it"),
    ("completed", beside(lease=LEASE), "a lease is returned"),
    ("failed", beside(lease=LEASE), "a lease is returned"),
    ("failed", beside(open_dead_letters=0), "a failed ticket has one dead letter"),
    ("failed", beside(open_dead_letters=2), "a failed ticket has one dead letter"),
    ("completed", beside(open_dead_letters=1), "a dead letter belongs to a failed ticket"),
    *[
        ("completed", with_row(**{column: value}), "row = fold of events")
        for column, value in {
            "status": "processing",
            "waiting_for": "retry",
            "category": "technical",
            "priority": "low",
            "tags": ["x"],
            "team": "l2",
            "lifecycle": "closed",
            "assignee": "mia",
            "result": {"reply": "Another."},
            "error": {"code": "x"},
            "attempt": 2,
            "excused_attempts": 2,
            "flow_version": "2",
            "customer_id": "cus_2",
            "customer_email": "a@b.c",
            "subject": "S",
            "body": "B",
            "channel": "web",
            "metadata": {"a": 1},
            "fingerprint": "g",
            "vip": True,
            "version": 99,
            "created_at": moment(2),
            "started_at": None,
            "completed_at": None,
            "updated_at": moment(99),
            "id": ID.replace("6", "7"),
        }.items()
    ],
    ("completed", lambda damaged: damaged["ticket"].pop("team"), "row = fold of events"),
]


@pytest.mark.parametrize(
    ("of", "plant", "rule"), PLANTED, ids=[f"{rule}: {n}" for n, (_, _, rule) in enumerate(PLANTED)]
)
def test_a_planted_violation_is_reported_under_its_rule(
    of: str, plant: Callable[[dict[str, Any]], Any], rule: str
) -> None:
    damaged = copy.deepcopy(CLEAN[of])
    plant(damaged)
    found = violations(damaged)
    assert rule in {violation.rule for violation in found}
    assert all(violation.ticket_id and violation.found for violation in found)


BAD_TRAILS: list[tuple[tuple[Planned, ...], str]] = [
    ((*BEGUN, *EARLY, step("classify")), "a committed step is not run again"),
    (
        (*BEGUN, step("classify", 1), *WAITING[2:], retry(), status("processing"), step("classify", 2)),
        "a committed step is not run again",
    ),
    (
        (*BEGUN, *EARLY, CANCELLED, replayed(4), status("processing"), step("extract")),
        "a committed step is not run again",
    ),
    ((*BEGUN, step("draft", 1, 1), step("draft", 1, 1)), "a committed step is not run again"),
    ((*BEGUN, step("review", 1, 1), step("review", 1, 1)), "a committed step is not run again"),
    ((*BEGUN, *ANSWERED, ("step_complete", "draft", {"checkpoint_id": "c5"}, {})), "nothing happens after the end"),
    ((*BEGUN, *ANSWERED, status("processing")), "nothing happens after the end"),
    ((created(), status("cancelled"), status("pending")), "nothing happens after the end"),
    ((*BEGUN, CANCELLED, step("classify")), "nothing happens after the end"),
    ((*BEGUN, status("processing", result=RESULT), *ANSWERED), "at most one final result"),
    ((*BEGUN, *ANSWERED, retry()), "a status follows from the one before"),
    ((created(), status("completed")), "a status follows from the one before"),
    ((*BEGUN, RESUMED), "a status follows from the one before"),
    ((created(), step("classify")), "a step completes while the ticket is in work"),
    ((*BEGUN, PAUSED, RESUMED, step("classify")), "a step completes while the ticket is in work"),
    ((created(), ("retry", None, {"reason": "timer"}, {})), "a timer fires once"),
    ((created(), fired("start_work", "new", "in_progress")), "a place follows from the one before"),
    ((created(), fired("assign", "new", "in_progress")), "a place follows from the one before"),
    ((created(), fired("assign", "closed", "assigned")), "a place follows from the one before"),
    ((created(), fired("vanish", "new", "assigned")), "a place follows from the one before"),
    ((created(), status("processing", lifecycle="assigned")), "a place follows from the one before"),
    ((created(), status("processing"), *TAKEN_UP, said("m-1"), said("m-2")), "the pipeline answers a customer once"),
    (
        (created(), status("processing"), *TAKEN_UP, *ASKED, replayed(0), status("processing"), *RESOLVED),
        "the pipeline answers a customer once",
    ),
    ((created(), ("retry", None, {}, {"attempt": 3})), "attempts count one by one"),
]


@pytest.mark.parametrize(("trail", "rule"), BAD_TRAILS)
def test_a_trail_that_should_not_have_happened_is_reported(trail: tuple[Any, ...], rule: str) -> None:
    assert rule in {violation.rule for violation in violations(record(*trail))}


def test_every_rule_is_shown_to_fail() -> None:
    shown = {rule for _, _, rule in PLANTED} | {rule for _, rule in BAD_TRAILS}
    # Rows that name no ticket are found by the database, and shown where there is one.
    assert shown == set(Rule) - {Rule.STRAY}


def test_a_violation_says_what_was_found_and_stays_short() -> None:
    damaged = copy.deepcopy(CLEAN["completed"])
    damaged["ticket"]["body"] = "x" * 5000
    [violation] = violations(damaged)
    assert (violation.ticket_id, violation.rule) == (ID, "row = fold of events")
    assert violation.found.startswith("body: row 'xxx")
    assert len(violation.found) < 250
