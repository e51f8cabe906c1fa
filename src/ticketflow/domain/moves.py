"""What a person may do with a ticket, by where it stands: a pure table."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from ticketflow.domain.tickets import Status, WaitingFor


class Move(StrEnum):
    PAUSE = "pause"
    """Stop at the next step boundary, and stay there."""
    RESUME = "resume"
    """Go on from where it was paused."""
    CANCEL = "cancel"
    """End it. What a worker still brings is refused."""
    RETRY = "retry"
    """Start the next attempt now, from the step where the last one stopped."""
    REPLAY = "replay"
    """Start the next attempt from a step that was done already."""


_MOVES: Mapping[Status | WaitingFor, tuple[Move, ...]] = {
    Status.PENDING: (Move.PAUSE, Move.CANCEL),
    Status.PROCESSING: (Move.PAUSE, Move.CANCEL),
    WaitingFor.RETRY: (Move.PAUSE, Move.CANCEL, Move.RETRY, Move.REPLAY),
    WaitingFor.CUSTOMER: (Move.CANCEL, Move.REPLAY),
    WaitingFor.PAUSED: (Move.RESUME, Move.CANCEL, Move.REPLAY),
    Status.COMPLETED: (Move.REPLAY,),
    Status.FAILED_PERMANENT: (Move.RETRY, Move.REPLAY),
    Status.CANCELLED: (Move.RETRY, Move.REPLAY),
}


def allowed(status: Status, waiting_for: WaitingFor | None) -> tuple[Move, ...]:
    """The moves that are open to a ticket."""
    return _MOVES[waiting_for if status is Status.WAITING and waiting_for is not None else status]
