"""The model provider down while real processes run: the worker says so, leaves the tickets alone, and goes on."""

from __future__ import annotations

import re
from typing import Any

from tests.support.deployment import Deployment
from tests.support.model import Model
from tests.support.processes import http, until


def queued(address: str) -> int:
    """Messages that lie in RabbitMQ and in no worker's hands, as the process at ``address`` counts them."""
    depths = re.findall(r'^queue_depth{lane="\w+"} (\S+)$', http("GET", f"{address}/metrics")[2], re.MULTILINE)
    return sum(int(float(depth)) for depth in depths)


def test_a_worker_whose_provider_is_down_says_so_waits_and_goes_on(deployment: Deployment, model: Model) -> None:
    deployment.api()
    [worker] = deployment.workers(1, "--concurrency", "5", TICKETFLOW_RETRY_BASE_SECONDS="0.1")
    address = worker.wait_for_event("worker.started")["metrics"].removesuffix("/metrics")

    def ready() -> tuple[int, Any]:
        status, _, answer = http("GET", f"{address}/ready")
        return status, answer["checks"]

    well = {"database": "ok", "broker": "ok", "model": "ok"}
    assert ready() == (200, well)
    assert deployment.request("GET", "/ready")[2]["checks"] == {"database": "ok", "broker": "ok"}

    model.faults(error_every=1, latency_seconds=0.1)
    tickets = deployment.post_many(30)
    opened = worker.wait_for_event("llm.breaker_open")
    assert (opened["code"], opened["level"]) == ("model_unavailable", "warning")
    assert "500" in opened["reason"]
    worker.wait_for_event("worker.paused")
    assert ready() == (503, well | {"model": "model_unavailable"})
    assert "\nllm_breaker_open 1.0\n" in http("GET", f"{address}/metrics")[2]
    assert deployment.request("GET", "/ready")[0] == 200
    # Some tickets are put aside, for the others a message lies where another worker could take it.
    until(lambda: not deployment.sql("select 1 from timers"), 30, "the timers of those put aside to fire")
    until(lambda: queued(deployment.address) == 30, 30, "all messages to lie in the queue", every=0.2)
    assert deployment.statuses() == {"pending": 30}
    assert worker.popen.poll() is None

    model.reset()
    assert worker.wait_for_event("llm.breaker_closed")["level"] == "info"
    deployment.until_completed(tickets)
    assert ready() == (200, well)
    assert "\nllm_breaker_open 0.0\n" in http("GET", f"{address}/metrics")[2]
    deployment.assert_completed_once(tickets)
    assert deployment.sql("select count(*) from dead_letters") == [(0,)]
    assert deployment.sql("select max(attempt - excused_attempts) from tickets") == [(1,)]
    assert worker.stop() == 0
