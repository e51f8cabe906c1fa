"""The fold in Python alone: how a ticket follows from its events. The database has its own in ``tests/contract``."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from ticketflow.domain.events import (
    DERIVED_COLUMNS,
    IMMUTABLE_COLUMNS,
    MUTABLE_COLUMNS,
    Event,
    EventType,
    NewEvent,
    fold,
)
from ticketflow.domain.tickets import TERMINAL, Status, Ticket

ID = UUID("6f1f6c0e-5d0b-4c55-9d3a-0f6b7a5f9b0e")
START = datetime(2026, 1, 1, tzinfo=UTC)


def at(seq: int) -> datetime:
    return START + timedelta(seconds=seq)


def trail(*changes: dict[str, Any]) -> list[Event]:
    return [
        Event(seq, ID, seq, "created" if seq == 1 else "status_change", None, "system", {}, change, None, at(seq))
        for seq, change in enumerate(changes, 1)
    ]


def test_nothing_happened_is_nothing() -> None:
    assert fold([]) == {}


def test_the_columns_of_a_fold_are_those_of_a_ticket() -> None:
    assert fold(trail({})).keys() == MUTABLE_COLUMNS | IMMUTABLE_COLUMNS | DERIVED_COLUMNS
    assert fold(trail({})).keys() == set(Ticket.__dataclass_fields__)
    assert not MUTABLE_COLUMNS & IMMUTABLE_COLUMNS
    assert not (MUTABLE_COLUMNS | IMMUTABLE_COLUMNS) & DERIVED_COLUMNS


def test_the_last_word_on_a_column_counts_and_silence_changes_nothing() -> None:
    state = fold(trail({"team": "a", "tags": ["x"]}, {"team": "b"}, {"attempt": 2}, {"team": None}))
    assert (state["team"], state["tags"], state["attempt"], state["priority"]) == (None, ["x"], 2, None)
    assert (state["id"], state["version"]) == (str(ID), 4)
    assert (state["created_at"], state["updated_at"]) == (at(1), at(4))


def test_a_ticket_starts_once() -> None:
    processing = {"status": Status.PROCESSING}
    state = fold(trail({"status": "pending"}, processing, {"status": "waiting"}, {"status": "pending"}, processing))
    assert state["started_at"] == at(2)
    assert fold(trail({"status": "pending"}))["started_at"] is None


@pytest.mark.parametrize("status", sorted(TERMINAL))
def test_a_ticket_is_complete_until_it_is_tried_again(status: Status) -> None:
    ended = trail({"status": "pending"}, {"status": status}, {"team": "a"})
    assert fold(ended)["completed_at"] == at(2)
    tried_again = trail({"status": "pending"}, {"status": status}, {"status": "pending"})
    assert fold(tried_again)["completed_at"] is None
    ended_again = trail({"status": "pending"}, {"status": status}, {"status": "pending"}, {"status": status})
    assert fold(ended_again)["completed_at"] == at(4)


@pytest.mark.parametrize("status", sorted(set(Status) - TERMINAL))
def test_any_other_status_is_no_end(status: Status) -> None:
    assert fold(trail({"status": "pending"}, {"status": status}))["completed_at"] is None


@pytest.mark.parametrize("column", sorted(IMMUTABLE_COLUMNS))
def test_what_the_customer_said_is_set_by_the_first_event_alone(column: str) -> None:
    NewEvent(EventType.CREATED, "customer", changes={column: "x"})
    for kind in set(EventType) - {EventType.CREATED}:
        with pytest.raises(ValueError, match=column):
            NewEvent(kind, "pipeline", changes={column: "x"})


@pytest.mark.parametrize("column", [*sorted(DERIVED_COLUMNS), "unknown", "Status"])
def test_no_event_sets_a_derived_or_unknown_column(column: str) -> None:
    for kind in EventType:
        with pytest.raises(ValueError, match=column):
            NewEvent(kind, "system", changes={column: None})


@pytest.mark.parametrize("column", sorted(MUTABLE_COLUMNS))
def test_every_event_may_set_the_other_columns(column: str) -> None:
    for kind in EventType:
        assert NewEvent(kind, "system", changes={column: None}).changes == {column: None}
