"""Far more callers at once than an API can serve: all are answered, who is let in is stored once, memory is bounded.

The large form has as many connections as a service meets on its worst day.
"""

from __future__ import annotations

import asyncio
import re
import resource
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import pytest

from tests.support.burst import Answer, burst, request
from tests.support.deployment import Deployment
from tests.support.processes import http

LARGEST = "\U0001f600" * 20_000
"""The largest body of a ticket, in characters of four bytes: 80 KB."""

large_form = [pytest.mark.long_form, pytest.mark.timeout(600)]


def peak_megabytes(pid: int) -> float:
    """The most memory that the process ever had resident, since that was last forgotten."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]) / 1024


@contextmanager
def probed(address: str) -> Iterator[list[int]]:
    """What ``/health`` answers meanwhile, again and again; once more at the end in any case."""
    statuses: list[int] = []
    over = threading.Event()

    def probe() -> None:
        while True:
            last = over.wait(0.2)
            statuses.append(http("GET", f"{address}/health")[0])
            if last:
                return

    thread = threading.Thread(target=probe)
    thread.start()
    try:
        yield statuses
    finally:
        over.set()
        thread.join()


@pytest.mark.parametrize(
    ("callers", "body", "megabytes"),
    [
        pytest.param(1_500, "What now?", 60, id="many"),
        pytest.param(500, LARGEST, 200, id="large"),
        pytest.param(10_000, "What now?", 200, id="ten thousand", marks=large_form),
        pytest.param(10_000, LARGEST, 500, id="ten thousand large", marks=large_form),
    ],
)
def test_everybody_is_answered_and_nobody_makes_it_grow(
    deployment: Deployment, callers: int, body: str, megabytes: float
) -> None:
    """``megabytes``: what the process may have more than before, at its highest."""
    _, most_files = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert most_files >= callers + 500, "the hard limit of open files is too low here: ulimit -Hn"
    resource.setrlimit(resource.RLIMIT_NOFILE, (most_files, most_files))
    api = deployment.api()
    deployment.post()
    before = peak_megabytes(api.pid)

    def asked(number: int) -> bytes:
        fields = {"subject": f"Question {number} {uuid4().hex}", "body": body, "customer_id": "cus_1"}
        return request("/tickets", fields)

    with probed(deployment.address) as healths:
        port = urlsplit(deployment.address).port
        assert port is not None
        answers = asyncio.run(burst(port, callers, asked))
    counted = Counter(answer.status for answer in answers)
    assert set(counted) <= {201, 503}
    assert counted[201] >= 50
    assert counted[503] > 0
    assert all(_says_when_to_come_back(answer) for answer in answers if answer.status == 503)
    taken = [answer.body["ticket_id"] for answer in answers if answer.status == 201]
    stored = {str(row[0]) for row in deployment.sql("select id from tickets where customer_id = 'cus_1'")}
    assert len(taken) == len(set(taken))
    assert stored == set(taken)
    assert set(healths) == {200}
    assert peak_megabytes(api.pid) - before < megabytes


def _says_when_to_come_back(answer: Answer) -> bool:
    return answer.body["code"] == "overloaded" and int(answer.headers["retry-after"]) >= 1
