"""Commits: Changes in, outcomes out, many at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ticketflow.db.batching import Batcher, BatchLimits
from ticketflow.db.codec import change_json, outcome_from
from ticketflow.db.gateway import Gateway
from ticketflow.domain.change import Change, Outcome
from ticketflow.domain.events import NewEvent
from ticketflow.telemetry.boundaries import crossing


class Commits:
    """The one writer of tickets and events.

    ``on_wake_up`` is called after a commit that put something into the outbox, so that a relay in the same process need
    not wait for its next look.
    """

    def __init__(
        self,
        gateway: Gateway,
        limits: BatchLimits | None = None,
        observe: Callable[[int], None] = lambda size: None,
        on_wake_up: Callable[[], None] = lambda: None,
    ) -> None:
        self._gateway = gateway
        self._on_wake_up = on_wake_up
        self._batcher: Batcher[Change, Outcome] = Batcher(
            self._send, lambda change: change.ticket_id, limits or BatchLimits(), observe
        )

    async def apply(self, change: Change) -> Outcome:
        """Apply or refuse one Change, together with whatever else waits. Raises ``StoreUnavailable`` or ``Poison``."""
        return await self._batcher.submit(change)

    async def apply_all(self, changes: Sequence[Change]) -> list[Outcome]:
        """Apply or refuse many Changes in one round trip; the answers come in the same order."""
        return await self._send(changes)

    async def aclose(self) -> None:
        await self._batcher.aclose()

    async def _send(self, changes: Sequence[Change]) -> list[Outcome]:
        with crossing(lambda: sorted({f"ticketflow_commit {_kind(change)}" for change in changes})):
            rows = await self._gateway.call("ticketflow_commit", [change_json(change) for change in changes])
        if any(change.wake_ups for change in changes):
            self._on_wake_up()
        return [outcome_from(row) for row in rows]


def _kind(change: Change) -> str:
    """What a commit is about, such as ``step_complete/finalize + status_change/completed``."""
    return " + ".join(_label(event) for event in change.events)


def _label(event: NewEvent) -> str:
    again = "again" if event.payload.get("round", 1) != 1 else None
    return "/".join(
        str(part) for part in (event.event_type, event.step_name, again, event.changes.get("status")) if part
    )
