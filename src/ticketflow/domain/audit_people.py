"""The audit's rules about people: the lifecycle that they move a ticket through, and what they say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ticketflow.domain.audit_rules import Problem, Rule
from ticketflow.domain.conversation import PUBLIC
from ticketflow.domain.events import Event, EventType
from ticketflow.domain.lifecycle import Move, NotEnabled, Place, after, permitted
from ticketflow.domain.roles import PIPELINE, RESERVED_SUBJECTS, Role

UPGRADE = "upgrade"
"""The reason of an event that a migration wrote: tickets from before the net were put where they belong."""


def people_problems(messages: Sequence[Mapping[str, Any]], events: Sequence[Event]) -> Iterator[Problem]:
    """``messages`` as ``{"id", "seq", "kind", "author"}``."""
    yield from _lifecycle_problems(events)
    yield from _reply_problems(events)
    yield from _message_problems(messages, events)


def _lifecycle_problems(events: Sequence[Event]) -> Iterator[Problem]:
    place: str = Place.NEW
    for event in events:
        to = event.changes.get("lifecycle", place)
        at = f"{event.event_type} at seq {event.seq}"
        if event.event_type == EventType.LIFECYCLE and event.payload.get("reason") != UPGRADE:
            yield from _firing_problems(event, place, to, at)
        elif to != place and event.event_type != EventType.LIFECYCLE:
            yield Rule.LIFECYCLE, f"{place} to {to} by {at}"
        place = to


def _firing_problems(event: Event, place: str, to: str, at: str) -> Iterator[Problem]:
    try:
        move = Move(event.payload.get("transition", ""))
        expected = after(Place(place), move)
    except (ValueError, NotEnabled):
        yield Rule.LIFECYCLE, f"{event.payload.get('transition')} from {place} by {at}"
        return
    if to != expected or event.payload.get("from") != place:
        yield Rule.LIFECYCLE, f"{move} from {place} to {to} by {at}"
    role = Role.AGENT if event.actor in RESERVED_SUBJECTS else event.actor.partition(":")[0]
    if role not in list(Role) or not permitted(move, [Role(role)]):
        yield Rule.FIRED_BY, f"{move} by {event.actor} at seq {event.seq}"


def _reply_problems(events: Sequence[Event]) -> Iterator[Problem]:
    """Only the customer, or who acts for them, makes the pipeline speak a second time."""
    answered = False
    for event in events:
        if event.payload.get("transition") in (Move.CUSTOMER_REPLY, Move.REOPEN):
            answered = False
        if event.event_type == EventType.MESSAGE and event.actor == PIPELINE and event.payload.get("kind") in PUBLIC:
            if answered:
                yield Rule.ONE_REPLY, f"another at seq {event.seq}"
            answered = True


def _message_problems(messages: Sequence[Mapping[str, Any]], events: Sequence[Event]) -> Iterator[Problem]:
    told = {
        (event.payload.get("message_id"), event.seq, event.payload.get("kind"), event.actor)
        for event in events
        if event.event_type == EventType.MESSAGE
    }
    kept = {(message["id"], message["seq"], message["kind"], message["author"]) for message in messages}
    for message_id, seq, kind, author in sorted(told ^ kept, key=str):
        where = "no row" if (message_id, seq, kind, author) in told else "no event"
        yield Rule.MESSAGE, f"{kind} {message_id} by {author} at seq {seq} has {where}"
