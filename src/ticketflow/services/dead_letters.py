"""Dead letters: what stopped moving, how it came to that, and how it is set going again, one by one or many at once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from ticketflow.db.commits import Commits
from ticketflow.db.outbox import Outbox
from ticketflow.db.reads import After, DeadLetterRow, OpenLetter, Reads, Which
from ticketflow.domain.change import Applied
from ticketflow.domain.errors import InvalidMove, NotFound, StoreUnavailable
from ticketflow.domain.events import Event, EventType
from ticketflow.domain.moves import Move, allowed
from ticketflow.services.caller import Caller
from ticketflow.services.steer import Steer, retry_change

BATCH = 100
"""Tickets that are set going in one transaction."""

LONGEST_HISTORY = 50
"""The latest events of a ticket that are told with its dead letter."""


@dataclass(frozen=True, slots=True)
class Happened:
    """One thing that bore on a ticket's progress. ``code`` is an error's, or the reason of a status or a retry."""

    seq: int
    created_at: datetime
    event_type: str
    status: str | None
    attempt: int
    step: str | None
    code: str | None
    message: str | None
    actor: str
    request_id: str | None


@dataclass(frozen=True, slots=True)
class Story:
    """A dead letter with its ticket's history, oldest first; empty where there is no ticket. ``redriven_request_id``:
    the request that redrove it, as the ticket's trail has it."""

    letter: DeadLetterRow
    history: tuple[Happened, ...]
    redriven_request_id: str | None


@dataclass(frozen=True, slots=True)
class Redriven:
    """``skipped`` letters could not be redriven as they stood: somebody was there first. ``remaining``: what is still
    open of those that were asked for."""

    ids: tuple[UUID, ...]
    skipped: int
    remaining: int


class DeadLetters:
    def __init__(self, commits: Commits, reads: Reads, outbox: Outbox, steer: Steer) -> None:
        self._commits = commits
        self._reads = reads
        self._outbox = outbox
        self._steer = steer

    async def story(self, letter_id: UUID) -> Story:
        """Raises ``NotFound``."""
        letter = await self._letter(letter_id)
        events = await self._reads.events(letter.ticket_id) if letter.ticket_id else None
        redrives = [event for event in events or () if event.payload.get("dead_letter") == str(letter_id)]
        return Story(letter, history(events or ()), redrives[-1].request_id if redrives else None)

    async def redrive(self, letter_id: UUID, caller: Caller) -> DeadLetterRow:
        """Redrive one dead letter: its ticket's next attempt, or for a message a new wake-up where one is still needed.

        A message that names no ticket, or one that is done, is closed by it. Raises ``NotFound``, and ``InvalidMove``
        when there is nothing that could go on.
        """
        letter = await self._letter(letter_id)
        again = InvalidMove("this dead letter was redriven already")
        if letter.redriven_at is not None:
            raise again
        if letter.kind == "ticket" and letter.ticket_id is not None:
            await self._steer.retry(letter.ticket_id, caller, letter_id=letter_id)
        elif not await self._outbox.redrive_message(letter_id, caller.actor, caller.headers()):
            raise again
        return await self._letter(letter_id)

    async def redrive_many(self, which: Which, limit: int, caller: Caller) -> Redriven:
        """Redrive up to ``limit`` open ones, oldest first, each as ``redrive`` does, in batches of transactions.

        A ticket that changes meanwhile is skipped as a whole. Raises ``StoreUnavailable``; what was redriven by then
        stays so, and asking again goes on with the rest.
        """
        done: list[UUID] = []
        seen = 0
        after: After | None = None
        while seen < limit:
            page = await self._reads.open_dead_letters(which, limit=min(BATCH, limit - seen), after=after)
            if not page:
                break
            done += await self._redrive_page(page, caller)
            seen += len(page)
            after = After(page[-1].letter.created_at, page[-1].letter.id)
        return Redriven(tuple(done), seen - len(done), await self._reads.dead_letters_left(which))

    async def _redrive_page(self, page: Sequence[OpenLetter], caller: Caller) -> list[UUID]:
        changes = [
            retry_change(each.ticket, caller, each.letter.id)
            for each in page
            if each.letter.kind == "ticket"
            and each.ticket is not None
            and Move.RETRY in allowed(each.ticket.status, each.ticket.waiting_for)
        ]
        # Each on its own, though they travel together: one that the store refuses as poison is skipped alone.
        outcomes = await asyncio.gather(*map(self._commits.apply, changes), return_exceptions=True)
        if away := next((outcome for outcome in outcomes if isinstance(outcome, StoreUnavailable)), None):
            raise away
        going = {
            change.ticket_id for change, outcome in zip(changes, outcomes, strict=True) if isinstance(outcome, Applied)
        }
        done = []
        for letter in (each.letter for each in page):
            # A ticket that was set going has closed all its letters.
            closed = letter.ticket_id in going
            if not closed and letter.kind == "message":
                closed = await self._outbox.redrive_message(letter.id, caller.actor, caller.headers())
            if closed:
                done.append(letter.id)
        return done

    async def _letter(self, letter_id: UUID) -> DeadLetterRow:
        letter = await self._reads.dead_letter(letter_id)
        if letter is None:
            raise NotFound("no dead letter has this id")
        return letter


def history(events: Sequence[Event]) -> tuple[Happened, ...]:
    """The errors, retries and changes of status in a trail, the latest ``LONGEST_HISTORY`` of them."""
    told = []
    attempt = 1
    for event in events:
        attempt = event.changes.get("attempt", attempt)
        if event.event_type in (EventType.ERROR, EventType.RETRY) or "status" in event.changes:
            told.append(_happened(event, attempt))
    return tuple(told[-LONGEST_HISTORY:])


def _happened(event: Event, attempt: int) -> Happened:
    payload: dict[str, Any] = event.payload
    return Happened(
        seq=event.seq,
        created_at=event.created_at,
        event_type=event.event_type,
        status=event.changes.get("status"),
        attempt=attempt,
        step=event.step_name,
        code=payload.get("code") or payload.get("reason"),
        message=payload.get("message"),
        actor=event.actor,
        request_id=event.request_id,
    )
