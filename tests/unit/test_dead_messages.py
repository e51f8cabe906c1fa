"""What is recorded of a message in the dead-letter queue, whatever its publisher put into it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from ticketflow.broker.rabbitmq import REASON_HEADER, dead_message

DEATH = {"queue": "tickets.high", "reason": "delivery_limit", "time": datetime(2026, 2, 1, tzinfo=UTC)}


def test_a_message_that_we_rejected_says_why() -> None:
    dead = dead_message(b"{", {REASON_HEADER: b"not JSON", "x-death": [DEATH]}, "m-1", "tickets.dead")
    assert (dead.reason, dead.payload) == ("not JSON", {"body": "{", "queue": "tickets.high"})


def test_a_message_that_the_broker_buried_says_that() -> None:
    assert dead_message(b"", {"x-death": [DEATH]}, "m-1", None).reason == "dead-lettered by the broker: delivery_limit"


def test_the_same_message_has_the_same_id_and_another_has_another() -> None:
    first, again = (dead_message(b"x", {"x-death": [DEATH]}, "m-1", None) for _ in range(2))
    assert first.id == again.id
    assert first.id not in {
        dead_message(b"y", {"x-death": [DEATH]}, "m-1", None).id,
        dead_message(b"x", {}, "m", None).id,
    }


@pytest.mark.parametrize("bad", ["nul \x00", "\ud800", b"\xff\x00", 7, {"a": "\x00"}, "x" * 100_000], ids=range(6))
def test_nothing_in_a_header_keeps_the_message_from_being_recorded(bad: Any) -> None:
    for headers in (
        {REASON_HEADER: bad},
        {"x-death": [{"queue": bad, "reason": bad}]},
        {"x-death": bad},
        {"x-death": [bad]},
    ):
        dead = dead_message(b"\x00\xff", headers, bad if isinstance(bad, str) else None, bad)
        for text in (dead.reason, dead.payload["body"], dead.payload["queue"]):
            assert "\x00" not in text
            text.encode()
            assert len(text) <= 4000
