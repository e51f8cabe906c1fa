"""What has to happen later or elsewhere: outbox rows, due timers, and tickets that nothing would wake."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from ticketflow.db.codec import milliseconds, ticket_from
from ticketflow.db.gateway import Gateway
from ticketflow.db.leases import LANES
from ticketflow.domain.ids import DEDUPE_WINDOW
from ticketflow.domain.routing import Lane
from ticketflow.domain.tickets import CLAIMABLE, Ticket


@dataclass(frozen=True, slots=True)
class OutboxRow:
    id: int
    ticket_id: UUID
    lane: Lane
    reason: str
    headers: dict[str, str]
    created_at: datetime


@dataclass(frozen=True, slots=True)
class DueTimer:
    """``ticket`` is None when the timer outlived it."""

    ticket_id: UUID
    kind: str
    ticket: Ticket | None


class Outbox:
    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def take(self, limit: int, hold: timedelta, sent: Sequence[int] = ()) -> list[OutboxRow]:
        """Forget the rows in ``sent``, take up to ``limit`` others; untouched, they come again after ``hold``."""
        rows = await self._gateway.call(
            "ticketflow_outbox_take", {"limit": limit, "hold_ms": milliseconds(hold), "sent": list(sent)}
        )
        return [
            OutboxRow(
                row["id"],
                UUID(row["ticket_id"]),
                Lane(row["lane"]),
                row["reason"],
                row["headers"],
                datetime.fromisoformat(row["created_at"]),
            )
            for row in rows
        ]

    async def give_back(self, ids: Sequence[int]) -> None:
        """Offer rows again at once, because they could not be published."""
        await self._gateway.call("ticketflow_outbox_return", {"ids": list(ids)})

    async def due_timers(self, limit: int, hold: timedelta) -> list[DueTimer]:
        rows = await self._gateway.call("ticketflow_timers_due", {"limit": limit, "hold_ms": milliseconds(hold)})
        return [
            DueTimer(UUID(row["ticket_id"]), row["kind"], row["ticket"] and ticket_from(row["ticket"])) for row in rows
        ]

    async def drop_timer(self, ticket_id: UUID, kind: str) -> None:
        await self._gateway.call("ticketflow_timer_drop", {"ticket_id": str(ticket_id), "kind": kind})

    async def redrive_message(self, letter_id: UUID, by: str, headers: Mapping[str, str]) -> bool:
        """Close a dead message, and wake the ticket that it names if that one still waits for a worker.

        Returns False, and changes nothing, when it was closed before.
        """
        closed: bool = await self._gateway.call(
            "ticketflow_dead_message_close",
            {
                "id": str(letter_id),
                "by": by,
                "claimable": sorted(CLAIMABLE),
                "lanes": LANES,
                "headers": dict(headers),
            },
        )
        return closed

    async def sweep(self, stale_after: timedelta, limit: int = 500) -> list[UUID]:
        """Write wake-ups for tickets that no message will ever wake. Returns their ids."""
        woken = await self._gateway.call(
            "ticketflow_sweep",
            {
                "stale_ms": milliseconds(stale_after),
                "limit": limit,
                "lanes": LANES,
                "dedupe_ms": milliseconds(DEDUPE_WINDOW),
            },
        )
        return [UUID(ticket_id) for ticket_id in woken]
