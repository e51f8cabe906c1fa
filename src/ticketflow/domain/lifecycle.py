"""The human side of a ticket: a Petri net that customers, agents, supervisors and the pipeline all move through.

Places hold tokens; a transition takes one from each place before it and puts one into each place after it. The net has
exactly one token, so a ticket is in one place. Shape of the net and role names follow petri-pilot's support-ticket
example (https://github.com/pflow-xyz/petri-pilot).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum

from ticketflow.domain.roles import Role, held


class Place(StrEnum):
    NEW = "new"
    ASSIGNED = "assigned"
    IN_PROGRESS = "in_progress"
    ESCALATED = "escalated"
    PENDING_CUSTOMER = "pending_customer"
    RESOLVED = "resolved"
    CLOSED = "closed"


class Move(StrEnum):
    """The net's transitions."""

    ASSIGN = "assign"
    START_WORK = "start_work"
    ESCALATE = "escalate"
    REQUEST_INFO = "request_info"
    CUSTOMER_REPLY = "customer_reply"
    RESOLVE = "resolve"
    RESOLVE_ESCALATED = "resolve_escalated"
    CLOSE = "close"
    REOPEN = "reopen"


Marking = Mapping[Place, int]
"""Tokens by place; a place that is not named has none."""


@dataclass(frozen=True, slots=True)
class Transition:
    """``roles``: who may fire it; a role that inherits from one of them may too."""

    takes: tuple[Place, ...]
    puts: tuple[Place, ...]
    roles: frozenset[Role]
    meaning: str


@dataclass(frozen=True, slots=True)
class Net:
    initial: Marking
    transitions: Mapping[Move, Transition]


_AGENT, _SUPERVISOR = frozenset({Role.AGENT}), frozenset({Role.SUPERVISOR})
_CUSTOMER = frozenset({Role.CUSTOMER, Role.ADMIN})
"""An admin acts on a customer's behalf."""

NET = Net(
    initial={Place.NEW: 1},
    transitions={
        Move.ASSIGN: Transition((Place.NEW,), (Place.ASSIGNED,), _AGENT, "give it to somebody"),
        Move.START_WORK: Transition((Place.ASSIGNED,), (Place.IN_PROGRESS,), _AGENT, "begin to work on it"),
        Move.ESCALATE: Transition((Place.IN_PROGRESS,), (Place.ESCALATED,), _AGENT, "hand it to a supervisor"),
        Move.REQUEST_INFO: Transition(
            (Place.IN_PROGRESS,), (Place.PENDING_CUSTOMER,), _AGENT, "ask the customer something"
        ),
        Move.CUSTOMER_REPLY: Transition(
            (Place.PENDING_CUSTOMER,), (Place.IN_PROGRESS,), _CUSTOMER, "answer what was asked"
        ),
        Move.RESOLVE: Transition((Place.IN_PROGRESS,), (Place.RESOLVED,), _AGENT, "it is answered"),
        Move.RESOLVE_ESCALATED: Transition(
            (Place.ESCALATED,), (Place.RESOLVED,), _SUPERVISOR, "it is answered, by a supervisor"
        ),
        Move.CLOSE: Transition((Place.RESOLVED,), (Place.CLOSED,), _AGENT, "nothing more is to come"),
        Move.REOPEN: Transition((Place.CLOSED,), (Place.NEW,), _CUSTOMER, "it was not settled after all"),
    },
)


class NotEnabled(ValueError):
    """The marking lacks a token that the transition takes."""


def marking(place: Place) -> Marking:
    """The marking of a ticket that is in ``place``."""
    return {place: 1}


def place_of(tokens: Marking) -> Place:
    """Where the one token is."""
    (place,) = (place for place, count in tokens.items() if count)
    return place


def permitted(move: Move, roles: Collection[Role], net: Net = NET) -> bool:
    """Whether someone with these roles (each with all that it inherits) may fire it, wherever the token is."""
    everything = frozenset[Role]().union(*(held(role) for role in roles))
    return not everything.isdisjoint(net.transitions[move].roles)


def enabled(tokens: Marking, roles: Collection[Role] | None = None, net: Net = NET) -> tuple[Move, ...]:
    """The transitions that can fire now, in the net's order; with ``roles``, those that someone with them may fire."""
    return tuple(
        move
        for move, transition in net.transitions.items()
        if all(tokens.get(place, 0) >= transition.takes.count(place) for place in transition.takes)
        and (roles is None or permitted(move, roles, net))
    )


def fire(tokens: Marking, move: Move, net: Net = NET) -> dict[Place, int]:
    """The marking afterwards. Raises ``NotEnabled``."""
    if move not in enabled(tokens, net=net):
        raise NotEnabled(f"{move} cannot fire from {', '.join(place for place, count in tokens.items() if count)}")
    after = dict(tokens)
    transition = net.transitions[move]
    for place in transition.takes:
        after[place] -= 1
    for place in transition.puts:
        after[place] = after.get(place, 0) + 1
    return {place: count for place, count in after.items() if count}


def after(place: Place, move: Move) -> Place:
    """Where a ticket in ``place`` is once ``move`` has fired. Raises ``NotEnabled``."""
    return place_of(fire(marking(place), move))
