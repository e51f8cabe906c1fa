"""What can be said of a net before anything happens in it: where its tokens can get to, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Sequence

from ticketflow.domain.lifecycle import NET, Marking, Move, Net, Place, enabled, fire

_Key = frozenset[tuple[Place, int]]


class Unbounded(ValueError):
    """Tokens can pile up without end: after ``way``, ``pump`` can fire again and again and adds some each time."""

    def __init__(self, way: Sequence[Move], pump: Sequence[Move]) -> None:
        super().__init__(f"firing {', '.join(pump)} again and again adds tokens without end")
        self.way, self.pump = tuple(way), tuple(pump)


def reachable(net: Net = NET) -> tuple[Marking, ...]:
    """Every marking that can come about, nearest first, the initial one included. Raises ``Unbounded``.

    A marking that has all tokens of one on its way and more shows that there is no end (Karp and Miller 1969);
    a search that never meets one ends.
    """
    start = {place: count for place, count in net.initial.items() if count}
    found: dict[_Key, Marking] = {_key(start): start}
    way: dict[_Key, tuple[_Key, Move]] = {}
    waiting = [start]
    for tokens in waiting:
        for move in enabled(tokens, net=net):
            after = fire(tokens, move, net)
            if _key(after) in found:
                continue
            found[_key(after)] = after
            way[_key(after)] = _key(tokens), move
            _check_bounded(after, found, way)
            waiting.append(after)
    return tuple(waiting)


def _check_bounded(tokens: Marking, found: dict[_Key, Marking], way: dict[_Key, tuple[_Key, Move]]) -> None:
    pump: list[Move] = []
    here = _key(tokens)
    while here in way:
        here, move = way[here]
        pump.insert(0, move)
        if all(tokens.get(place, 0) >= count for place, count in found[here].items()):
            before: list[Move] = []
            while here in way:
                here, move = way[here]
                before.insert(0, move)
            raise Unbounded(before, pump)


def faults(net: Net = NET, goal: Place = Place.CLOSED) -> tuple[str, ...]:
    """What is wrong with a net, a sentence each; none for one in which a ticket always is in exactly one place, can
    get to each of them, never gets stuck, and can come to ``goal`` from everywhere."""
    wrong = [f"Nobody may fire {move}." for move, transition in net.transitions.items() if not transition.roles]
    try:
        markings = reachable(net)
    except Unbounded as endless:
        return (*wrong, f"There is no end of tokens: {endless}.")
    possible = {_key(tokens): enabled(tokens, net=net) for tokens in markings}
    fired = {move for moves in possible.values() for move in moves}
    wrong += [f"{move} can never fire." for move in net.transitions if move not in fired]
    visited = {place for tokens in markings for place in tokens}
    wrong += [f"No token ever comes to {place}." for place in Place if place not in visited]
    hopeful = _leading_to(goal, markings, net)
    for tokens in markings:
        if sum(tokens.values()) != 1:
            wrong.append(f"There can be {sum(tokens.values())} tokens instead of one ({_said(tokens)}).")
        if not possible[_key(tokens)]:
            wrong.append(f"Nothing can fire any more with {_said(tokens)}.")
        if _key(tokens) not in hopeful:
            wrong.append(f"{goal} is out of reach with {_said(tokens)}.")
    return tuple(wrong)


def _leading_to(goal: Place, markings: Sequence[Marking], net: Net) -> frozenset[_Key]:
    """The markings with a token in ``goal``, and those from which such a one can come about."""
    before: dict[_Key, list[_Key]] = {}
    for tokens in markings:
        for move in enabled(tokens, net=net):
            before.setdefault(_key(fire(tokens, move, net)), []).append(_key(tokens))
    waiting = [_key(tokens) for tokens in markings if tokens.get(goal)]
    found = set(waiting)
    for key in waiting:
        fresh = set(before.get(key, ())) - found
        found |= fresh
        waiting += fresh
    return frozenset(found)


def _key(tokens: Marking) -> _Key:
    return frozenset(tokens.items())


def _said(tokens: Marking) -> str:
    """The marking in words, such as ``a token in new and 2 in closed``."""
    return (
        " and ".join(f"{count if count > 1 else 'a token'} in {place}" for place, count in tokens.items()) or "no token"
    )
