"""What the OpenAPI document says that a route answers."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from ticketflow.api.models import Problem

Responses = dict[int | str, dict[str, Any]]


def answers(ok: type[BaseModel] | None, *problem_statuses: int) -> Responses:
    """A 200 of the shape ``ok``, and problem documents for the given statuses."""
    problems: Responses = {
        status: {"model": Problem, "content": {"application/problem+json": {}}} for status in problem_statuses
    }
    return problems if ok is None else {200: {"model": ok}, **problems}
