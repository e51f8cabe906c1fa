"""What the OpenAPI document says that a route answers."""

from __future__ import annotations

from types import UnionType
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel

from ticketflow.api.models import Problem
from ticketflow.api.problems import CONTENT_TYPE

Responses = dict[int | str, dict[str, Any]]


def answers(ok: type[BaseModel] | UnionType | None, *problem_statuses: int) -> Responses:
    """A 200 of the shape ``ok``, and problem documents for the given statuses."""
    problems: Responses = {status: {"model": Problem} for status in problem_statuses}
    return problems if ok is None else {200: {"model": ok}, **problems}


def describe_problems(app: FastAPI) -> None:
    """Let the OpenAPI document say that errors travel as problem documents; FastAPI knows one media type a route."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        fresh = app.openapi_schema is None
        document = generate()
        for operation in (operation for path in document["paths"].values() for operation in path.values()):
            for status, response in operation["responses"].items():
                if fresh and int(status) >= 400:
                    response["content"] = {CONTENT_TYPE: response["content"].pop("application/json")}
        return document

    app.openapi = openapi  # type: ignore[method-assign]
