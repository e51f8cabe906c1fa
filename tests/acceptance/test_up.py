"""``ticketflow up`` with nothing configured: the embedded database keeps what it was given."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from tests.acceptance.laptop import Laptop
from tests.support.deployment import ASKED, QUESTION, STEPS
from tests.support.model import Model
from tests.support.processes import http, until
from ticketflow.samples import articles as samples


def post(url: str, marker: str) -> str:
    body = {"subject": QUESTION, "body": f"{QUESTION} {marker}", "customer_id": "cus_1"}
    status, _, answer = http("POST", f"{url}/tickets", body)
    assert status == 201, answer
    return str(answer["ticket_id"])


def get(url: str, ticket_id: str, part: str = "") -> Any:
    status, _, answer = http("GET", f"{url}/tickets/{ticket_id}{part}")
    assert status == 200, answer
    return answer


def until_completed(url: str, ids: list[str]) -> None:
    until(lambda: all(get(url, each)["status"] == "completed" for each in ids), 60, "all answers", every=0.1)


def steps(url: str, ticket_id: str) -> Counter[str]:
    events = get(url, ticket_id, "/events")["items"]
    return Counter(event["step_name"] for event in events if event["event_type"] == "step_complete")


def test_a_ticket_and_its_answer_survive_a_stop_and_a_start(laptop: Laptop) -> None:
    with laptop.up() as (process, url):
        ticket_id = post(url, "")
        until_completed(url, [ticket_id])
        answered, trail = get(url, ticket_id), get(url, ticket_id, "/events")
        assert "Forgot password?" in answered["result"]["reply"]
        assert answered["result"]["sources"][0]["article_id"] == "reset-password"
        assert steps(url, ticket_id) == Counter(STEPS)
        assert process.stop() == 0
    assert not (laptop.folder / "data/postgres/postmaster.pid").exists()
    with laptop.up() as (process, url):
        assert get(url, ticket_id) == answered
        assert get(url, ticket_id, "/events") == trail
        assert process.stop() == 0


def test_the_samples_come_into_an_empty_knowledge_base_only(laptop: Laptop) -> None:
    def ids() -> list[str]:
        return [article["id"] for article in json.loads(laptop.command("kb", "list", "--json"))]

    with laptop.up("--no-samples"):
        assert ids() == []
    with laptop.up():
        assert len(ids()) == len(samples())
        (laptop.folder / "own.md").write_text("# Our own\nText.\n")
        laptop.command("kb", "import", str(laptop.folder / "own.md"))
        laptop.command("kb", "delete", "--samples")
        assert ids() == ["own"]
    with laptop.up():
        assert ids() == ["own"]


def test_after_a_sigkill_with_tickets_in_flight_the_next_start_completes_them(laptop: Laptop, model: Model) -> None:
    laptop.environment |= {
        "OPENAI_API_KEY": "sk-test",
        "OPENAI_BASE_URL": model.url,
        "TICKETFLOW_LEASE_SECONDS": "1",
        "TICKETFLOW_WORKER_CONCURRENCY": "5",
    }
    with laptop.up() as (process, url):
        done = post(url, "[[done]]")
        until_completed(url, [done])
        model.faults(latency_seconds=600)
        markers = [f"[[{number}]]" for number in range(8)]
        waiting = [post(url, marker) for marker in markers]
        model.until_waiting("classify", 5)
        # What the relay has in hand when it dies is held back for half a minute; that is not what is shown here.
        until(lambda: "\noutbox_pending 0.0\n" in http("GET", f"{url}/metrics")[2], 30, "the outbox to be empty")
        process.kill()
    begun = {marker for marker in markers if model.asked(marker)}
    assert len(begun) == 5
    model.faults(latency_seconds=0)
    with laptop.up() as (process, url):
        until_completed(url, waiting)
        assert all(steps(url, each) == Counter(STEPS) for each in [done, *waiting])
        assert laptop.verify()["violations"] == []
        assert process.stop() == 0
    for marker in markers:
        assert model.asked(marker) == Counter(ASKED) + Counter(["classify"] if marker in begun else [])
