"""The lanes' shares."""

from __future__ import annotations

from collections import Counter

from ticketflow.broker.fairness import WEIGHTS, LaneBuffer
from ticketflow.domain.routing import Lane


def full(lanes: list[Lane], each: int = 200) -> LaneBuffer[Lane]:
    buffer: LaneBuffer[Lane] = LaneBuffer()
    for lane in lanes:
        for _ in range(each):
            buffer.push(lane, lane)
    return buffer


def test_full_lanes_share_by_weight() -> None:
    buffer = full(list(Lane))
    assert Counter(buffer.pop() for _ in range(100)) == {lane: weight * 10 for lane, weight in WEIGHTS.items()}


def test_a_flood_of_high_never_starves_low() -> None:
    buffer = full([Lane.HIGH, Lane.LOW])
    first_ten = [buffer.pop() for _ in range(10)]
    assert Lane.LOW in first_ten
    assert first_ten.count(Lane.HIGH) > first_ten.count(Lane.LOW)


def test_the_low_lane_has_its_turn_also_when_every_buffer_lives_for_one_message() -> None:
    credit: dict[Lane, int] = {}
    first = []
    for _ in range(10):
        buffer: LaneBuffer[Lane] = LaneBuffer(credit=credit)
        for lane in Lane:
            buffer.push(lane, lane)
        first.append(buffer.pop())
    assert Counter(first) == WEIGHTS


def test_an_empty_lane_wastes_no_turn() -> None:
    buffer = full([Lane.LOW], each=3)
    assert [buffer.pop() for _ in range(4)] == [Lane.LOW, Lane.LOW, Lane.LOW, None]


def test_a_lane_keeps_its_order_and_drain_empties_all() -> None:
    buffer: LaneBuffer[int] = LaneBuffer()
    for number in range(5):
        buffer.push(Lane.NORMAL, number)
    assert [buffer.pop(), buffer.pop()] == [0, 1]
    assert buffer.drain() == [2, 3, 4]
    assert len(buffer) == 0
