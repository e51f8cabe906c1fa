"""What a person is told about the address."""

from __future__ import annotations

import pytest

from ticketflow.serving import link


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:8000"),
        ("0.0.0.0", "http://127.0.0.1:8000"),
        ("::", "http://[::1]:8000"),
        ("::1", "http://[::1]:8000"),
        ("tickets.example", "http://tickets.example:8000"),
    ],
)
def test_the_link_can_be_opened_on_this_machine(host: str, url: str) -> None:
    assert link(host, 8000) == url
