"""The same ticket posted many times at once is one ticket, worked on once."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest

from tests.support.deployment import ASKED, QUESTION, Deployment, Posted
from tests.support.model import Model
from tests.support.processes import http

CALLERS = 50


@pytest.fixture(scope="module")
def running(shared: Deployment) -> Deployment:
    """Two APIs, so that no memory of one process could be what tells the posts apart, and a worker."""
    shared.api()
    shared.workers(1)
    return shared


@pytest.fixture(scope="module")
def addresses(running: Deployment) -> list[str]:
    first = running.address
    running.api()
    return [first, running.address]


def post_at_once(addresses: list[str], body: dict[str, Any], headers: dict[str, str]) -> list[tuple[int, Any]]:
    """``CALLERS`` posts that start together, in turn to each API: status and answer."""
    together = Barrier(CALLERS)

    def post(number: int) -> tuple[int, Any]:
        together.wait(30)
        status, _, answer = http("POST", f"{addresses[number % len(addresses)]}/tickets", body, headers)
        return status, answer

    with ThreadPoolExecutor(CALLERS) as pool:
        return list(pool.map(post, range(CALLERS)))


@pytest.mark.parametrize("headers", [{}, {"Idempotency-Key": "order-7"}], ids=["same text", "same key"])
def test_fifty_posts_at_once_are_one_ticket_and_one_run(
    running: Deployment, addresses: list[str], model: Model, headers: dict[str, str]
) -> None:
    marker = f"[[{'key' if headers else 'text'}]]"
    body = {"subject": QUESTION, "body": f"{QUESTION} {marker}", "customer_id": "cus_1"}
    answers = post_at_once(addresses, body, headers)
    assert Counter(status for status, _ in answers) == {201: 1, 200: CALLERS - 1}
    assert len({answer["ticket_id"] for _, answer in answers}) == 1
    ticket = Posted(answers[0][1]["ticket_id"], marker)
    running.until_completed([ticket])
    assert running.sql("select count(*) from tickets where body like '%%' || %s", marker) == [(1,)]
    running.assert_completed_once([ticket])
    assert model.asked(marker) == Counter(ASKED)

    # Posted again after it was answered, it is still the same ticket, and nobody is asked again.
    again = post_at_once(addresses[:1], body, headers)
    assert {(status, answer["ticket_id"], answer["status"]) for status, answer in again} == {
        (200, ticket.id, "completed")
    }
    assert model.asked(marker) == Counter(ASKED)
