"""One ticket over HTTP: as it is, as it was, what happened to it, how its steps went, and trying it again."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from tests.support.api import Api, assert_problem
from tests.support.trails import applied, at_version, claimed, complete, event, fail, put_aside, step_done, under
from ticketflow.db.leases import Leases
from ticketflow.domain.events import Event, EventType, fold


async def get(api: Api, ticket_id: UUID, rest: str = "") -> Any:
    answer = await api.http.get(f"/tickets/{ticket_id}{rest}")
    assert answer.status_code == 200, answer.text
    return answer.json()


async def trail(api: Api, ticket_id: UUID) -> list[Event]:
    events = await api.app.reads.events(ticket_id)
    assert events is not None
    return events


def as_json(state: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value.isoformat().replace("+00:00", "Z") if isinstance(value, datetime) else value
        for name, value in state.items()
        if name != "fingerprint"
    }


async def test_the_etag_is_the_version(api: Api, leases: Leases) -> None:
    ticket_id = await api.ticket()
    assert (await api.http.get(f"/tickets/{ticket_id}")).headers["etag"] == '"1"'
    await complete(api.app.commits, leases, ticket_id)
    answer = await api.http.get(f"/tickets/{ticket_id}")
    assert answer.headers["etag"] == f'"{answer.json()["version"]}"' == '"6"'


async def test_a_completed_ticket_shows_its_result(api: Api, leases: Leases) -> None:
    ticket_id = await api.ticket()
    await complete(api.app.commits, leases, ticket_id)
    ticket = await get(api, ticket_id)
    assert (ticket["status"], ticket["category"]) == ("completed", "billing")
    assert ticket["result"]["reply"] == "Here is how."
    assert ticket["started_at"] < ticket["completed_at"] == ticket["updated_at"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/tickets/{id}"),
        ("GET", "/tickets/{id}/events"),
        ("GET", "/tickets/{id}/events/stream"),
        ("GET", "/tickets/{id}/state"),
        ("GET", "/tickets/{id}/workflow"),
        ("POST", "/tickets/{id}/retry"),
        ("GET", "/dead-letters/{id}"),
        ("POST", "/dead-letters/{id}/redrive"),
    ],
)
@pytest.mark.asyncio(loop_scope="module")
async def test_an_unknown_id_is_not_found_and_a_malformed_one_is_invalid(bare_api: Api, method: str, path: str) -> None:
    assert_problem(await bare_api.http.request(method, path.format(id=uuid4())), 404, "not_found")
    field = "letter_id" if "dead" in path else "ticket_id"
    for malformed in ("7", "%00", "6f1f6c0e-5d0b-5c55-9d3a-0f6b7a5f9b0", "x" * 300, "%ed%a0%80"):
        assert_problem(await bare_api.http.request(method, path.format(id=malformed)), 422, "invalid", field)


async def test_events_come_in_order_and_after_a_seq(api: Api, leases: Leases) -> None:
    ticket_id = await api.ticket()
    await complete(api.app.commits, leases, ticket_id)
    everything = (await get(api, ticket_id, "/events"))["items"]
    assert [item["seq"] for item in everything] == [1, 2, 3, 4, 5, 6]
    assert [item["event_type"] for item in everything] == [
        "created",
        "status_change",
        "lifecycle",
        "lifecycle",
        "step_complete",
        "status_change",
    ]
    assert everything[4].keys() == {
        "id",
        "ticket_id",
        "seq",
        "event_type",
        "step_name",
        "actor",
        "payload",
        "changes",
        "request_id",
        "created_at",
    }
    for after in range(5):
        assert (await get(api, ticket_id, f"/events?after={after}"))["items"] == everything[after:]
    assert_problem(await api.http.get(f"/tickets/{ticket_id}/events?after=-1"), 422, "invalid", "after")


async def test_the_state_at_each_version_is_the_fold_of_the_trail_up_to_it(api: Api, leases: Leases) -> None:
    ticket_id = await api.ticket(tags=["new"])
    await applied(api.app.commits, at_version(ticket_id, 1, event(tags=["new", "vip"], priority="high")))
    await fail(api.app.commits, leases, ticket_id)
    await api.http.post(f"/tickets/{ticket_id}/retry")
    await complete(api.app.commits, leases, ticket_id)
    events = await trail(api, ticket_id)
    states = []
    for version in range(1, len(events) + 1):
        state = await get(api, ticket_id, f"/state?version={version}")
        assert state == as_json(fold(events[:version]))
        assert await get(api, ticket_id, f"/state?at={state['updated_at']}") == state or (
            events[version : version + 1] and events[version].created_at == events[version - 1].created_at
        )
        states.append(state)
    assert [state["status"] for state in states] == [
        "pending",
        "pending",
        *["processing"] * 4,
        "failed_permanent",
        "pending",
        "processing",
        "processing",
        "completed",
    ]
    ticket = await get(api, ticket_id)
    assert await get(api, ticket_id, "/state") == states[-1] == ticket
    for version in (0, len(events) + 1, 10**8):
        answer = await api.http.get(f"/tickets/{ticket_id}/state?version={version}")
        assert_problem(answer, 422, "invalid", "version")


async def test_a_time_before_the_ticket_or_without_zone_or_beside_a_version_is_refused(api: Api) -> None:
    ticket_id = await api.ticket()
    for query in ("at=2020-01-01T00:00:00Z", "at=2020-01-01T00:00:00", "at=soon", "version=1&at=2020-01-01T00:00:00Z"):
        assert_problem(await api.http.get(f"/tickets/{ticket_id}/state?{query}"), 422, "invalid", "at")
    late = await get(api, ticket_id, "/state?at=9999-12-31T23:59:59-23:59")
    assert late["version"] == 1


async def test_the_workflow_shows_where_a_ticket_stands_and_what_will_wake_it(api: Api, leases: Leases) -> None:
    ticket_id = await api.ticket()
    flow = await get(api, ticket_id, "/workflow")
    assert [(step["step"], step["status"]) for step in flow["steps"]] == [
        ("classify", "next"),
        ("extract", "open"),
        ("research", "open"),
        ("draft", "open"),
        ("review", "open"),
        ("finalize", "open"),
    ]
    assert flow["current_step"] == "classify"
    assert flow["woken_by"] == {"lease": None, "timers": [], "outbox": 1}

    lease = await claimed(leases, ticket_id)
    await applied(api.app.commits, under(lease, step_done("classify", category="billing")))
    flow = await get(api, ticket_id, "/workflow")
    [run] = flow["steps"][0]["runs"]
    assert (run["duration_ms"], run["model"], run["prompt_version"], run["attempt"]) == (
        12,
        "test-model",
        "classify-1",
        1,
    )
    assert run["usage"]["input_tokens"] == 100
    assert [step["status"] for step in flow["steps"][:2]] == ["done", "running"]
    assert flow["current_step"] == "extract"
    assert flow["woken_by"]["lease"]["worker"] == "worker-1"
    assert flow["totals"] == {
        "duration_ms": 12,
        "calls": 1,
        "input_tokens": 100,
        "output_tokens": 20,
        "cost_usd": 0.001,
    }


async def test_the_workflow_names_the_step_that_failed_and_the_timer_that_will_wake_it(
    api: Api, leases: Leases
) -> None:
    ticket_id = await api.ticket()
    await put_aside(api.app.commits, leases, ticket_id, timedelta(hours=1))
    flow = await get(api, ticket_id, "/workflow")
    assert (flow["status"], flow["waiting_for"]) == ("waiting", "retry")
    assert flow["steps"][0]["status"] == "failed"
    assert [timer["kind"] for timer in flow["woken_by"]["timers"]] == ["retry"]


async def test_the_workflow_of_a_revised_draft_shows_every_round(api: Api, leases: Leases) -> None:
    ticket_id = await api.ticket()
    lease = await claimed(leases, ticket_id)
    done = [step_done(step) for step in ("classify", "extract", "research")]
    revise = step_done("review", round=1, output={"verdict": "revise"})
    await applied(api.app.commits, under(lease, *done, step_done("draft", round=1), revise))
    flow = await get(api, ticket_id, "/workflow")
    assert flow["current_step"] == "draft"
    assert flow["steps"][3]["status"] == "running"
    await applied(api.app.commits, under(lease, step_done("draft", round=2)))
    flow = await get(api, ticket_id, "/workflow")
    assert [run["round"] for run in flow["steps"][3]["runs"]] == [1, 2]
    assert flow["current_step"] == "review"


async def test_a_failed_ticket_is_tried_again_as_its_next_attempt(api: Api, leases: Leases) -> None:
    ticket_id = await api.ticket(priority="low")
    await fail(api.app.commits, leases, ticket_id)
    failed = await get(api, ticket_id)
    answer = await api.http.post(
        f"/tickets/{ticket_id}/retry", headers={"X-Request-ID": "again", "If-Match": f'"{failed["version"]}"'}
    )
    assert answer.status_code == 200
    ticket = answer.json()
    assert answer.headers["etag"] == f'"{failed["version"] + 1}"'
    assert (ticket["status"], ticket["attempt"], ticket["error"], ticket["completed_at"]) == ("pending", 2, None, None)
    assert ticket == await get(api, ticket_id)
    last = (await trail(api, ticket_id))[-1]
    assert (last.event_type, last.actor, last.request_id) == (EventType.RETRY, "admin:local", "again")
    woken = await api.sql("select lane, reason, headers->>'x-request-id' from outbox order by id desc limit 1")
    assert woken == [("low", "retry", "again")]
    assert await api.sql("select redriven_by from dead_letters") == [("admin:local",)]


async def test_a_ticket_that_waits_for_its_retry_goes_on_at_once(api: Api, leases: Leases) -> None:
    ticket_id = await api.ticket()
    await put_aside(api.app.commits, leases, ticket_id, timedelta(hours=1))
    answer = await api.http.post(f"/tickets/{ticket_id}/retry", headers={"If-Match": "*"})
    assert (answer.status_code, answer.json()["status"], answer.json()["waiting_for"]) == (200, "pending", None)
    assert await api.sql("select count(*) from timers") == [(0,)]


async def test_a_ticket_that_has_not_failed_cannot_be_retried(api: Api, leases: Leases) -> None:
    pending, processing, completed = [await api.ticket() for _ in range(3)]
    await claimed(leases, processing)
    await complete(api.app.commits, leases, completed)
    before = await api.rows()
    for ticket_id, status, moves in (
        (pending, "pending", ["pause", "cancel"]),
        (processing, "processing", ["pause", "cancel"]),
        (completed, "completed", ["replay"]),
    ):
        problem = assert_problem(await api.http.post(f"/tickets/{ticket_id}/retry"), 409, "invalid_move")
        assert status in problem["detail"]
        assert problem["allowed"] == moves
    assert await api.rows() == before


async def test_a_stale_or_malformed_if_match_changes_nothing(api: Api, leases: Leases) -> None:
    ticket_id = await api.ticket()
    await fail(api.app.commits, leases, ticket_id)
    before = await api.rows()
    for stale in ('"1"', 'W/"3"', '"999"'):
        answer = await api.http.post(f"/tickets/{ticket_id}/retry", headers={"If-Match": stale})
        assert_problem(answer, 412, "stale_version")
    for malformed in ('"abc"', '"-1"', "", '"1", "2"', '"' + "9" * 30 + '"', '"²"'.encode()):
        answer = await api.http.post(f"/tickets/{ticket_id}/retry", headers={"If-Match": malformed})
        assert_problem(answer, 422, "invalid", "If-Match")
    assert await api.rows() == before


async def test_two_retries_at_once_are_one_attempt(api: Api, leases: Leases) -> None:
    ticket_id = await api.ticket()
    await fail(api.app.commits, leases, ticket_id)
    answers = await asyncio.gather(*(api.http.post(f"/tickets/{ticket_id}/retry") for _ in range(5)))
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409, 409]
    assert (await get(api, ticket_id))["attempt"] == 2
