"""The hook that says where something becomes durable: what a listener hears, and that nobody need listen."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ticketflow.telemetry import boundaries
from ticketflow.telemetry.boundaries import Side, crossing


@pytest.fixture
def heard() -> Iterator[list[tuple[str, Side]]]:
    told: list[tuple[str, Side]] = []
    boundaries.listen(lambda name, side: told.append((name, side)))
    yield told
    boundaries.listen(None)


def test_a_boundary_is_told_before_and_after(heard: list[tuple[str, Side]]) -> None:
    with crossing("ack"):
        assert heard == [("ack", Side.BEFORE)]
    assert heard == [("ack", Side.BEFORE), ("ack", Side.AFTER)]


def test_what_failed_was_not_crossed(heard: list[tuple[str, Side]]) -> None:
    with pytest.raises(OSError, match="gone"), crossing("ack"):
        raise OSError("gone")
    assert heard == [("ack", Side.BEFORE)]


def test_several_that_are_crossed_at_once_are_all_told(heard: list[tuple[str, Side]]) -> None:
    with crossing(lambda: ["commit a", "commit b"]):
        pass
    assert heard == [(name, side) for side in Side for name in ("commit a", "commit b")]


def test_without_a_listener_no_name_is_worked_out() -> None:
    def names() -> list[str]:
        raise AssertionError("nobody asked")

    with crossing(names):
        pass
