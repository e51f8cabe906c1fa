"""How often a consumer of the embedded queue looks for messages of other processes."""

from __future__ import annotations

import pytest

from ticketflow.broker.embedded import POLL_SECONDS, QUIET_SECONDS, next_pause

RARE = 8 * POLL_SECONDS


@pytest.mark.parametrize("idle", [0, QUIET_SECONDS, 3600])
def test_over_a_connection_it_looks_as_often_as_ever(idle: float) -> None:
    assert next_pause(idle, POLL_SECONDS) == POLL_SECONDS


@pytest.mark.parametrize(
    ("idle", "pause"), [(0, POLL_SECONDS), (QUIET_SECONDS, POLL_SECONDS), (11, RARE), (3600, RARE)]
)
def test_where_a_look_costs_a_request_it_looks_rarely_once_it_is_quiet(idle: float, pause: float) -> None:
    assert next_pause(idle, RARE) == pause
