"""The model provider away, limited or refusing, and a worker with many tickets: a real queue, database and provider."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs

from tests.support.api import Api, a_ticket
from tests.support.openai_faults import Faults
from tests.support.openai_server import OpenAIServer, running_server
from tests.support.pipeline import KEY, at_work
from ticketflow.domain.errors import RateLimited
from ticketflow.llm import breaker
from ticketflow.worker.service import health_app


@pytest.fixture
async def model() -> AsyncIterator[OpenAIServer]:
    async with running_server(api_key=KEY) as server:
        yield server


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Probes every few hundred milliseconds; their real distances are tested in simulated time."""
    monkeypatch.setattr(breaker, "FIRST_WAIT", timedelta(milliseconds=200))
    monkeypatch.setattr(breaker, "LONGEST_WAIT", timedelta(milliseconds=400))


async def take_in(api: Api, count: int) -> None:
    answer = await api.http.post("/tickets/batch", json={"tickets": [a_ticket() for _ in range(count)]})
    assert [item["created"] for item in answer.json()["items"]] == [True] * count


async def statuses(api: Api) -> Counter[str]:
    return Counter(status for (status,) in await api.sql("select status from tickets"))


async def until(true: Callable[[], Awaitable[bool]]) -> None:
    """What the database or another process knows does not announce itself, so it is asked."""
    async with asyncio.timeout(60):
        while not await true():  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def reached(api: Api, wanted: Callable[[Counter[str]], bool]) -> Counter[str]:
    async def holds() -> bool:
        return wanted(await statuses(api))

    await until(holds)
    return await statuses(api)


async def probed(model: OpenAIServer, times: int) -> None:
    """Wait until the provider was asked so many more small questions."""
    before = model.stats.calls["other"]

    async def enough() -> bool:
        return model.stats.calls["other"] >= before + times

    await until(enough)


async def in_time(event: Any) -> None:
    async with asyncio.timeout(30):
        await event


async def worker_ready(api: Api) -> tuple[int, dict[str, str]]:
    """What ``/ready`` of a worker process with this application says."""
    transport = httpx.ASGITransport(health_app(api.app))
    async with httpx.AsyncClient(transport=transport, base_url="http://worker") as http:
        answer = await http.get("/ready")
    return answer.status_code, answer.json()["checks"]


async def nothing_taken(api: Api) -> bool:
    return not await api.sql("select 1 from queue_messages where consumer is not null")


async def limited(api: Api) -> bool:
    return 'outcome="rate_limited"} 1.0' in (await api.http.get("/metrics")).text


async def counted(api: Api) -> Counter[int]:
    """How many tickets are in which attempt, without the excused ones."""
    return Counter(each for (each,) in await api.sql("select attempt - excused_attempts from tickets"))


class Timed(Faults):
    """Notes when each call came."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self.calls: list[float] = []

    def pick(self, call: int, task: str, markers: list[str]) -> str | None:
        self.calls.append(asyncio.get_running_loop().time())
        return super().pick(call, task, markers)


@pytest.mark.parametrize(
    ("faults", "code"),
    [
        ({"error_every": 1}, "model_unavailable"),
        ({"drop_every": 1}, "model_unavailable"),
        ({"rate_limit_every": 1, "retry_after": "0.05"}, "rate_limited"),
        ({"latency_seconds": 600.0}, "model_timeout"),
    ],
    ids=["errors", "lost connections", "limits", "silence"],
)
async def test_no_ticket_fails_while_the_provider_is_down_and_all_complete_when_it_is_back(
    database_url: str, model: OpenAIServer, faults: dict[str, Any], code: str
) -> None:
    """Fifty tickets in flight and twenty behind them, none of which may be tried more than twice."""
    patience = 1.5 if code == "model_timeout" else 5.0
    given = {"max_attempts": 2, "model_timeout_seconds": patience, "worker_concurrency": 50}
    with capture_logs() as records:
        async with at_work(database_url, model, **given) as api:
            model.faults.change({"latency_seconds": 0.05} | faults)
            one = api.app.traffic.breaker
            await take_in(api, 70)
            await in_time(one.opened())
            # The others go to whoever may have a provider: nothing is in hand, and nothing is kept ahead.
            await reached(api, lambda found: found["processing"] == 0)
            await until(lambda: nothing_taken(api))
            assert one.cause is not None
            assert await worker_ready(api) == (503, {"database": "ok", "broker": "ok", "model": one.cause.code})
            ready = await api.http.get("/ready")
            assert (ready.status_code, ready.json()["checks"]["model"]) == (200, code)
            assert "\nllm_breaker_open 1.0\n" in (await api.http.get("/metrics")).text

            asked = model.stats.calls["classify"]
            if code != "rate_limited":
                # One call each: the further ones of the same step were not sent any more, and the attempt is excused.
                assert asked <= 50
                # A ticket that waits for its next attempt stands at 0.
                assert (await counted(api)).keys() <= {0, 1}
            await probed(model, 3)
            assert model.stats.calls["classify"] == asked, "while it is down nothing is asked but the probe"
            assert (await statuses(api)).keys() <= {"pending", "waiting"}

            model.reset()
            await in_time(one.closed())
            assert await reached(api, lambda found: found["completed"] == 70) == {"completed": 70}
            assert await worker_ready(api) == (200, {"database": "ok", "broker": "ok", "model": "ok"})
            assert "\nllm_breaker_open 0.0\n" in (await api.http.get("/metrics")).text
            assert await counted(api) <= Counter({1: 70, 2: 70})
            excused = await api.sql(
                "select t.excused_attempts, count(e.id) from tickets t left join events e on e.ticket_id = t.id "
                "and e.changes ? 'excused_attempts' and e.event_type = 'status_change' group by t.id"
            )
            assert all(column == told for column, told in excused)
            assert sum(column for column, _ in excused) > 0
            assert await api.sql("select * from dead_letters") == []
    said = [record["event"] for record in records if record["event"].startswith(("llm.breaker", "worker.p"))]
    assert said[:2] == ["llm.breaker_open", "worker.paused"]
    assert said[-1] == "llm.breaker_closed"
    assert next(record["code"] for record in records if record["event"] == "llm.breaker_open") == code


async def test_a_single_ticket_with_its_last_attempt_outlives_the_outage_too(
    database_url: str, model: OpenAIServer
) -> None:
    """One failure is no row of five: before the ticket is given up the provider is asked whether it is there at all."""
    async with at_work(database_url, model, model_attempts=1, max_attempts=1) as api:
        model.faults.error_every = 1
        await take_in(api, 1)
        await in_time(api.app.traffic.breaker.opened())
        assert model.stats.calls == {"classify": 1, "other": 1}
        await reached(api, lambda found: found["waiting"] == 1)
        model.reset()
        await reached(api, lambda found: found["completed"] == 1)
        assert await counted(api) == {1: 1}


async def test_a_ticket_that_the_provider_fails_on_does_not_live_for_ever(
    database_url: str, model: OpenAIServer
) -> None:
    """Each of its attempts opens the breaker by itself; the probe says that the provider is there."""
    async with at_work(database_url, model, model_attempts=3, max_attempts=3, breaker_failures=2) as api:
        model.faults.planned = [{"marker": "[[poison]]", "task": "classify", "fault": "error", "times": 1000}]
        await api.ticket(subject="Otter alarm [[poison]]")
        await reached(api, lambda found: found["failed_permanent"] == 1)
        assert not api.app.traffic.breaker.cause
        assert await counted(api) == {3: 1}


async def test_a_refused_key_fails_the_ticket_that_met_it_and_no_other(database_url: str, model: OpenAIServer) -> None:
    async with at_work(database_url, model, worker_concurrency=5) as api:
        model.api_key = "sk-another"
        model.faults.latency_seconds = 0.05
        await take_in(api, 30)
        await in_time(api.app.traffic.breaker.opened())
        found = await reached(api, lambda found: found["processing"] == 0)
        assert found["failed_permanent"] == 1
        assert (await worker_ready(api))[1]["model"] == "model_refused"
        model.api_key = KEY
        found = await reached(api, lambda found: found["completed"] == 29)
        assert found == {"completed": 29, "failed_permanent": 1}
        [(error,)] = await api.sql("select error from tickets where status = 'failed_permanent'")
        assert (error["code"], error["attempt"]) == ("model_refused", 1)


async def test_a_wait_that_one_call_meets_holds_the_calls_of_all_tickets(
    database_url: str, model: OpenAIServer
) -> None:
    """It is longer than a step and a model call may take; a wait for one's turn is neither."""
    given = {"step_timeout_seconds": 2.0, "model_timeout_seconds": 2.0}
    async with at_work(database_url, model, **given) as api:
        await take_in(api, 1)
        await reached(api, lambda found: found["completed"] == 1)
        model.faults = timed = Timed(retry_after="3", next=["rate_limit"])
        await take_in(api, 1)
        await until(lambda: limited(api))
        await take_in(api, 9)
        await reached(api, lambda found: found["completed"] == 11)
        assert await counted(api) == {1: 11}
        assert timed.calls[1] - timed.calls[0] >= 3
        assert await api.sql("select * from events where event_type = 'error'") == []


async def test_a_wait_of_more_than_a_minute_is_the_tickets_and_keeps_none_in_memory(
    database_url: str, model: OpenAIServer
) -> None:
    async with at_work(database_url, model) as api:
        model.faults.retry_after = "90"
        model.faults.next = ["rate_limit"]
        await take_in(api, 1)
        await reached(api, lambda found: found["waiting"] == 1)
        await take_in(api, 9)
        await reached(api, lambda found: found["waiting"] == 10)
        assert model.stats.total == 1
        waits = await api.sql("select extract(epoch from due_at - clock_timestamp()) from timers")
        assert all(60 < wait <= 90 for (wait,) in waits)
        assert await api.sql("select distinct payload->>'code' from events where event_type = 'error'") == [
            (RateLimited.code,)
        ]


async def test_no_more_calls_are_under_way_than_allowed(database_url: str, model: OpenAIServer) -> None:
    async with at_work(database_url, model, model_concurrency=3) as api:
        model.faults.latency_seconds = 0.05
        await take_in(api, 30)
        await reached(api, lambda found: found["completed"] == 30)
        assert model.stats.max_in_flight == 3
        assert await counted(api) == {1: 30}


async def test_a_worker_that_is_told_to_stop_while_it_waits_for_the_provider_stops(
    database_url: str, model: OpenAIServer
) -> None:
    with capture_logs() as records:
        async with at_work(database_url, model, model_attempts=1) as api:
            model.faults.quota_every = 1
            await take_in(api, 5)
            await in_time(api.app.traffic.breaker.opened())
            await reached(api, lambda found: found["processing"] == 0)
    events = [record["event"] for record in records]
    assert events[-2:] == ["worker.draining", "worker.drained"]
    assert "llm.breaker_closed" not in events
