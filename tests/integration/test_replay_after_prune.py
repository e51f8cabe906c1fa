"""What is still open to a ticket whose checkpoints were pruned, with a real worker at work on it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from tests.support.api import Api, assert_problem
from tests.support.openai_server import OpenAIServer, running_server
from tests.support.pipeline import KEY, STEPS, at_work, ended, steps
from ticketflow.services.verify import verify


@pytest.fixture
async def model() -> AsyncIterator[OpenAIServer]:
    async with running_server(api_key=KEY) as server:
        yield server


@pytest.fixture
async def api(database_url: str, model: OpenAIServer) -> AsyncIterator[Api]:
    async with at_work(database_url, model) as serving:
        yield serving


async def test_a_pruned_ticket_is_shown_as_before_and_replayed_from_its_first_step_alone(api: Api) -> None:
    ticket_id = await api.ticket(subject="Firmware update fails", body="The sync stops with error 7.")
    done = await ended(api, ticket_id)
    shown = [f"/tickets/{ticket_id}{part}" for part in ("", "/events", "/workflow", "/state?version=4")]
    before = [(await api.http.get(path)).json() for path in shown]
    soon = datetime.now(UTC) + timedelta(hours=1)
    [pruned] = [batch async for batch in api.app.retention.prune(soon, whole=False, batch=10, dry_run=False)]
    assert (pruned.tickets, pruned.checkpoints) == (1, len(STEPS))
    assert [(await api.http.get(path)).json() for path in shown] == before
    assert not (await verify(api.app.reads)).violations

    late = await api.http.post(f"/tickets/{ticket_id}/replay", json={"from_step": "draft"})
    assert_problem(late, 422, "invalid", "from_step")
    assert "pruned" in late.json()["errors"][0]["message"]
    assert (await api.http.get(f"/tickets/{ticket_id}")).json()["version"] == done["version"]

    again = await api.http.post(f"/tickets/{ticket_id}/replay", json={"from_step": "classify"})
    assert again.status_code == 200
    assert (await ended(api, ticket_id))["attempt"] == 2
    assert [event["step_name"] for event in await steps(api, ticket_id)] == [*STEPS, *STEPS]
    assert not (await verify(api.app.reads)).violations
