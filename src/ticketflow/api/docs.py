"""What the OpenAPI document says that a route answers, and what it takes to call it."""

from __future__ import annotations

from collections.abc import Callable
from types import UnionType
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel

from ticketflow.api.authentication import PUBLIC
from ticketflow.api.models import Problem
from ticketflow.api.problems import CONTENT_TYPE

Responses = dict[int | str, dict[str, Any]]

_TOKEN = {
    "type": "http",
    "scheme": "bearer",
    "bearerFormat": "JWT",
    "description": (
        "A token of `ticketflow token`, or of a user of the configured Supabase project. Where neither is configured "
        "the caller is the local admin and none is needed. `X-Act-As: agent` narrows the caller's role; without "
        "configured tokens it may name a subject too, such as `customer:cus_mirela`."
    ),
}
_REFUSALS = {
    401: ("no token, or one that is not accepted", "unauthenticated", "Unauthorized", "the token is not accepted"),
    403: ("not with this role or token", "forbidden", "Forbidden", "this takes the role supervisor"),
    408: (
        "the body did not arrive in time",
        "too_slow",
        "Request Timeout",
        "the body did not arrive within 30 seconds",
    ),
    429: (
        "too many tickets; `Retry-After` says when to try again",
        "too_many_requests",
        "Too Many Requests",
        "no more than 30 tickets a minute",
    ),
}


def answers(ok: type[BaseModel] | UnionType | None, *problem_statuses: int) -> Responses:
    """A 200 of the shape ``ok``, and problem documents for the given statuses."""
    problems: Responses = {status: {"model": Problem} for status in problem_statuses}
    return problems if ok is None else {200: {"model": ok}, **problems}


def describe_problems(app: FastAPI) -> None:
    """Let the OpenAPI document say that errors travel as problem documents; FastAPI knows one media type a route."""

    def describe(document: dict[str, Any]) -> None:
        for _, operation in _operations(document):
            for status, response in operation["responses"].items():
                if int(status) >= 400:
                    response["content"] = {CONTENT_TYPE: response["content"].pop("application/json")}

    _describe(app, describe)


def describe_access(app: FastAPI) -> None:
    """Let the OpenAPI document say which operations take a token, and how they refuse."""

    def describe(document: dict[str, Any]) -> None:
        document["components"]["securitySchemes"] = {"token": _TOKEN}
        for path, operation in _operations(document):
            if path in PUBLIC:
                continue
            operation["security"] = [{"token": []}]
            for status, (description, code, title, detail) in _REFUSALS.items():
                if status == 429 and str(status) not in operation["responses"]:
                    continue
                if status == 408 and "requestBody" not in operation:
                    continue
                example = {
                    "type": f"https://ticketflow.dev/problems/{code}",
                    "title": title,
                    "status": status,
                    "detail": detail,
                    "code": code,
                    "request_id": "b0c6a1d20f3e4b7c9d8e7f6a5b4c3d2e",
                }
                operation["responses"][str(status)] = {
                    "description": description,
                    "content": {CONTENT_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}, "example": example}},
                }

    _describe(app, describe)


def _operations(document: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [(path, operation) for path, methods in document["paths"].items() for operation in methods.values()]


def _describe(app: FastAPI, describe: Callable[[dict[str, Any]], None]) -> None:
    """Add to the document once, when it is made."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        fresh = app.openapi_schema is None
        document = generate()
        if fresh:
            describe(document)
        return document

    app.openapi = openapi  # type: ignore[method-assign]
