"""How much may wait in one process."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.support.clock import Clock
from ticketflow.access.room import FEWEST, Room, Shed


def room(clock: Clock, wait: float = 0.5, most_bytes: int = 1000) -> Room:
    return Room(timedelta(seconds=wait), most_bytes, clock)


def filled(place: Room, size: int = 0, generosity: float = 1.0) -> int:
    """How many come in before one is sent away."""
    count = 0
    while place.enter(size, generosity) is None:
        count += 1
    return count


def at_rate(place: Room, clock: Clock, per_second: float, requests: int = 2000) -> None:
    """Requests that come and leave, always ten of them under way."""
    for _ in range(10):
        place.enter(0)
    for _ in range(requests):
        clock.advance(1 / per_second)
        place.leave(0)
        place.enter(0)
    for _ in range(10):
        place.leave(0)


def test_a_few_are_let_in_before_anything_is_known() -> None:
    place = room(Clock())
    assert filled(place) == FEWEST
    assert place.enter(0) is Shed.WAIT


@pytest.mark.parametrize(("per_second", "wait"), [(1000, 0.5), (1000, 2), (400, 0.5)])
def test_as_many_are_let_in_as_leave_in_the_longest_wait(per_second: float, wait: float) -> None:
    clock = Clock()
    place = room(clock, wait)
    at_rate(place, clock, per_second)
    assert filled(place) == pytest.approx(per_second * wait, rel=0.02)


def test_a_store_that_slows_down_lets_fewer_in_and_never_fewer_than_a_few() -> None:
    clock = Clock()
    place = room(clock)
    at_rate(place, clock, 2000)
    at_rate(place, clock, 500)
    at_rate(place, clock, 400)
    slower = filled(place)
    assert 200 <= slower < 320
    for _ in range(slower):
        place.leave(0)
    at_rate(place, clock, 1, requests=10)
    assert filled(place) == FEWEST


def test_time_in_which_nothing_is_under_way_says_nothing_about_the_rate() -> None:
    clock = Clock()
    place = room(clock)
    for _ in range(500):
        clock.advance(60)
        place.enter(0)
        clock.advance(0.001)
        place.leave(0)
    assert filled(place) == pytest.approx(500, rel=0.02)


def test_bodies_are_let_in_as_long_as_there_are_bytes_for_them() -> None:
    place = room(Clock(), most_bytes=1000)
    assert filled(place, size=300) == 3
    assert place.enter(300) is Shed.BYTES
    assert place.enter(100) is None
    place.leave(300)
    assert place.enter(300) is None


def test_a_body_larger_than_all_of_them_is_let_in_alone() -> None:
    place = room(Clock(), most_bytes=1000)
    assert place.enter(5000) is None
    assert place.enter(1) is Shed.BYTES
    place.leave(5000)
    place.enter(1)
    assert place.enter(5000) is Shed.BYTES


def test_the_generous_bounds_are_wider() -> None:
    place = room(Clock())
    filled(place)
    assert filled(place, generosity=1.25) == FEWEST // 4
