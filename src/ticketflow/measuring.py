"""Measuring: what the rooms below report, counted into the metrics."""

from __future__ import annotations

from typing import get_args

from ticketflow.access.room import Shed
from ticketflow.domain.delivery import RETRY_REASONS
from ticketflow.domain.tickets import TERMINAL, Channel, Status
from ticketflow.llm.observe import Outcome
from ticketflow.llm.port import Usage
from ticketflow.telemetry.metrics import Metrics
from ticketflow.workflow.state import STEP_OUTCOMES, StepName


class Measured:
    """Every observer port of the rooms below, counted into the metrics.

    Series whose labels are known beforehand begin at 0: Prometheus sees no increase in one that appears with a 1.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        for channel in Channel:
            metrics.tickets_created.labels(channel.value)
        for status in TERMINAL:
            metrics.tickets_processed.labels(status.value)
            metrics.ticket_processing_duration.labels(status.value)
        for step in StepName:
            for step_outcome in STEP_OUTCOMES:
                metrics.workflow_step_duration.labels(step.value, step_outcome)
        for reason in RETRY_REASONS:
            metrics.ticket_retries.labels(reason)
        for shed in Shed:
            metrics.requests_shed.labels(shed.value)

    def model_chosen(self, model: str) -> None:
        """From now on this model is asked."""
        for outcome in get_args(Outcome):
            self._metrics.llm_requests.labels(model, outcome)
        for kind in ("input", "output"):
            self._metrics.llm_tokens.labels(model, kind)
        self._metrics.llm_cost_usd.labels(model)

    def created(self, channel: Channel) -> None:
        self._metrics.tickets_created.labels(channel.value).inc()

    def stepped(self, step: str, outcome: str, seconds: float) -> None:
        self._metrics.workflow_step_duration.labels(step, outcome).observe(seconds)

    def in_flight(self, tickets: int) -> None:
        self._metrics.tickets_in_flight.set(tickets)

    def processed(self, status: Status, seconds: float) -> None:
        self._metrics.tickets_processed.labels(status.value).inc()
        self._metrics.ticket_processing_duration.labels(status.value).observe(seconds)

    def retried(self, reason: str) -> None:
        self._metrics.ticket_retries.labels(reason).inc()

    def lease_lost(self) -> None:
        self._metrics.lease_lost.inc()

    def breaker_changed(self, is_open: bool) -> None:
        self._metrics.llm_breaker_open.set(int(is_open))

    def answered(self, model: str, outcome: Outcome, usage: Usage) -> None:
        self._metrics.llm_requests.labels(model, outcome).inc()
        self._metrics.llm_tokens.labels(model, "input").inc(usage.input_tokens)
        self._metrics.llm_tokens.labels(model, "output").inc(usage.output_tokens)
        self._metrics.llm_cost_usd.labels(model).inc(usage.cost_micro_usd / 1_000_000)
