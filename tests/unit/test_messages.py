"""What is read from a wake-up message, and what is refused or passed over."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import pytest

from ticketflow.broker.messages import MAX_MESSAGE_BYTES, Message, parse, readable
from ticketflow.domain.errors import Poison
from ticketflow.domain.routing import Lane

ID = UUID("07060ea6-5dc6-5a9e-8695-1dc981a50573")
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
BODY = Message(Lane.HIGH, ID, "created", datetime(2026, 2, 1, tzinfo=UTC)).body()


def test_a_message_is_read_as_it_was_written() -> None:
    message = parse(BODY, {"x-request-id": "req-1", "traceparent": TRACE, "x-other": "7"})
    assert (message.ticket_id, message.reason) == (ID, "created")
    assert (message.request_id, message.traceparent) == ("req-1", TRACE)


@pytest.mark.parametrize("header", ["", "a" * 129, "nul \x00", "two words", "\ud800", "newline\n", "<b>"])
def test_headers_of_no_use_are_passed_over(header: str) -> None:
    message = parse(BODY, {"x-request-id": header, "traceparent": header})
    assert (message.ticket_id, message.request_id, message.traceparent) == (ID, None, None)


@pytest.mark.parametrize(
    "trace",
    [f"ff-{'a' * 32}-{'b' * 16}-01", f"00-{'0' * 32}-{'b' * 16}-01", f"00-{'a' * 32}-{'0' * 16}-01"],
)
def test_a_trace_context_that_the_standard_calls_invalid_is_passed_over(trace: str) -> None:
    assert parse(BODY, {"traceparent": trace}).traceparent is None


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[" * 5000, "not JSON"),
        (b"[1]", "not a JSON object"),
        (b"null", "not a JSON object"),
        (b'{"ticket_id": "07060ea6-5dc6-5a9e-8695-1dc981a50573"}', "version"),
        (b'{"v": 2, "ticket_id": "07060ea6-5dc6-5a9e-8695-1dc981a50573"}', "version"),
        (b'{"v": 1}', "ticket_id"),
        (b'{"v": 1, "ticket_id": 7}', "ticket_id"),
        (b'{"v": 1, "ticket_id": "../../etc/passwd"}', "ticket_id"),
        (b'{"v": 1, "ticket_id": ["x"]}', "ticket_id"),
        (b" " * (MAX_MESSAGE_BYTES + 1), "bytes"),
    ],
    ids=range(13),
)
def test_what_is_no_message_says_why(body: bytes, reason: str) -> None:
    with pytest.raises(Poison, match=reason):
        parse(body, {})


def test_a_dead_body_can_be_looked_at_safely() -> None:
    shown = readable(b"\x1b[2Jline\nnext\x00\xff" + b"x" * 10_000)
    assert shown.startswith("\ufffd[2Jline\nnext\ufffd\\xff")
    assert len(shown) == 4000
