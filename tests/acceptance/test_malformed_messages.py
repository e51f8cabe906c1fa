"""Messages that Ticketflow never wrote: each becomes a dead letter that says why, and work goes on."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from tests.support.deployment import Deployment
from tests.support.messages import NOBODY, publish, wake_up
from tests.support.processes import until
from ticketflow.broker.messages import MAX_MESSAGE_BYTES
from ticketflow.domain.routing import Lane

MALFORMED: Mapping[str, tuple[bytes, str]] = {
    "not JSON": (b"wake up, please", "not JSON"),
    "empty": (b"", "not JSON"),
    "cut short": (wake_up()[:-7], "not JSON"),
    "not UTF-8": (b"\xff\xfe\x00w\x00a\x00k\x00e", "not JSON"),
    "NUL bytes": (b"\x00" * 64, "not JSON"),
    "nested too deep": (b"[" * 10_000, "not JSON"),
    "a list": (b"[1, 2, 3]", "not a JSON object"),
    "another version": (wake_up(v=99), "version '99'"),
    "a huge version": (wake_up(v="9" * 5000), "version"),
    "no ticket id": (b'{"v": 1}', "ticket_id"),
    "a ticket id that is none": (wake_up(ticket_id="../../etc/passwd"), "ticket_id"),
    "a ticket id with a NUL": (wake_up(ticket_id=f"{NOBODY}\0"), "ticket_id"),
    "a ticket id that is a list": (wake_up(ticket_id=[NOBODY]), "ticket_id"),
    "an unknown ticket": (wake_up(), "no ticket has this id"),
    "huge": (wake_up(reason="x" * 2 * MAX_MESSAGE_BYTES), "more than"),
    "huge and not JSON": (b"\x00\xff" * 500_000, "more than"),
}


HEADERS: list[dict[str, Any]] = [{}, {"x-request-id": "\x00\x1b[31m"}, {"traceparent": [1, 2]}, {"x-death": "soon"}]
TYPES = ("text/plain", "application/octet-stream", None, "application/json")
"""Headers and content types that say nothing true."""


def test_malformed_messages_become_dead_letters_and_the_worker_goes_on(
    deployment: Deployment, rabbitmq_url: str
) -> None:
    deployment.api()
    [worker] = deployment.workers(1, "--concurrency", "2")
    bodies = [body for body, _ in MALFORMED.values()]
    asyncio.run(publish(rabbitmq_url, bodies, list(Lane), HEADERS, TYPES))

    def letters() -> list[dict[str, Any]]:
        status, _, page = deployment.request("GET", "/dead-letters?limit=100")
        assert status == 200
        items: list[dict[str, Any]] = page["items"]
        return items

    until(lambda: len(letters()) >= len(MALFORMED), 30, "every message to become a dead letter", every=0.2)
    reasons = sorted(letter["detail"] for letter in letters())
    assert len(reasons) == len(MALFORMED)
    for name, (_, reason) in MALFORMED.items():
        found = next((detail for detail in reasons if reason in detail), None)
        assert found is not None, f"{name}: {reasons}"
        reasons.remove(found)
    for letter in letters():
        assert letter["kind"] == "message"
        assert len(letter["payload"]["body"]) <= 4000
        assert "\x00" not in json.dumps(letter, ensure_ascii=False)

    ticket = deployment.post()
    deployment.until_completed([ticket])
    deployment.assert_completed_once([ticket])
    assert worker.popen.poll() is None
    assert worker.events("message.failed") == []
    # None is delivered again and again.
    assert len(worker.events("message.rejected")) == len(MALFORMED)
