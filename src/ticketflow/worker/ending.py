"""How a run ends: what its last commit says, as far as that does not depend on the lease."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, assert_never

from ticketflow.domain.change import DeadLetter, Timer, TimerKind
from ticketflow.domain.conversation import MessageKind, NewMessage
from ticketflow.domain.events import EventType, NewEvent
from ticketflow.domain.firing import fired, said
from ticketflow.domain.lifecycle import Move, Place
from ticketflow.domain.roles import PIPELINE, THE_PIPELINE
from ticketflow.domain.tickets import Disposition, Status, WaitingFor


@dataclass(frozen=True, slots=True)
class Ending:
    """What a commit says, and the status that it leaves. ``with_pipeline``: only while no person has moved the
    ticket."""

    status: Status
    events: Sequence[NewEvent]
    message: NewMessage | None = None
    timers: Sequence[Timer] = ()
    dead_letter: DeadLetter | None = None
    with_pipeline: bool = False


def answer(step: NewEvent, result: Mapping[str, Any], close_after: timedelta | None, request_id: str | None) -> Ending:
    """The pipeline's own way out: the reply goes to the customer, and the ticket is resolved, escalated, or waits for
    what the customer says."""
    disposition = Disposition(result["disposition"])
    to: tuple[Status, WaitingFor | None] = (Status.COMPLETED, None)
    match disposition:
        case Disposition.ANSWERED:
            move = Move.RESOLVE
        case Disposition.ESCALATED:
            move = Move.ESCALATE
        case Disposition.ASKED:
            move, to = Move.REQUEST_INFO, (Status.WAITING, WaitingFor.CUSTOMER)
        case Disposition.SUGGESTED:
            raise ValueError("the graph suggests nothing: it answers, escalates or asks")
        case _:
            assert_never(disposition)
    message = NewMessage(MessageKind.REPLY, PIPELINE, result["reply"])
    # A question is no result yet.
    kept = {"result": dict(result)} if to[0] is Status.COMPLETED else {}
    return Ending(
        to[0],
        events=[
            step,
            said(message, request_id),
            fired(move, Place.IN_PROGRESS, PIPELINE, THE_PIPELINE, request_id=request_id),
            _status_change(*to, kept, request_id),
        ],
        message=message,
        timers=[Timer(TimerKind.CLOSE, close_after)] if move is Move.RESOLVE and close_after is not None else (),
        with_pipeline=True,
    )


def suggestion(step: NewEvent, result: Mapping[str, Any], request_id: str | None) -> Ending:
    """A person has the ticket: nothing goes out, and nothing of theirs is overwritten."""
    kept = {"result": {**result, "disposition": Disposition.SUGGESTED}}
    ended = _status_change(Status.COMPLETED, None, kept, request_id)
    if result["disposition"] == Disposition.ESCALATED:
        # Its reply only says that a person will come, and one has.
        return Ending(Status.COMPLETED, [step, ended])
    message = NewMessage(MessageKind.SUGGESTION, PIPELINE, result["reply"])
    return Ending(Status.COMPLETED, [step, said(message, request_id), ended], message)


def _status_change(
    to: Status, waiting_for: WaitingFor | None, kept: Mapping[str, Any], request_id: str | None
) -> NewEvent:
    changes = {"status": to, "waiting_for": waiting_for, "error": None, **kept}
    payload = {"from": Status.PROCESSING, "to": to}
    return NewEvent(EventType.STATUS_CHANGE, PIPELINE, payload, changes, request_id=request_id)
