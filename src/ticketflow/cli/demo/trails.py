"""What the demo reads out of a ticket's trail."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from ticketflow.domain.events import Event, EventType
from ticketflow.domain.tickets import TERMINAL, Status, WaitingFor


def ended(trail: Sequence[Event]) -> bool:
    """Or waits for the customer, whom nobody plays."""
    return any(
        event.changes.get("status") in TERMINAL or event.changes.get("waiting_for") == WaitingFor.CUSTOMER
        for event in trail
    )


def steps_done(trail: Sequence[Event]) -> list[Event]:
    return [event for event in trail if event.event_type == EventType.STEP_COMPLETE]


def asked_for(step: Event) -> bool:
    """Whether the step asked the model itself. Extract mostly has what the first step was told."""
    return str(step.payload.get("prompt_version") or "").startswith(f"{step.step_name}-")


def steps_repeated(trail: Sequence[Event]) -> int:
    """How many steps were committed twice. A draft and its review belong to a round, the others to the ticket."""
    rounds = ("draft", "review")
    done = Counter(
        (event.step_name, event.payload.get("round") if event.step_name in rounds else None)
        for event in steps_done(trail)
    )
    return sum(times - 1 for times in done.values())


def holder(trail: Sequence[Event]) -> str | None:
    """The worker that has claimed the ticket and not let go of it."""
    for event in reversed(trail):
        if event.changes.get("status") not in (None, Status.PROCESSING):
            return None
        if worker := event.payload.get("worker"):
            return str(worker)
    return None


def pid_of(worker: str | None) -> int | None:
    """A worker is called HOST:PID:SALT."""
    return None if worker is None else int(worker.rsplit(":", 2)[1])
