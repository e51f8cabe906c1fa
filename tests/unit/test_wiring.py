"""What the composition root says about the model that it builds."""

from __future__ import annotations

from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.support.api import settings_for
from ticketflow import wiring
from ticketflow.measuring import Measured
from ticketflow.telemetry.metrics import Metrics

BOTH = {"price_input_per_million": 0.0, "price_output_per_million": 0.0}


@pytest.mark.parametrize(
    ("given", "warned"),
    [
        ({"OPENAI_API_KEY": "sk-test", "OPENAI_MODEL": "llama3.2"}, True),
        ({"OPENAI_API_KEY": "sk-test", "OPENAI_MODEL": "llama3.2", **BOTH}, False),
        ({"OPENAI_API_KEY": "sk-test", "OPENAI_MODEL": "gpt-4o-mini-2024-07-18"}, False),
        ({}, False),
    ],
)
def test_a_model_without_a_price_is_named_once_at_the_start(given: dict[str, Any], warned: bool) -> None:
    with capture_logs() as records:
        wiring.model(settings_for("postgresql://127.0.0.1/none", **given), Measured(Metrics()))
    assert [record["event"] for record in records] == ["llm.price_unknown"] * warned
    for record in records:
        assert (record["log_level"], record["model"]) == ("warning", "llama3.2")
        assert "TICKETFLOW_PRICE_INPUT_PER_MILLION" in record["hint"]
        assert "TICKETFLOW_PRICE_OUTPUT_PER_MILLION" in record["hint"]
