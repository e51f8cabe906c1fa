"""For whoever runs the system: dead letters, statistics, health, readiness, metrics."""

from __future__ import annotations

import re
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.api import Api, a_ticket, assert_problem, served, settings_for
from tests.support.trails import complete, fail, put_aside
from ticketflow.db.leases import Leases
from ticketflow.services.verify import verify


async def scraped(api: Api) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Every sample of ``/metrics``: (name, labels) -> value."""
    answer = await api.http.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    families = text_string_to_metric_families(answer.text)
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }


def labels(**values: str) -> frozenset[tuple[str, str]]:
    return frozenset(values.items())


async def test_dead_letters_are_listed_newest_first_a_page_at_a_time(api: Api, leases: Leases) -> None:
    tickets = [await api.ticket() for _ in range(5)]
    for ticket_id in tickets:
        await fail(api.app.commits, leases, ticket_id)
    seen, cursor = [], ""
    for size in (2, 2, 1):
        page = (await api.http.get(f"/dead-letters?limit=2{cursor}")).json()
        assert len(page["items"]) == size
        seen += page["items"]
        cursor = f"&cursor={page['next_cursor']}"
    assert page["next_cursor"] is None
    assert [UUID(letter["ticket_id"]) for letter in seen] == tickets[::-1]
    letter = seen[0]
    assert (letter["kind"], letter["reason"], letter["detail"]) == ("ticket", "model_refused", "no")
    assert letter["payload"]["step"] == "classify"
    assert (letter["redriven_at"], letter["redriven_by"]) == (None, None)
    shown = (await api.http.get(f"/dead-letters/{letter['id']}")).json()
    assert {name: shown[name] for name in letter} == letter
    assert_problem(await api.http.get("/dead-letters?cursor=nonsense"), 422, "invalid", "cursor")


async def test_a_dead_letter_is_redriven_once(api: Api, leases: Leases) -> None:
    ticket_id = await api.ticket()
    await fail(api.app.commits, leases, ticket_id)
    [letter] = (await api.http.get("/dead-letters")).json()["items"]
    answer = await api.http.post(f"/dead-letters/{letter['id']}/redrive", headers={"X-Request-ID": "redrive-1"})
    assert answer.status_code == 200
    assert answer.json()["redriven_by"] == "admin:local"
    assert answer.json()["redriven_at"] is not None
    ticket = (await api.http.get(f"/tickets/{ticket_id}")).json()
    assert (ticket["status"], ticket["attempt"]) == ("pending", 2)
    assert (await api.http.get(f"/tickets/{ticket_id}/events")).json()["items"][-1]["request_id"] == "redrive-1"

    before = await api.rows()
    assert_problem(await api.http.post(f"/dead-letters/{letter['id']}/redrive"), 409, "invalid_move")
    assert await api.rows() == before
    assert (await api.http.get("/dead-letters")).json()["items"] == []
    closed = (await api.http.get("/dead-letters?include_redriven=true")).json()["items"]
    assert [item["id"] for item in closed] == [letter["id"]]


async def test_a_dead_message_is_kept_until_someone_closes_it(api: Api) -> None:
    letter_id = uuid4()
    await api.app.reads.record_dead_message(letter_id, None, "message", "not JSON", {"body": "{"})
    letter = (await api.http.get(f"/dead-letters/{letter_id}")).json()
    assert (letter["kind"], letter["ticket_id"], letter["payload"]) == ("message", None, {"body": "{"})
    closed = await api.http.post(f"/dead-letters/{letter_id}/redrive")
    assert (closed.status_code, closed.json()["redriven_by"]) == (200, "admin:local")
    assert (await api.http.get("/dead-letters")).json()["items"] == []
    assert_problem(await api.http.post(f"/dead-letters/{letter_id}/redrive"), 409, "invalid_move")


async def test_a_dead_message_wakes_its_ticket_only_where_that_still_waits(api: Api, leases: Leases) -> None:
    """And is no flaw in the ticket's records: a broker that gave up on a message says nothing about the ticket."""
    waits, done = await api.ticket(), await api.ticket()
    await complete(api.app.commits, leases, done)
    for ticket_id in (waits, done):
        await api.app.reads.record_dead_message(uuid4(), ticket_id, "message", "delivery limit", {"body": "{}"})
    assert not (await verify(api.app.reads)).violations
    before = (await api.rows())["outbox"]
    for letter in (await api.http.get("/dead-letters")).json()["items"]:
        assert (await api.http.post(f"/dead-letters/{letter['id']}/redrive")).status_code == 200
    assert (await api.rows())["outbox"] == before + 1
    [(woken, reason)] = await api.sql("select ticket_id, reason from outbox order by id desc limit 1")
    assert (woken, reason) == (waits, "redriven")
    assert not (await verify(api.app.reads)).violations


async def test_statistics_count_what_there_is(api: Api, leases: Leases) -> None:
    empty = (await api.http.get("/stats")).json()
    assert (empty["total"], empty["by_status"], empty["dead_letters"], empty["cost_usd"]) == (0, {}, 0, 0)
    assert empty["median_seconds_last_hour"] is None
    done, also_done, failed, _ = [await api.ticket() for _ in range(4)]
    await complete(api.app.commits, leases, done)
    await complete(api.app.commits, leases, also_done)
    await fail(api.app.commits, leases, failed)
    stats = (await api.http.get("/stats")).json()
    assert stats["total"] == 4
    assert stats["by_status"] == {"completed": 2, "failed_permanent": 1, "pending": 1}
    assert stats["by_category"] == {"billing": 2, "unclassified": 2}
    assert stats["by_disposition"] == {"answered": 2}
    assert stats["completed_last_hour"] == 2
    assert 0 < stats["median_seconds_last_hour"] <= stats["p95_seconds_last_hour"]
    assert stats["tokens"] == {"input": 800, "output": 160}
    assert stats["cost_usd"] == 0.008
    assert stats["dead_letters"] == 1


@pytest.mark.parametrize("odd", ["1.5", "-7", '"ten"', "1e30", "null", "[1]", "{}"])
async def test_an_odd_number_in_a_result_does_not_break_the_statistics(api: Api, leases: Leases, odd: str) -> None:
    sound, strange = [await api.ticket() for _ in range(2)]
    await complete(api.app.commits, leases, sound)
    await complete(api.app.commits, leases, strange)
    usage = f'{{"calls": 1, "input_tokens": {odd}, "output_tokens": {odd}, "cost_usd": {odd}}}'
    await api.sql(
        "update tickets set result = result || jsonb_build_object('usage', %s::jsonb) where id = %s", usage, strange
    )
    stats = (await api.http.get("/stats")).json()
    counted = 1 if odd == "1.5" else 0
    assert stats["tokens"] == {"input": 400 + counted, "output": 80 + counted}
    assert stats["cost_usd"] == pytest.approx(0.004 + (1.5 if counted else 0))


async def test_health_and_readiness_while_everything_is_there(api: Api) -> None:
    health = await api.http.get("/health")
    assert (health.status_code, health.json()) == (200, {"status": "ok"})
    ready = await api.http.get("/ready")
    assert (ready.status_code, ready.json()["checks"]) == (200, {"database": "ok", "broker": "ok"})


async def test_a_broker_that_is_away_is_named_and_delays_tickets_only(database_url: str) -> None:
    nobody = settings_for(database_url, RABBITMQ_URL="amqp://guest:guest@127.0.0.1:1/")
    async with served(nobody) as api:
        ready = await api.http.get("/ready")
        assert (ready.status_code, ready.json()["checks"]) == (200, {"database": "ok", "broker": "broker_unavailable"})
        assert (await api.post()).status_code == 201
        assert (await api.rows())["outbox"] == 1


async def test_metrics_name_routes_by_their_template_and_never_by_path_or_id(api: Api) -> None:
    ticket_id = await api.ticket()
    unknown = uuid4()
    for path in (
        f"/tickets/{ticket_id}",
        f"/tickets/{unknown}/workflow",
        f"/nowhere/{unknown}",
        "/tickets/not-an-id",
        f"/dead-letters/{unknown}",
    ):
        await api.http.get(path)
    await api.http.request("DELETE", f"/tickets/{ticket_id}")
    await api.http.request("PROPFIND", f"/tickets/{unknown}")
    counts = {key: value for key, value in (await scraped(api)).items() if key[0].endswith("_seconds_count")}

    def count(method: str, route: str, status: int) -> float:
        key = ("http_request_duration_seconds_count", labels(method=method, route=route, status=str(status)))
        return counts.pop(key, 0)

    assert count("POST", "/tickets", 201) == 1
    assert count("GET", "/tickets/{ticket_id}", 200) == 1
    assert count("GET", "/tickets/{ticket_id}", 422) == 1
    assert count("GET", "/tickets/{ticket_id}/workflow", 404) == 1
    assert count("GET", "/dead-letters/{letter_id}", 404) == 1
    assert count("GET", "unmatched", 404) == 1
    routes = {dict(key[1]).get("route") for key in counts}
    assert routes <= {None, "/tickets/{ticket_id}", "unmatched"}
    text = (await api.http.get("/metrics")).text
    assert "PROPFIND" not in text
    assert not re.search(r"[0-9a-f]{8}-[0-9a-f]{4}", text)


async def test_metrics_count_tickets_once_and_show_the_databases_gauges(api: Api, leases: Leases) -> None:
    body = a_ticket(channel="web")
    for _ in range(3):
        await api.http.post("/tickets", json=body)
    await api.http.post("/tickets/batch", json={"tickets": [a_ticket(channel="email"), a_ticket(channel="email")]})
    waiting, failing = await api.ticket(), await api.ticket()
    await put_aside(api.app.commits, leases, waiting, timedelta(hours=1))
    await fail(api.app.commits, leases, failing)
    samples = await scraped(api)
    assert samples[("tickets_created_total", labels(channel="web"))] == 1
    assert samples[("tickets_created_total", labels(channel="email"))] == 2
    assert samples[("tickets_created_total", labels(channel="api"))] == 2
    assert samples[("outbox_pending", labels())] == 5
    assert samples[("outbox_oldest_age_seconds", labels())] > 0
    assert samples[("dead_letters", labels())] == 1
    assert samples[("tickets_waiting", labels(waiting_for="retry"))] == 1
    assert {dict(key[1])["lane"] for key in samples if key[0] == "queue_depth"} == {"high", "normal", "low"}
    assert samples[("db_commit_batch_size_count", labels())] >= 3


async def test_series_with_known_labels_begin_at_zero(api: Api) -> None:
    api.app.observer.model_chosen("some-model")
    samples = await scraped(api)
    for series in (
        ("tickets_created_total", labels(channel="phone")),
        ("tickets_processed_total", labels(status="failed_permanent")),
        ("ticket_processing_duration_seconds_count", labels(status="completed")),
        ("workflow_step_duration_seconds_count", labels(step="review", outcome="timeout")),
        ("ticket_retries_total", labels(reason="rate_limited")),
        ("lease_lost_total", labels()),
        ("llm_requests_total", labels(model="some-model", outcome="refused")),
        ("llm_tokens_total", labels(model="some-model", kind="output")),
        ("llm_cost_usd_total", labels(model="some-model")),
    ):
        assert samples[series] == 0
