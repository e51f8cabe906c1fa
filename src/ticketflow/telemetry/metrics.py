"""Metrics: one registry a process, names as dashboards know them. Labels are closed sets, never ids or raw paths."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client import ProcessCollector as _ProcessCollector

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_FAST = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_SLOW = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 180)
_TICKET = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 3600, 86400)


class Metrics:
    """Everything that API and worker measure."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry(auto_describe=True)
        _ProcessCollector(registry=registry)
        self.tickets_created = Counter("tickets_created", "Tickets taken in", ["channel"], registry=registry)
        self.tickets_processed = Counter(
            "tickets_processed", "Tickets that reached a final status", ["status"], registry=registry
        )
        self.http_request_duration = Histogram(
            "http_request_duration_seconds",
            "Time to answer a request",
            ["method", "route", "status"],
            buckets=_FAST,
            registry=registry,
        )
        self.requests_shed = Counter(
            "http_requests_shed",
            "Requests sent away because too many wait, by what there was too much of",
            ["reason"],
            registry=registry,
        )
        self.workflow_step_duration = Histogram(
            "workflow_step_duration_seconds",
            "Time a workflow step took",
            ["step", "outcome"],
            buckets=_SLOW,
            registry=registry,
        )
        self.ticket_processing_duration = Histogram(
            "ticket_processing_duration_seconds",
            "From taken in to final status",
            ["status"],
            buckets=_TICKET,
            registry=registry,
        )
        self.tickets_in_flight = Gauge("tickets_in_flight", "Tickets this process works on now", registry=registry)
        self.tickets_waiting = Gauge(
            "tickets_waiting", "Tickets that wait, by what for", ["waiting_for"], registry=registry
        )
        self.queue_depth = Gauge("queue_depth", "Messages waiting in a lane", ["lane"], registry=registry)
        self.outbox_pending = Gauge("outbox_pending", "Messages not yet published", registry=registry)
        self.outbox_oldest_age = Gauge(
            "outbox_oldest_age_seconds", "Age of the oldest unpublished message", registry=registry
        )
        self.dead_letters = Gauge("dead_letters", "Dead letters that nobody has redriven", registry=registry)
        self.ticket_retries = Counter("ticket_retries", "Times a ticket was tried again", ["reason"], registry=registry)
        self.lease_lost = Counter("lease_lost", "Tickets that another worker took over", registry=registry)
        self.llm_requests = Counter("llm_requests", "Calls to the model", ["model", "outcome"], registry=registry)
        self.llm_tokens = Counter("llm_tokens", "Tokens sent and received", ["model", "kind"], registry=registry)
        self.llm_cost_usd = Counter("llm_cost_usd", "What the model calls cost", ["model"], registry=registry)
        self.llm_breaker_open = Gauge(
            "llm_breaker_open",
            "1 while this process holds the model provider for down and asks it nothing",
            registry=registry,
        )
        self.db_commit_batch_size = Histogram(
            "db_commit_batch_size",
            "Changes that travelled in one database call",
            buckets=(1, 2, 5, 10, 20, 50, 100, 200, 500),
            registry=registry,
        )

    def set_gauges(self, gauges: Mapping[str, float | Mapping[str, float]], waiting_reasons: list[str]) -> None:
        """Take over what the database counted; a reason that nothing waits for is 0, not absent."""
        self.outbox_pending.set(_number(gauges["outbox_pending"]))
        self.outbox_oldest_age.set(_number(gauges["outbox_oldest_age_seconds"]))
        self.dead_letters.set(_number(gauges["dead_letters"]))
        waiting = gauges["waiting"]
        assert isinstance(waiting, Mapping)
        for reason in waiting_reasons:
            self.tickets_waiting.labels(reason).set(waiting.get(reason, 0))

    def render(self) -> bytes:
        """The exposition format that Prometheus scrapes."""
        return generate_latest(self.registry)


def _number(value: float | Mapping[str, float]) -> float:
    assert not isinstance(value, Mapping)
    return value
