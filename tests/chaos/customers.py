"""Those who send tickets and those who talk about them, and again until they are told that it was taken."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException
from random import Random
from typing import Any
from uuid import uuid4

from tests.support.deployment import Deployment, Posted, like_no_other, new_marker
from tests.support.processes import http

PATIENCE_SECONDS = 60
CALLERS = 8
AGENT, SUPERVISOR = "agent:mia", "supervisor:kai"
MOVES = (
    ("escalate", AGENT),
    ("request_info", AGENT),
    ("resolve", AGENT),
    ("resolve_escalated", SUPERVISOR),
    ("close", AGENT),
    ("assign", AGENT),
    ("start_work", SUPERVISOR),
)


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


def talk_and_move(
    deployment: Deployment, addresses: Callable[[], list[str]], count: int, seconds: float, random: Random
) -> None:
    """``count`` times, over so many seconds, a customer writes about a ticket, or one of ours writes or moves it."""
    kinds = ["customer", "customer", "agent", "move", "move", "move"]
    drawn = [(random.choice(kinds), random.choice(MOVES), random.random()) for _ in range(count)]
    begin = time.monotonic()
    deadline = begin + seconds + PATIENCE_SECONDS

    def act(number: int) -> None:
        kind, move, which = drawn[number]
        time.sleep(max(0.0, begin + seconds * number / count - time.monotonic()))
        if not deployment.posted:
            return
        ticket = deployment.posted[int(which * len(deployment.posted))]
        path, acts_as = f"/tickets/{ticket.id}", f"customer:{ticket.customer_id}"
        match kind:
            case "move":
                name, acts_as = move
                _asked(addresses, number, f"{path}/transitions/{name}", {}, (200, 409), deadline, X_Act_As=acts_as)
                return
            case "agent":
                acts_as = AGENT
        said = {"kind": "reply", "body": f"word {uuid4().hex}"}
        key = uuid4().hex
        answer = _asked(
            addresses, number, f"{path}/messages", said, (201,), deadline, X_Act_As=acts_as, Idempotency_Key=key
        )
        deployment.said.append(answer["id"])

    with ThreadPoolExecutor(CALLERS) as pool:
        list(pool.map(act, range(count)))


def _taken(addresses: Callable[[], list[str]], number: int, question: str, deadline: float) -> Posted:
    marker = new_marker()
    answer = _asked(addresses, number, "/tickets", like_no_other(marker, question), (200, 201), deadline)
    return Posted(answer["ticket_id"], marker)


def _asked(
    addresses: Callable[[], list[str]],
    number: int,
    path: str,
    body: dict[str, Any],
    taken: Sequence[int],
    deadline: float,
    **headers: str,
) -> dict[str, Any]:
    """Ask one API after the other until one takes it, and return what it says."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    answer: object = "no API is up"
    while time.monotonic() < deadline:
        known = addresses()
        if known:
            number += 1
            try:
                status, _, answer = http("POST", known[number % len(known)] + path, body, named)
            except (OSError, HTTPException) as error:
                answer = error
            else:
                if status in taken:
                    assert isinstance(answer, dict)
                    return answer
                # A ticket that never stands still is a conflict too, for whoever only writes about it.
                assert status in (409, 503), (path, status, answer)
        time.sleep(0.1)
    raise AssertionError(f"{path} was not taken, the last answer was {answer!r}")
