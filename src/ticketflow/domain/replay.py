"""From which of its checkpoints a ticket can start again: read off the trail alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ticketflow.domain.events import Event, EventType


@dataclass(frozen=True, slots=True)
class Point:
    """Where a ticket stood before a step: the checkpoint (None: before the first step), and the seq of the last event
    whose step is kept (0: none is)."""

    checkpoint_id: str | None
    after_seq: int


BEGINNING = Point(None, 0)


def lineage(events: Sequence[Event]) -> list[Event]:
    """The completed steps that the ticket's present state rests on, in order: a replay leaves out those that it runs
    again."""
    steps: list[Event] = []
    for event in events:
        if event.event_type == EventType.STEP_COMPLETE:
            steps.append(event)
        elif event.event_type == EventType.REPLAYED:
            steps = [step for step in steps if step.seq <= event.payload.get("after_seq", 0)]
    return steps


def points(events: Sequence[Event]) -> dict[str, Point]:
    """Each step that the ticket can be replayed from, and where it stood before that step for the first time.

    These are the completed steps and the one that failed last. Of a draft that was revised, the first counts.
    """
    found: dict[str, Point] = {}
    before = BEGINNING
    for event in lineage(events):
        assert event.step_name is not None
        found.setdefault(event.step_name, before)
        before = Point(event.payload.get("checkpoint_id"), event.seq)
    failed = next((event for event in reversed(events) if event.event_type in _ENDS_OF_STEPS), None)
    if failed is not None and failed.event_type == EventType.ERROR and failed.step_name is not None:
        found.setdefault(failed.step_name, before)
    # An earlier release did not note which checkpoint it wrote.
    return {step: point for step, point in found.items() if point == BEGINNING or point.checkpoint_id is not None}


_ENDS_OF_STEPS = (EventType.ERROR, EventType.STEP_COMPLETE, EventType.REPLAYED)
