"""Reads: tickets, trails, statistics and dead letters, as the database has them now."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from ticketflow.db.batching import Batcher, BatchLimits
from ticketflow.db.codec import event_from, message_from, ticket_from
from ticketflow.db.gateway import Gateway
from ticketflow.domain.conversation import Message, MessageKind
from ticketflow.domain.errors import StoreUnavailable
from ticketflow.domain.events import Event
from ticketflow.domain.tickets import Ticket

MAX_EVENTS = 10_000
"""More events than any ticket has; a bound, so that no read is without one."""

READ_SECONDS = 5.0
"""How long someone who asks for a page or a number waits for a database that does not answer."""


@dataclass(frozen=True, slots=True)
class After:
    """Where the last page ended."""

    created_at: datetime
    id: UUID

    def as_json(self) -> dict[str, str]:
        return {"created_at": self.created_at.isoformat(), "id": str(self.id)}


@dataclass(frozen=True, slots=True)
class DeadLetterRow:
    """``kind`` is ``ticket`` for a ticket that failed for good, ``message`` for a message that no worker could use."""

    id: UUID
    kind: str
    ticket_id: UUID | None
    reason: str
    detail: str
    payload: dict[str, Any]
    created_at: datetime
    redriven_at: datetime | None
    redriven_by: str | None


@dataclass(frozen=True, slots=True)
class Which:
    """Dead letters of this kind and reason; None is any."""

    kind: str | None = None
    reason: str | None = None

    def as_json(self) -> dict[str, str]:
        wanted = {"kind": self.kind, "reason": self.reason}
        return {name: value for name, value in wanted.items() if value is not None}


EVERY = Which()


@dataclass(frozen=True, slots=True)
class OpenLetter:
    """``ticket`` is None where the letter names none, or one that is gone."""

    letter: DeadLetterRow
    ticket: Ticket | None


@dataclass(frozen=True, slots=True)
class PastTicket:
    """One of a customer's earlier tickets, as research shows it to the model."""

    ticket_id: str
    subject: str
    category: str | None
    status: str
    disposition: str | None
    created_at: str


class Reads:
    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._histories: Batcher[dict[str, Any], list[dict[str, Any]]] = Batcher(
            self._history_all, id, BatchLimits(patience=0)
        )

    async def ping(self) -> None:
        """Raises ``StoreUnavailable`` unless the database answers."""
        await self._gateway.ping()

    async def ticket(self, ticket_id: UUID) -> Ticket | None:
        row = await self._ask("ticketflow_ticket", {"id": str(ticket_id)})
        return row and ticket_from(row)

    async def tickets(
        self, filters: Mapping[str, Any], *, sort: str, limit: int, after: After | None = None
    ) -> list[Ticket]:
        """A page of tickets. ``filters`` maps field names to lists of values, and tag, q, created_after, created_before
        to one value each; ``sort`` is ``created_at`` or ``-created_at``."""
        args: dict[str, Any] = {**filters, "sort": sort, "limit": limit}
        if after is not None:
            args["after"] = after.as_json()
        return [ticket_from(row) for row in await self._ask("ticketflow_tickets", args)]

    async def events(self, ticket_id: UUID, after: int = 0, limit: int = MAX_EVENTS) -> list[Event] | None:
        """The trail from seq ``after`` + 1 on, or None for an unknown ticket."""
        rows = await self._ask("ticketflow_events", {"ticket_id": str(ticket_id), "after": after, "limit": limit})
        return None if rows is None else [event_from(row) for row in rows]

    async def messages(
        self, ticket_id: UUID, kinds: Collection[MessageKind], *, limit: int, after: int = 0
    ) -> list[Message]:
        """A page of the conversation from behind the event ``after`` on, oldest first."""
        args = {"ticket_id": str(ticket_id), "kinds": sorted(kinds), "limit": limit, "after": after}
        return [message_from(row) for row in await self._ask("ticketflow_messages", args)]

    async def message(self, message_id: UUID) -> Message | None:
        row = await self._ask("ticketflow_message", {"id": str(message_id)})
        return row and message_from(row)

    async def events_of(self, watch: Mapping[UUID, int]) -> list[Event]:
        """What happened to each watched ticket after the seq given for it, in one call."""
        rows = await self._ask(
            "ticketflow_events_of",
            {"watch": [{"ticket_id": str(ticket_id), "after": after} for ticket_id, after in watch.items()]},
        )
        return [event_from(row) for row in rows]

    async def wakers(self, ticket_id: UUID) -> dict[str, Any]:
        """``{"lease", "timers", "outbox"}``: who works on the ticket and what will wake it."""
        wakers: dict[str, Any] = await self._ask("ticketflow_wakers", {"ticket_id": str(ticket_id)})
        return wakers

    async def history(self, customer_id: str, except_ticket: UUID, limit: int = 5) -> list[PastTicket]:
        """A customer's latest other tickets, newest first; asked together with what others ask at the same time."""
        rows = await self._histories.submit({"customer_id": customer_id, "except": str(except_ticket), "limit": limit})
        return [PastTicket(**row) for row in rows]

    async def _history_all(self, asked: Sequence[dict[str, Any]]) -> list[list[dict[str, Any]]]:
        found: list[list[dict[str, Any]]] = await self._gateway.call("ticketflow_history_all", list(asked))
        return found

    async def stats(self) -> dict[str, Any]:
        stats: dict[str, Any] = await self._ask("ticketflow_stats", {})
        return stats

    async def gauges(self) -> dict[str, Any]:
        gauges: dict[str, Any] = await self._ask("ticketflow_gauges", {})
        return gauges

    async def dead_letters(
        self,
        which: Which = EVERY,
        *,
        limit: int,
        after: After | None = None,
        include_redriven: bool = False,
    ) -> list[DeadLetterRow]:
        """A page of them, newest first."""
        args: dict[str, Any] = {**which.as_json(), "limit": limit, "all": include_redriven}
        if after is not None:
            args["after"] = after.as_json()
        return [_dead_letter(row) for row in await self._ask("ticketflow_dead_letters", args)]

    async def open_dead_letters(self, which: Which, *, limit: int, after: After | None = None) -> list[OpenLetter]:
        """A page of those that nobody has redriven, oldest first, with their tickets as they are now."""
        args: dict[str, Any] = {**which.as_json(), "limit": limit}
        if after is not None:
            args["after"] = after.as_json()
        return [
            OpenLetter(_dead_letter(row["letter"]), row["ticket"] and ticket_from(row["ticket"]))
            for row in await self._ask("ticketflow_dead_letters_open", args)
        ]

    async def dead_letters_left(self, which: Which) -> int:
        """How many of them nobody has redriven."""
        left: int = await self._ask("ticketflow_dead_letters_left", which.as_json())
        return left

    async def dead_letter(self, letter_id: UUID) -> DeadLetterRow | None:
        row = await self._ask("ticketflow_dead_letter", {"id": str(letter_id)})
        return row and _dead_letter(row)

    async def record_dead_message(
        self, letter_id: UUID, ticket_id: UUID | None, reason: str, detail: str, payload: Mapping[str, Any]
    ) -> None:
        """Keep a message that no worker could use; the same ``letter_id`` twice is one dead letter."""
        await self._gateway.call(
            "ticketflow_dead_letter_add",
            {
                "id": str(letter_id),
                "kind": "message",
                "ticket_id": ticket_id and str(ticket_id),
                "reason": reason,
                "detail": detail,
                "payload": dict(payload),
            },
        )

    async def audit(self, after: UUID | None, limit: int) -> list[dict[str, Any]]:
        """A page of tickets with everything that the consistency audit compares, in id order."""
        args: dict[str, Any] = {"limit": limit}
        if after is not None:
            args["after"] = str(after)
        page: list[dict[str, Any]] = await self._gateway.call("ticketflow_audit", args)
        return page

    async def strays(self) -> list[tuple[str, str]]:
        """Tables, and the ticket ids in them that no ticket has."""
        rows = await self._gateway.call("ticketflow_strays", {})
        return [(row["table"], row["ticket_id"]) for row in rows]

    async def _ask(self, function: str, args: Mapping[str, Any]) -> Any:
        try:
            async with asyncio.timeout(READ_SECONDS):
                return await self._gateway.call(function, args)
        except TimeoutError as error:
            raise StoreUnavailable("the database did not answer in time") from error


def _dead_letter(row: Mapping[str, Any]) -> DeadLetterRow:
    return DeadLetterRow(
        id=UUID(row["id"]),
        kind=row["kind"],
        ticket_id=UUID(row["ticket_id"]) if row["ticket_id"] else None,
        reason=row["reason"],
        detail=row["detail"],
        payload=row["payload"],
        created_at=datetime.fromisoformat(row["created_at"]),
        redriven_at=datetime.fromisoformat(row["redriven_at"]) if row["redriven_at"] else None,
        redriven_by=row["redriven_by"],
    )
