"""Two hundred tickets, two workers, RabbitMQ between them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter

from tests.support.deployment import ASKED, STEPS, Deployment
from tests.support.model import Model
from tests.support.processes import until

QUESTIONS = (
    "I forgot my password, how do I reset it?",
    "When do I get my refund, and how much is it?",
    "URGENT: an outage, the gateway is offline with an error",
    "zxqv brrm",
)
"""Answered, perhaps revised, escalated at once, and with nothing in the knowledge base."""


def test_every_ticket_completes_each_step_runs_once_and_both_workers_take_part(
    deployment: Deployment, model: Model
) -> None:
    deployment.api()
    workers = deployment.workers(2, "--concurrency", "10")
    tickets = deployment.post_many(200, QUESTIONS)
    deployment.until_completed(tickets)

    def ended() -> list[int]:
        return [len(worker.events("ticket.ended")) for worker in workers]

    until(lambda: sum(ended()) >= 200, 10, "both workers to say what they ended")
    assert sum(ended()) == 200
    assert min(ended()) > 0

    # What the model was asked is what the trail says, ticket by ticket: nothing was asked twice and then thrown away.
    asked, trail = model.stats()["markers"], deployment.steps()
    for ticket in tickets:
        done = trail[ticket.id]
        assert asked[ticket.marker] == {step: done[step] for step in ASKED if done[step]}
        assert done["draft"] == done["review"] <= 3
        assert all(done[step] == 1 for step in ("classify", "extract", "finalize"))
    answered = Counter(STEPS)
    assert sum(trail[ticket.id] == answered for ticket in tickets) >= 100

    audited = subprocess.run(
        [sys.executable, "-m", "ticketflow", "verify", "--json"],
        env=deployment.environment, cwd=deployment.folder, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    verdict = json.loads(audited.stdout)
    assert (audited.returncode, verdict["tickets"], verdict["violations"]) == (0, 200, [])


def test_a_second_worker_on_the_same_port_is_one_line(deployment: Deployment) -> None:
    [first] = deployment.workers(1)
    port = first.wait_for_event("worker.started")["metrics"].rsplit(":", 1)[1].split("/")[0]
    second = deployment.start("worker", "--metrics-port", port)
    assert second.popen.wait(30) == 1
    until(lambda: second.lines, 10, "its last word")
    [line] = second.lines
    assert line.startswith("ticketflow: cannot listen on")
