"""Every operation of the OpenAPI document under generated input: never a 5xx, and only answers that it promises."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
import pytest_asyncio
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.support.api import Api, settings_for
from tests.support.trails import TTL, complete, fail, new_ticket, put_aside
from ticketflow.api.app import create_app
from ticketflow.db.leases import Leases

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
EXAMPLES = 20
STREAM = "/tickets/{ticket_id}/events/stream"

schema = schemathesis.openapi.from_dict(create_app(settings_for("postgresql://nobody@nowhere/")).openapi())
OPERATIONS = [result.ok() for result in schema.get_all_operations()]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def known(bare_api: Api) -> dict[str, list[str]]:
    """Ids that exist, of tickets in every state and of dead letters."""
    commits, leases = bare_api.app.commits, Leases(bare_api.app.gateway, "worker-1", TTL, ["1"])
    tickets = [await new_ticket(commits, wake=False, tags=["a"], metadata={"a": [1]}) for _ in range(6)]
    await complete(commits, leases, tickets[1])
    await fail(commits, leases, tickets[2])
    await fail(commits, leases, tickets[3])
    await put_aside(commits, leases, tickets[4], timedelta(hours=1))
    await bare_api.app.reads.record_dead_message(UUID(int=7), None, "message", "not JSON", {"body": "{"})
    letters = await bare_api.app.reads.dead_letters(limit=10)
    return {"ticket_id": [str(each) for each in tickets], "letter_id": [str(letter.id) for letter in letters]}


def everything_worth_trying() -> list[Any]:
    """Every operation with input as described, and those that take any with input that is not."""
    tries = [(operation, GenerationMode.POSITIVE) for operation in OPERATIONS]
    tries += [(each, GenerationMode.NEGATIVE) for each in OPERATIONS if list(each.iter_parameters()) or each.body]
    return [pytest.param(operation, mode, id=f"{operation.label} {mode.value}") for operation, mode in tries]


@pytest.mark.parametrize(("operation", "mode"), everything_worth_trying())
@pytest.mark.asyncio(loop_scope="module")
async def test_answers_as_promised(
    bare_api: Api, known: dict[str, list[str]], operation: Any, mode: GenerationMode
) -> None:
    url = str(bare_api.http.base_url)
    # A stream that begins never ends: only unknown tickets are followed here.
    named = [name for name in known if f"{{{name}}}" in operation.path and operation.path != STREAM]
    real_ids = st.none() | st.fixed_dictionaries({name: st.sampled_from(known[name]) for name in named})

    with requests.Session() as session:
        session.trust_env = False

        @given(case=operation.as_strategy(generation_mode=mode), ids=real_ids)
        @settings(
            max_examples=EXAMPLES,
            derandomize=True,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        )
        def fuzz(case: schemathesis.Case, ids: dict[str, str] | None) -> None:
            case.path_parameters.update(ids or {})
            case.call_and_validate(base_url=url, session=session, checks=CHECKS, timeout=20)

        await asyncio.to_thread(fuzz)


def test_the_document_names_every_operation_and_its_problems() -> None:
    document = schema.raw_schema
    assert len(OPERATIONS) >= 15
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            where = f"{method.upper()} {path}"
            assert operation["description"], where
            for status, response in operation["responses"].items():
                if int(status) >= 400:
                    assert list(response["content"]) == ["application/problem+json"], where
                    problem = response["content"]["application/problem+json"]["schema"]
                    assert problem == {"$ref": "#/components/schemas/Problem"}, where
    assert document["components"]["schemas"]["NewTicketBody"]["examples"]
