"""The lifecycle net: its definition proves sound, its rules agree with a slow reference, and who may fire what."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ticketflow.domain.lifecycle import (
    NET,
    Marking,
    Move,
    Net,
    NotEnabled,
    Place,
    Transition,
    after,
    enabled,
    fire,
    marking,
    permitted,
    place_of,
)
from ticketflow.domain.nets import Unbounded, faults, reachable
from ticketflow.domain.roles import Role, held

NEW, ASSIGNED, IN_PROGRESS, ESCALATED, PENDING_CUSTOMER, RESOLVED, CLOSED = Place
AGENT = frozenset({Role.AGENT})

ARCS = {
    "assign": ("new", "assigned"),
    "start_work": ("assigned", "in_progress"),
    "escalate": ("in_progress", "escalated"),
    "request_info": ("in_progress", "pending_customer"),
    "customer_reply": ("pending_customer", "in_progress"),
    "resolve": ("in_progress", "resolved"),
    "resolve_escalated": ("escalated", "resolved"),
    "close": ("resolved", "closed"),
    "reopen": ("closed", "new"),
}

MAY_FIRE = {
    "assign": {"agent", "supervisor", "admin"},
    "start_work": {"agent", "supervisor", "admin"},
    "escalate": {"agent", "supervisor", "admin"},
    "request_info": {"agent", "supervisor", "admin"},
    "customer_reply": {"customer", "admin"},
    "resolve": {"agent", "supervisor", "admin"},
    "resolve_escalated": {"supervisor", "admin"},
    "close": {"agent", "supervisor", "admin"},
    "reopen": {"customer", "admin"},
}
"""Written out by hand, whatever the net and the inheritance say."""


# The definition.


def test_the_net_has_the_designed_places_transitions_and_arcs() -> None:
    assert set(Place) == {
        "new", "assigned", "in_progress", "escalated", "pending_customer", "resolved", "closed",
    }  # fmt: skip
    assert {move: (*t.takes, *t.puts) for move, t in NET.transitions.items()} == ARCS
    assert set(Move) == ARCS.keys()
    assert NET.initial == {NEW: 1}


def test_every_place_is_reached_with_exactly_one_token() -> None:
    assert [dict(tokens) for tokens in reachable()] == [
        {NEW: 1}, {ASSIGNED: 1}, {IN_PROGRESS: 1},
        {ESCALATED: 1}, {PENDING_CUSTOMER: 1}, {RESOLVED: 1}, {CLOSED: 1},
    ]  # fmt: skip


def test_nothing_is_wrong_with_the_net() -> None:
    assert faults() == ()


def without(*moves: Move) -> Net:
    return replace(NET, transitions={move: t for move, t in NET.transitions.items() if move not in moves})


def altered(move: Move, takes: tuple[Place, ...], puts: tuple[Place, ...], roles: frozenset[Role] = AGENT) -> Net:
    return replace(NET, transitions={**NET.transitions, move: Transition(takes, puts, roles, "")})


@pytest.mark.parametrize(
    ("net", "said"),
    [
        (without(Move.REOPEN), ["Nothing can fire any more with a token in closed."]),
        (
            without(Move.ESCALATE),
            ["resolve_escalated can never fire.", "No token ever comes to escalated."],
        ),
        (
            without(Move.CUSTOMER_REPLY),
            [
                "Nothing can fire any more with a token in pending_customer.",
                "closed is out of reach with a token in pending_customer.",
            ],
        ),
        (altered(Move.RESOLVE, (IN_PROGRESS,), (RESOLVED,), frozenset()), ["Nobody may fire resolve."]),
        (
            altered(Move.CLOSE, (RESOLVED,), ()),
            [
                "reopen can never fire.",
                "No token ever comes to closed.",
                *(f"closed is out of reach with a token in {place}." for place in Place if place is not CLOSED),
                "There can be 0 tokens instead of one (no token).",
                "Nothing can fire any more with no token.",
                "closed is out of reach with no token.",
            ],
        ),
        (
            replace(without(Move.ASSIGN), initial={CLOSED: 2, NEW: 0}),
            [
                *(f"{move} can never fire." for move in Move if move not in (Move.ASSIGN, Move.REOPEN)),
                *(f"No token ever comes to {place}." for place in Place if place not in (NEW, CLOSED)),
                "There can be 2 tokens instead of one (2 in closed).",
                "There can be 2 tokens instead of one (a token in closed and a token in new).",
                "There can be 2 tokens instead of one (2 in new).",
                "Nothing can fire any more with 2 in new.",
                "closed is out of reach with 2 in new.",
            ],
        ),
        (
            altered(Move.CUSTOMER_REPLY, (PENDING_CUSTOMER,), (IN_PROGRESS, NEW)),
            ["There is no end of tokens: firing request_info, customer_reply again and again adds tokens without end."],
        ),
        (
            altered(Move.ASSIGN, (), (ASSIGNED,)),
            ["There is no end of tokens: firing assign again and again adds tokens without end."],
        ),
    ],
    ids=["end", "dead move", "trap", "nobody", "leak", "two tokens", "source loop", "source"],
)
def test_what_is_wrong_with_a_broken_net_is_said(net: Net, said: Sequence[str]) -> None:
    assert sorted(faults(net)) == sorted(said)


# The rules, against a reference that moves tokens one by one.


def slow_fire(tokens: Counter[Place], transition: Transition) -> Counter[Place] | None:
    """The marking afterwards, or ``None`` where a token is missing."""
    left = Counter(tokens)
    for place in transition.takes:
        if not left[place]:
            return None
        left[place] -= 1
    for place in transition.puts:
        left[place] += 1
    return +left


def slow_reachable(net: Net) -> set[frozenset[tuple[Place, int]]]:
    found: set[frozenset[tuple[Place, int]]] = set()
    waiting = [+Counter(net.initial)]
    while waiting:
        tokens = waiting.pop()
        if frozenset(tokens.items()) not in found:
            found.add(frozenset(tokens.items()))
            waiting += [then for t in net.transitions.values() if (then := slow_fire(tokens, t)) is not None]
    return found


PLACES = st.sampled_from(Place)


@st.composite
def nets(draw: st.DrawFn, takes: tuple[int, int], puts: tuple[int, int], most: int) -> Net:
    def arcs(bounds: tuple[int, int]) -> tuple[Place, ...]:
        return tuple(draw(st.lists(PLACES, min_size=bounds[0], max_size=bounds[1])))

    moves = draw(st.lists(st.sampled_from(Move), unique=True, max_size=len(Move)))
    transitions = {
        move: Transition(arcs(takes), arcs(puts), frozenset(draw(st.sets(st.sampled_from(Role)))), "") for move in moves
    }
    initial = draw(st.dictionaries(PLACES, st.integers(0, most), max_size=3))
    return Net(initial, transitions)


ANY_NET = nets((0, 2), (0, 2), 2)
STATE_MACHINE = nets((1, 1), (1, 1), 1)


@given(ANY_NET, st.data())
@settings(max_examples=300, deadline=None)
def test_enabled_and_fire_agree_with_moving_tokens_one_by_one(net: Net, data: st.DataObject) -> None:
    tokens: Marking = dict(net.initial)
    for _ in range(6):
        outcomes = {move: slow_fire(Counter(tokens), t) for move, t in net.transitions.items()}
        possible = [move for move, outcome in outcomes.items() if outcome is not None]
        assert list(enabled(tokens, net=net)) == possible
        for move, outcome in outcomes.items():
            if outcome is None:
                with pytest.raises(NotEnabled, match=f"{move} cannot fire"):
                    fire(tokens, move, net)
            else:
                assert fire(tokens, move, net) == outcome
        if not possible:
            break
        tokens = fire(tokens, data.draw(st.sampled_from(possible)), net)


@given(ANY_NET, st.sets(st.sampled_from(Role)))
def test_with_roles_only_what_someone_with_them_may_fire_is_enabled(net: Net, roles: set[Role]) -> None:
    tokens = dict.fromkeys(Place, 2)
    everything = {inherited for role in roles for inherited in held(role)}
    assert set(enabled(tokens, roles, net)) == {m for m, t in net.transitions.items() if t.roles & everything}


def followed(net: Net, moves: Sequence[Move]) -> Counter[Place]:
    tokens = +Counter(net.initial)
    for move in moves:
        then = slow_fire(tokens, net.transitions[move])
        assert then is not None, f"{move} cannot fire"
        tokens = then
    return tokens


@given(st.one_of(ANY_NET, STATE_MACHINE))
@settings(max_examples=400, deadline=None)
def test_reachable_finds_every_marking_or_shows_how_tokens_pile_up(net: Net) -> None:
    try:
        found = reachable(net)
    except Unbounded as endless:
        before = followed(net, endless.way)
        piled = followed(net, (*endless.way, *endless.pump))
        assert before < piled
        return
    keys = {frozenset(tokens.items()) for tokens in found}
    assert len(keys) == len(found)
    assert keys == slow_reachable(net)


@given(st.one_of(ANY_NET, STATE_MACHINE))
@settings(max_examples=400, deadline=None)
def test_faults_are_those_that_a_slow_search_finds(net: Net) -> None:
    said = faults(net)
    assert all(sentence.endswith(".") for sentence in said)
    try:
        reachable(net)
    except Unbounded:
        assert any("without end" in sentence for sentence in said)
        return
    found = slow_reachable(net)
    can_fire = {m for m, t in net.transitions.items() if any(slow_fire(Counter(dict(k)), t) is not None for k in found)}
    stuck = {k for k in found if all(slow_fire(Counter(dict(k)), t) is None for t in net.transitions.values())}
    hopeless = {
        k
        for k in found
        if not any((CLOSED, n) in then for then in slow_reachable(replace(net, initial=dict(k))) for n in range(1, 99))
    }
    assert {s for s in said if "can never fire" in s} == {
        f"{m} can never fire." for m in net.transitions.keys() - can_fire
    }
    assert {s for s in said if "No token ever" in s} == {
        f"No token ever comes to {p}." for p in set(Place) - {p for k in found for p, _ in k}
    }
    assert sum("instead of one" in s for s in said) == sum(sum(n for _, n in k) != 1 for k in found)
    assert sum("Nothing can fire" in s for s in said) == len(stuck)
    assert sum("out of reach" in s for s in said) == len(hopeless)
    assert {s for s in said if "Nobody" in s} == {
        f"Nobody may fire {m}." for m, t in net.transitions.items() if not t.roles
    }


# Places by name, and who may do what.


@pytest.mark.parametrize("move", Move)
@pytest.mark.parametrize("place", Place)
def test_from_each_place_a_move_leads_where_the_arcs_say_or_is_refused(place: Place, move: Move) -> None:
    source, target = ARCS[move]
    if place == source:
        assert after(place, move) == target
        assert move in enabled(marking(place))
    else:
        with pytest.raises(NotEnabled, match=f"{move} cannot fire from {place}"):
            after(place, move)
        assert move not in enabled(marking(place))


def test_place_of_finds_the_token_that_marking_put_there() -> None:
    assert [place_of({**dict.fromkeys(Place, 0), **marking(place)}) for place in Place] == list(Place)


@pytest.mark.parametrize("move", Move)
@pytest.mark.parametrize("role", ["customer", "agent", "supervisor", "admin"])
def test_each_role_may_fire_what_the_table_says(move: Move, role: str) -> None:
    may = role in MAY_FIRE[move]
    assert permitted(move, [Role(role)]) is may
    assert (move in enabled(marking(Place(ARCS[move][0])), [Role(role)])) is may


def test_someone_without_a_role_may_fire_nothing() -> None:
    assert [enabled(marking(place), []) for place in Place] == [()] * len(Place)


@pytest.mark.parametrize(
    ("role", "all_of"),
    [
        ("customer", {"customer"}),
        ("agent", {"agent"}),
        ("supervisor", {"supervisor", "agent"}),
        ("admin", {"admin", "supervisor", "agent"}),
    ],
)
def test_roles_inherit_from_the_one_below_and_nobody_from_customers(role: str, all_of: set[str]) -> None:
    assert held(Role(role)) == all_of
