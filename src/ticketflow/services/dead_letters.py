"""Dead letters: what stopped moving is set going again, by name."""

from __future__ import annotations

from uuid import UUID

from ticketflow.db.outbox import Outbox
from ticketflow.db.reads import DeadLetterRow, Reads
from ticketflow.domain.errors import InvalidMove, NotFound
from ticketflow.domain.events import Actor
from ticketflow.services.intake import Caller
from ticketflow.services.steer import Steer


class DeadLetters:
    def __init__(self, reads: Reads, outbox: Outbox, steer: Steer) -> None:
        self._reads = reads
        self._outbox = outbox
        self._steer = steer

    async def redrive(self, letter_id: UUID, caller: Caller) -> DeadLetterRow:
        """Redrive one dead letter: its ticket's next attempt, or for a message a new wake-up where one is still needed.

        A message that names no ticket, or one that is done, is closed by it. Raises ``NotFound``, and ``InvalidMove``
        when there is nothing that could go on.
        """
        letter = await self._reads.dead_letter(letter_id)
        if letter is None:
            raise NotFound("no dead letter has this id")
        again = InvalidMove("this dead letter was redriven already")
        if letter.redriven_at is not None:
            raise again
        if letter.kind == "ticket" and letter.ticket_id is not None:
            await self._steer.retry(letter.ticket_id, caller)
        elif not await self._outbox.redrive_message(letter_id, Actor.OPERATOR, caller.headers()):
            raise again
        redriven = await self._reads.dead_letter(letter_id)
        assert redriven is not None
        return redriven
