"""What people do with tickets under way: pause, resume, cancel, retry, replay, with a real worker at work on them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import pytest

from tests.support.api import Api, assert_problem
from tests.support.openai_server import OpenAIServer, running_server
from tests.support.pipeline import KEY, STEPS, at_work, ended, reached, steps, trail

BEGUN = ["created", "status_change", "lifecycle", "lifecycle"]
"""A trail up to the first step."""
ASKED = {"classify": 1, "draft": 1, "review": 1}


@pytest.fixture
async def model() -> AsyncIterator[OpenAIServer]:
    async with running_server(api_key=KEY) as server:
        yield server


@pytest.fixture
async def api(database_url: str, model: OpenAIServer) -> AsyncIterator[Api]:
    async with at_work(database_url, model, lease_seconds=1.5) as serving:
        yield serving


async def held_at(api: Api, model: OpenAIServer, task: str, **fields: Any) -> UUID:
    """A ticket whose ``task`` is with the model, which does not answer yet."""
    model.faults.held = [task]
    before = model.stats.calls[task]
    ticket_id = await api.ticket(subject="Firmware update fails", body="The sync stops with error 7.", **fields)
    await reached(lambda: model.stats.calls[task] > before)
    return ticket_id


async def move(api: Api, ticket_id: UUID, name: str, status: int = 200, **body: Any) -> dict[str, Any]:
    answer = await api.http.post(f"/tickets/{ticket_id}/{name}", json=body)
    assert answer.status_code == status, answer.text
    moved: dict[str, Any] = answer.json()
    return moved


async def until_quiet(api: Api, ticket_id: UUID) -> None:
    """Until nobody holds the ticket and nothing is on its way to it."""
    query = "select count(*) = 0 and (select count(*) = 0 from outbox) from leases where ticket_id = %s"

    async def quiet() -> bool:
        return await api.sql(query, ticket_id) == [(True,)]

    await reached(quiet)


async def kinds(api: Api, ticket_id: UUID) -> list[str]:
    return [event["step_name"] or event["event_type"] for event in await trail(api, ticket_id)]


async def test_a_pause_keeps_the_step_that_runs_and_resuming_repeats_nothing(api: Api, model: OpenAIServer) -> None:
    ticket_id = await held_at(api, model, "draft")
    paused = await move(api, ticket_id, "pause", reason="the customer is on the phone")
    assert (paused["status"], paused["waiting_for"]) == ("waiting", "paused")
    model.faults.held = []
    await until_quiet(api, ticket_id)
    assert await kinds(api, ticket_id) == [*BEGUN, "classify", "extract", "research", "paused", "draft"]
    ticket = (await api.http.get(f"/tickets/{ticket_id}")).json()
    assert (ticket["status"], ticket["waiting_for"], ticket["attempt"]) == ("waiting", "paused", 1)
    # Nothing is held or spent, and only a person will wake it.
    assert await api.sql("select count(*) from leases") == await api.sql("select count(*) from timers") == [(0,)]
    assert (await api.http.get(f"/tickets/{ticket_id}/workflow")).json()["current_step"] == "review"

    await move(api, ticket_id, "resume")
    assert (await ended(api, ticket_id))["status"] == "completed"
    assert [event["step_name"] for event in await steps(api, ticket_id)] == STEPS
    assert model.stats.calls == ASKED
    [why] = [event for event in await trail(api, ticket_id) if event["event_type"] == "paused"]
    assert (why["actor"], why["payload"]) == (
        "admin:local",
        {"from": "processing", "reason": "the customer is on the phone"},
    )
    assert why["request_id"]


async def test_a_paused_ticket_that_was_not_begun_is_not_touched_until_it_is_resumed(
    database_url: str, model: OpenAIServer
) -> None:
    async with at_work(database_url, model, worker_concurrency=1) as api:
        first = await held_at(api, model, "classify")
        second = await api.ticket()
        await move(api, second, "pause")
        model.faults.held = []
        await ended(api, first)
        await until_quiet(api, second)
        assert await kinds(api, second) == ["created", "paused"]
        await move(api, second, "resume")
        assert (await ended(api, second))["status"] == "completed"


async def test_a_step_that_runs_while_its_ticket_is_paused_and_resumed_is_refused_and_run_again(
    api: Api, model: OpenAIServer
) -> None:
    ticket_id = await held_at(api, model, "draft")
    await move(api, ticket_id, "pause")
    await move(api, ticket_id, "resume")
    await reached(lambda: model.stats.calls["draft"] == 2)
    model.faults.held = []
    await ended(api, ticket_id)
    assert [event["step_name"] for event in await steps(api, ticket_id)] == STEPS


@pytest.mark.parametrize("task", ["classify", "draft"])
async def test_a_late_result_of_a_cancelled_ticket_is_refused(api: Api, model: OpenAIServer, task: str) -> None:
    ticket_id = await held_at(api, model, task)
    before = await kinds(api, ticket_id)
    cancelled = await move(api, ticket_id, "cancel", reason="sent by mistake")
    assert (cancelled["status"], cancelled["waiting_for"]) == ("cancelled", None)
    assert cancelled["completed_at"] is not None
    model.faults.held = []
    other = await api.ticket()
    await ended(api, other)
    assert await kinds(api, ticket_id) == [*before, "cancelled"]
    assert await api.sql("select count(*) from leases") == [(0,)]
    metrics = (await api.http.get("/metrics")).text
    assert 'tickets_processed_total{status="cancelled"} 1.0' in metrics
    assert "lease_lost_total 0.0" in metrics


async def test_a_heartbeat_ends_the_model_call_of_a_cancelled_ticket(api: Api, model: OpenAIServer) -> None:
    ticket_id = await held_at(api, model, "draft")
    assert model.stats.in_flight == 1
    await move(api, ticket_id, "cancel")

    # The model still does not answer.
    async def idle() -> bool:
        return "tickets_in_flight 0.0" in (await api.http.get("/metrics")).text

    await reached(idle)
    assert "lease_lost_total 0.0" in (await api.http.get("/metrics")).text


async def test_a_cancelled_ticket_can_be_tried_again_from_where_it_stopped(api: Api, model: OpenAIServer) -> None:
    ticket_id = await held_at(api, model, "draft")
    await move(api, ticket_id, "cancel")
    model.faults.held = []
    retried = await move(api, ticket_id, "retry")
    assert (retried["status"], retried["attempt"], retried["completed_at"]) == ("pending", 2, None)
    assert (await ended(api, ticket_id))["status"] == "completed"
    assert [event["step_name"] for event in await steps(api, ticket_id)] == STEPS
    assert (model.stats.calls["classify"], model.stats.calls["review"]) == (1, 1)


async def test_a_wait_for_the_next_attempt_can_be_paused_and_goes_on_with_that_attempt(
    database_url: str, model: OpenAIServer
) -> None:
    async with at_work(database_url, model, retry_base_seconds=600, retry_ceiling_seconds=600, model_attempts=1) as api:
        model.faults.next = ["error"]
        ticket_id = await api.ticket()
        await ended(api, ticket_id, lambda ticket: ticket["waiting_for"] == "retry")
        paused = await move(api, ticket_id, "pause")
        assert (paused["waiting_for"], paused["attempt"]) == ("paused", 2)
        assert await api.sql("select count(*) from timers") == [(0,)]
        await move(api, ticket_id, "resume")
        ticket = await ended(api, ticket_id)
        assert (ticket["status"], ticket["attempt"]) == ("completed", 2)


async def test_a_replay_runs_again_from_its_step_as_a_recorded_attempt(api: Api, model: OpenAIServer) -> None:
    ticket_id = await api.ticket(subject="Firmware update fails", body="The sync stops with error 7.")
    first = await ended(api, ticket_id)
    replayed = await move(api, ticket_id, "replay", from_step="draft", reason="a better article")
    assert (replayed["status"], replayed["attempt"], replayed["result"]) == ("pending", 2, None)
    second = await ended(api, ticket_id)
    assert (second["status"], second["attempt"]) == ("completed", 2)
    assert [event["step_name"] for event in await steps(api, ticket_id)] == [*STEPS, "draft", "review", "finalize"]
    assert [event["payload"]["attempt"] for event in await steps(api, ticket_id)] == [1] * 6 + [2] * 3
    assert model.stats.calls == {"classify": 1, "draft": 2, "review": 2}
    assert second["result"]["usage"]["calls"] == 3
    # The first result stays to be seen.
    was = (await api.http.get(f"/tickets/{ticket_id}/state", params={"version": first["version"]})).json()
    assert was["result"] == first["result"]
    [event] = [event for event in await trail(api, ticket_id) if event["event_type"] == "replayed"]
    assert event["payload"]["from_step"] == "draft"
    assert (event["payload"]["attempt"], event["payload"]["reason"]) == (2, "a better article")


@pytest.mark.parametrize("step", STEPS)
async def test_every_step_can_be_the_first_of_a_replay_and_any_number_of_times(
    api: Api, model: OpenAIServer, step: str
) -> None:
    ticket_id = await api.ticket(subject="Firmware update fails", body="The sync stops with error 7.")
    await ended(api, ticket_id)
    for _ in range(2):
        await move(api, ticket_id, "replay", from_step=step)
        assert (await ended(api, ticket_id))["status"] == "completed"
    again = STEPS[STEPS.index(step) :]
    assert [event["step_name"] for event in await steps(api, ticket_id)] == [*STEPS, *again, *again]
    # And then from one that lies before.
    await move(api, ticket_id, "replay", from_step="extract")
    assert [event["step_name"] for event in (await steps(api, ticket_id))][-1] == "finalize"
    assert (await ended(api, ticket_id))["attempt"] == 4


async def test_a_replay_from_extract_asks_for_the_facts_anew(api: Api, model: OpenAIServer) -> None:
    ticket_id = await api.ticket(subject="Firmware update fails", body="The sync stops with error 7.")
    await ended(api, ticket_id)
    assert model.stats.calls["extract"] == 0
    await move(api, ticket_id, "replay", from_step="extract")
    assert (await ended(api, ticket_id))["result"]["usage"]["calls"] == 4
    assert model.stats.calls == {"classify": 1, "extract": 1, "draft": 2, "review": 2}
    last = [event for event in await steps(api, ticket_id) if event["step_name"] == "extract"][-1]
    assert (last["payload"]["usage"]["calls"], last["payload"]["prompt_version"].split("-")[0]) == (1, "extract")


async def test_a_replay_from_the_first_step_forgets_what_the_pipeline_had_judged(api: Api, model: OpenAIServer) -> None:
    ticket_id = await api.ticket(subject="Charged twice", body="One invoice too many.")
    assert (await ended(api, ticket_id))["category"] == "billing"
    model.faults.content = (
        '{"category": "technical", "priority": "low", "confidence": 0.9, "language": "en", "reason": "another look",'
        ' "facts": {"order_id": null, "product": null, "issue_type": null, "urgency": null}}'
    )
    model.faults.held = ["draft"]
    replayed = await move(api, ticket_id, "replay", from_step="classify")
    assert (replayed["category"], replayed["priority"], replayed["team"], replayed["tags"]) == (None, None, None, [])
    await reached(lambda: model.stats.calls["draft"] == 2)
    model.faults.content, model.faults.held = None, []
    assert (await ended(api, ticket_id))["category"] == "technical"


async def test_a_draft_that_was_revised_is_replayed_from_the_first(api: Api, model: OpenAIServer) -> None:
    ticket_id = await api.ticket(subject="Firmware update fails [[revise]]", body="The sync stops with error 7.")
    await ended(api, ticket_id)
    run = [event["step_name"] for event in await steps(api, ticket_id)]
    await move(api, ticket_id, "replay", from_step="draft")
    await ended(api, ticket_id)
    rounds = [event["payload"]["round"] for event in await steps(api, ticket_id) if event["step_name"] == "draft"]
    once = run.count("draft")
    assert rounds == [*range(1, once + 1)] * 2


async def test_a_replay_from_where_the_ticket_never_was_names_where_it_was(api: Api, model: OpenAIServer) -> None:
    urgent = await api.ticket(subject="URGENT: door lock offline", body="Total outage, the lock is broken.")
    version = (await ended(api, urgent))["version"]
    for wrong in ("draft", "no-such-step", "CLASSIFY", "' or 1=1 --"):
        answer = await api.http.post(f"/tickets/{urgent}/replay", json={"from_step": wrong})
        problem = assert_problem(answer, 422, "invalid", "from_step")
        assert "classify, extract, finalize" in problem["errors"][0]["message"]
    for body in ({}, {"from_step": ""}, {"from_step": 5}, {"from_step": "x" * 51}, {"from_step": "draft", "to": 1}):
        assert_problem(await api.http.post(f"/tickets/{urgent}/replay", json=body), 422, "invalid")
    assert (await api.http.get(f"/tickets/{urgent}")).json()["version"] == version


async def test_a_failed_ticket_is_replayed_from_before_its_failure_and_its_dead_letter_is_closed(
    api: Api, model: OpenAIServer
) -> None:
    model.faults.refuse_every = 1
    ticket_id = await api.ticket()
    assert (await ended(api, ticket_id))["status"] == "failed_permanent"
    model.faults.refuse_every = 0
    await move(api, ticket_id, "replay", from_step="classify")
    assert (await ended(api, ticket_id))["status"] == "completed"
    [letter] = (await api.http.get("/dead-letters", params={"include_redriven": True})).json()["items"]
    assert letter["redriven_by"] == "admin:local"


async def test_attempts_before_a_person_asked_for_another_do_not_count(database_url: str, model: OpenAIServer) -> None:
    async with at_work(database_url, model, max_attempts=2, model_attempts=1) as api:
        model.faults.next = ["error", "error"]
        ticket_id = await api.ticket()
        assert (await ended(api, ticket_id))["attempt"] == 2
        model.faults.next = ["error"]
        await move(api, ticket_id, "retry")
        ticket = await ended(api, ticket_id, lambda ticket: ticket["status"] == "completed")
        assert (ticket["attempt"], ticket["excused_attempts"]) == (4, 2)


async def test_what_is_not_open_is_refused_with_what_is(api: Api, model: OpenAIServer) -> None:
    ticket_id = await api.ticket(subject="Firmware update fails", body="The sync stops with error 7.")
    version = (await ended(api, ticket_id))["version"]
    for name in ("pause", "resume", "cancel", "retry"):
        problem = assert_problem(await api.http.post(f"/tickets/{ticket_id}/{name}"), 409, "invalid_move")
        assert problem["allowed"] == ["replay"]
    for name in ("pause", "resume", "cancel"):
        assert_problem(await api.http.post(f"/tickets/{uuid4()}/{name}"), 404, "not_found")
        for body in ({"reason": ""}, {"reason": " "}, {"reason": "x" * 501}, {"reason": "\x00"}, {"why": "x"}, []):
            assert_problem(await api.http.post(f"/tickets/{ticket_id}/{name}", json=body), 422, "invalid")
        stale = await api.http.post(f"/tickets/{ticket_id}/{name}", headers={"If-Match": '"1"'})
        assert_problem(stale, 412, "stale_version")
    assert (await api.http.get(f"/tickets/{ticket_id}")).json()["version"] == version


async def test_of_many_pauses_at_once_one_is_made(api: Api, model: OpenAIServer) -> None:
    ticket_id = await held_at(api, model, "classify")
    answers = await asyncio.gather(*(api.http.post(f"/tickets/{ticket_id}/pause") for _ in range(20)))
    assert sorted(answer.status_code for answer in answers) == [200] + [409] * 19
    model.faults.held = []
    await until_quiet(api, ticket_id)
    assert (await kinds(api, ticket_id)).count("paused") == 1
    await move(api, ticket_id, "cancel")
