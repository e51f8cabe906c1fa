"""What has to happen later or elsewhere: outbox rows, due timers, and tickets that nothing would wake."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import NAMESPACE_OID, UUID, uuid5

import orjson
import structlog

from ticketflow.db.codec import milliseconds, ticket_from
from ticketflow.db.gateway import Gateway
from ticketflow.db.leases import LANES
from ticketflow.domain.change import TimerKind
from ticketflow.domain.ids import DEDUPE_WINDOW
from ticketflow.domain.routing import Lane
from ticketflow.domain.tickets import CLAIMABLE, Ticket

log = structlog.get_logger()

MAX_REASON_CHARACTERS = 1000
MAX_HEADERS_BYTES = 8192
MAX_HEADER_NAME_BYTES = 128
"""What every broker carries: AMQP has one frame for all headers, and its client cuts a longer name off."""


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """``due_at``: its place among those that are to be taken, another each time that it comes."""

    id: int
    ticket_id: UUID
    lane: Lane
    reason: str
    headers: dict[str, str]
    created_at: datetime
    due_at: datetime = field(compare=False)


@dataclass(frozen=True, slots=True)
class DueTimer:
    """``ticket`` is None when the timer outlived it."""

    ticket_id: UUID
    kind: str
    ticket: Ticket | None
    due_at: datetime


class Outbox:
    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def take(
        self, limit: int, hold: timedelta, sent: Sequence[int] = (), since: datetime | None = None
    ) -> list[OutboxRow]:
        """Forget the rows in ``sent``, take up to ``limit`` others; untouched, they come again after ``hold``.
        ``since``: none that was due before.

        A row that cannot be a message goes to the dead letters instead and does not come again.
        """
        rows = await self._gateway.call(
            "ticketflow_outbox_take",
            {"limit": limit, "hold_ms": milliseconds(hold), "sent": list(sent), **_since(since)},
        )
        parsed = [(row, _parsed(row)) for row in rows]
        if unusable := [(row, why) for row, why in parsed if isinstance(why, str)]:
            await self._bury(unusable, hold)
        return [message for _, message in parsed if isinstance(message, OutboxRow)]

    async def _bury(self, unusable: Sequence[tuple[Mapping[str, Any], str]], hold: timedelta) -> None:
        """To the dead letters, and out of the way of the others. The sweeper finds the tickets that they named."""
        for row, why in unusable:
            await self._gateway.call(
                "ticketflow_dead_letter_add",
                {
                    # The same for each time that the row is met: a process that dies in between leaves one letter.
                    "id": str(uuid5(NAMESPACE_OID, f"outbox|{row['id']}|{row['created_at']}")),
                    "kind": "message",
                    "ticket_id": row["ticket_id"],
                    "reason": "message",
                    "detail": f"outbox row {row['id']}: {why}",
                    "payload": {"body": json.dumps(row)[:4000], "queue": "outbox"},
                },
            )
            log.warning("outbox.row_refused", outbox_id=row["id"], ticket_id=row["ticket_id"], reason=why)
        await self.take(0, hold, [row["id"] for row, _ in unusable])

    async def give_back(self, ids: Sequence[int]) -> None:
        """Offer rows again at once, because they could not be published."""
        await self._gateway.call("ticketflow_outbox_return", {"ids": list(ids)})

    async def due_timers(self, limit: int, hold: timedelta, since: datetime | None = None) -> list[DueTimer]:
        """Up to ``limit`` of them, for ``hold`` ours alone. ``since``: none that was due before."""
        rows = await self._gateway.call(
            "ticketflow_timers_due",
            {"limit": limit, "hold_ms": milliseconds(hold), "kinds": list(TimerKind), **_since(since)},
        )
        timers = []
        for row in rows:
            try:
                ticket = row["ticket"] and ticket_from(row["ticket"])
            except ValueError as error:
                # A value of a later release: its own workers will take the timer, which must not hold up the others.
                log.warning("timer.unreadable", ticket_id=row["ticket_id"], reason=str(error))
                continue
            timers.append(DueTimer(UUID(row["ticket_id"]), row["kind"], ticket, datetime.fromisoformat(row["due_at"])))
        return timers

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


def _since(since: datetime | None) -> dict[str, str]:
    return {} if since is None else {"since": since.isoformat()}


def _parsed(row: Mapping[str, Any]) -> OutboxRow | str:
    """The row, or why it cannot be a message: the table's types allow more than a broker carries."""
    try:
        lane = Lane(row["lane"])
    except ValueError:
        return f"its lane is none of {', '.join(Lane)}"
    try:
        created_at, due_at = (datetime.fromisoformat(row[name]) for name in ("created_at", "due_at"))
    except ValueError:
        return "its created_at or available_at is no time of ours"
    if len(row["reason"]) > MAX_REASON_CHARACTERS:
        return f"its reason is longer than {MAX_REASON_CHARACTERS} characters"
    headers = row["headers"]
    if not isinstance(headers, dict) or not all(isinstance(value, str) for value in headers.values()):
        return "its headers are not an object of texts"
    names, size = [len(name.encode()) for name in headers], len(orjson.dumps(headers))
    if size > MAX_HEADERS_BYTES or any(not 0 < length <= MAX_HEADER_NAME_BYTES for length in names):
        return f"its headers are larger than {MAX_HEADERS_BYTES} bytes or have a name no broker takes"
    return OutboxRow(row["id"], UUID(row["ticket_id"]), lane, row["reason"], headers, created_at, due_at)
