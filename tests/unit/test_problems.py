"""Which HTTP status an error means, and what its problem document says."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from starlette.requests import Request

from ticketflow.api.problems import on_ticketflow_error
from ticketflow.domain import errors

REQUEST = Request({"type": "http", "method": "GET", "path": "/", "headers": [], "ticketflow.request_id": "req-1"})


async def answered(error: Exception) -> tuple[int, dict[str, Any], dict[str, str]]:
    response = await on_ticketflow_error(REQUEST, error)
    assert response.media_type == "application/problem+json"
    problem = json.loads(bytes(response.body))
    assert (problem["status"], problem["request_id"]) == (response.status_code, "req-1")
    return response.status_code, problem, dict(response.headers)


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (errors.NotFound("x"), 404, "not_found"),
        (errors.Conflict("x"), 409, "conflict"),
        (errors.InvalidMove("x"), 409, "invalid_move"),
        (errors.StaleVersion(1, 2), 412, "stale_version"),
        (errors.Invalid("x"), 422, "invalid"),
        (errors.Poison("x"), 422, "invalid"),
        (errors.StoreUnavailable("x"), 503, "store_unavailable"),
        (errors.BrokerUnavailable("x"), 503, "broker_unavailable"),
        (errors.RateLimited("x"), 503, "rate_limited"),
        (errors.ConfigurationError("x"), 500, "internal_error"),
        (errors.LeaseLost("x"), 500, "internal_error"),
    ],
)
async def test_each_kind_of_error_has_its_status(error: Exception, status: int, code: str) -> None:
    found, problem, _ = await answered(error)
    assert (found, problem["code"]) == (status, code)


@pytest.mark.parametrize(("wait", "header"), [(None, "1"), (0.0, "1"), (2.1, "3"), (60.0, "60")])
async def test_what_time_will_mend_says_when_to_come_back(wait: float | None, header: str) -> None:
    retry_after = None if wait is None else timedelta(seconds=wait)
    _, _, headers = await answered(errors.RateLimited("x", retry_after))
    assert headers["retry-after"] == header


async def test_an_illegal_move_lists_the_legal_ones() -> None:
    _, problem, _ = await answered(errors.InvalidMove("no", ["assign", "close"]))
    assert problem["allowed"] == ["assign", "close"]


async def test_an_invalid_field_is_named() -> None:
    _, problem, _ = await answered(errors.Invalid("no", [errors.FieldProblem("at", "too early")]))
    assert problem["errors"] == [{"field": "at", "message": "too early"}]


@pytest.mark.parametrize(
    "error",
    [
        errors.Poison("value too long: hunter2"),
        errors.StoreUnavailable("connection to hunter2 failed"),
        errors.ConfigurationError("hunter2"),
    ],
)
async def test_the_words_of_the_store_stay_in_the_log(error: Exception) -> None:
    _, problem, _ = await answered(error)
    assert "hunter2" not in json.dumps(problem)
