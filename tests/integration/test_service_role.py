"""The application as Supabase's service_role: no owner, no superuser, and everything that it does still works."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from tests.support.access import SECRET, bearer
from tests.support.api import Api
from tests.support.openai_server import OpenAIServer, running_server
from tests.support.pipeline import KEY, STEPS, at_work, ended, steps
from tests.support.postgrest import rest_api
from tests.support.supabase import as_service
from tests.support.trails import tables_that_name
from ticketflow.db.migrate import migrate, pending
from ticketflow.domain.errors import ConfigurationError
from ticketflow.domain.roles import Role


@pytest.fixture
async def model() -> AsyncIterator[OpenAIServer]:
    async with running_server(api_key=KEY) as server:
        yield server


@pytest.fixture(params=["direct", "rest"])
async def api(request: pytest.FixtureRequest, project: str, model: OpenAIServer) -> AsyncIterator[Api]:
    """By a login that takes the role, and through the project's REST interface."""
    if request.param == "direct":
        async with at_work(as_service(project), model) as serving:
            assert await serving.sql("select current_user::text") == [("service_role",)]
            yield serving
        return
    with rest_api(project) as rest:
        way = {"DATABASE_URL": None, "SUPABASE_URL": rest.url, "SUPABASE_KEY": rest.secret_key}
        async with at_work(as_service(project), model, token_secret=SECRET, **way) as serving:
            serving.http.headers.update(bearer(Role.ADMIN))
            yield serving


async def test_a_ticket_goes_from_intake_through_a_replay_to_its_removal(api: Api, project: str) -> None:
    kept, gone = [await api.ticket(subject=f"The lock is stuck {uuid4()}") for _ in range(2)]
    for ticket_id in (kept, gone):
        assert (await ended(api, ticket_id))["status"] == "completed"
        assert [step["step_name"] for step in await steps(api, ticket_id)] == STEPS
    assert (await api.http.post(f"/tickets/{kept}/replay", json={"from_step": "draft"})).status_code == 200
    assert (await ended(api, kept, lambda ticket: ticket["attempt"] == 2 and ticket["status"] == "completed"))["result"]
    for path in (
        "/tickets",
        "/stats",
        "/dead-letters",
        f"/tickets/{kept}/workflow",
        f"/tickets/{kept}/state?version=2",
    ):
        assert (await api.http.get(path)).status_code == 200, path
    before = datetime.now(UTC) + timedelta(hours=1)
    [checkpoints] = [each async for each in api.app.retention.prune(before, whole=False, batch=9, dry_run=False)]
    assert (checkpoints.tickets, checkpoints.events) == (2, 0)
    [whole] = [each async for each in api.app.retention.prune(before, whole=True, batch=9, dry_run=False)]
    assert whole.tickets == 2
    assert tables_that_name(project, kept) | tables_that_name(project, gone) <= {"queue_messages"}


async def test_a_ticket_is_paused_resumed_cancelled_retried_and_redriven(
    api: Api, model: OpenAIServer, project: str
) -> None:
    model.faults.held = ["draft"]
    ticket_id = await api.ticket()
    await ended(api, ticket_id, lambda ticket: ticket["status"] == "processing")
    for move in ("pause", "resume", "cancel", "retry"):
        assert (await api.http.post(f"/tickets/{ticket_id}/{move}", json={})).status_code == 200, move
    model.faults.held = []
    assert (await ended(api, ticket_id))["status"] == "completed"
    letter = UUID(int=7)
    await api.app.reads.record_dead_message(letter, None, "poison", "no message", {"body": "x"})
    assert (await api.http.get(f"/dead-letters/{letter}")).status_code == 200


async def test_it_sees_that_the_schema_is_complete_and_cannot_make_one(api: Api, project: str) -> None:
    assert await pending(as_service(project)) == []
    assert await migrate(as_service(project), only_empty=True) == []
    with pytest.raises(ConfigurationError, match="user lacks rights: permission denied"):
        await migrate(as_service(project))
