"""Those who send tickets, and again until they are told that it was taken."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException

from tests.support.deployment import Deployment, Posted, like_no_other, new_marker
from tests.support.processes import http

PATIENCE_SECONDS = 60
CALLERS = 8


def post_all(
    deployment: Deployment, addresses: Callable[[], list[str]], count: int, seconds: float, questions: Sequence[str]
) -> None:
    """``count`` tickets, evenly over so many seconds. Raises when one was never taken in."""
    begin = time.monotonic()
    deadline = begin + seconds + PATIENCE_SECONDS

    def post(number: int) -> None:
        time.sleep(max(0.0, begin + seconds * number / count - time.monotonic()))
        deployment.posted.append(_taken(addresses, number, questions[number % len(questions)], deadline))

    with ThreadPoolExecutor(CALLERS) as pool:
        list(pool.map(post, range(count)))


def _taken(addresses: Callable[[], list[str]], number: int, question: str, deadline: float) -> Posted:
    marker = new_marker()
    body = like_no_other(marker, question)
    answer: object = "no API is up"
    while time.monotonic() < deadline:
        known = addresses()
        if known:
            number += 1
            try:
                status, _, answer = http("POST", f"{known[number % len(known)]}/tickets", body)
            except (OSError, HTTPException) as error:
                answer = error
            else:
                if status in (200, 201):
                    assert isinstance(answer, dict)
                    return Posted(answer["ticket_id"], marker)
                assert status == 503, (status, answer)
        time.sleep(0.1)
    raise AssertionError(f"a ticket was not taken in, the last answer was {answer!r}")
