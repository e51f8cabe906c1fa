"""``POST /tickets`` and ``/tickets/batch``: stored before it answers, and once however often it is sent."""

from __future__ import annotations

import asyncio
from collections import Counter
from uuid import UUID

from tests.support.api import Api, a_ticket, assert_problem

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


async def test_a_ticket_is_stored_with_its_first_event_and_its_wake_up(api: Api) -> None:
    sent = a_ticket(
        customer_email="mirela@example.com",
        priority="urgent",
        category="billing",
        vip=True,
        tags=["a", "b", "a"],
        channel="web",
        metadata={"order": {"no": 7, "items": [1.5, None, True, "é"]}},
    )
    answer = await api.http.post("/tickets", json=sent)
    assert answer.status_code == 201
    assert answer.json().keys() == {"ticket_id", "status"}
    assert answer.json()["status"] == "pending"
    ticket_id = answer.json()["ticket_id"]
    assert answer.headers["location"] == f"/tickets/{ticket_id}"

    row = (await api.http.get(answer.headers["location"])).json()
    assert {name: row[name] for name in sent} == {**sent, "tags": ["a", "b"]}
    assert (row["id"], row["status"], row["version"], row["attempt"]) == (ticket_id, "pending", 1, 1)
    assert "fingerprint" not in row
    [event] = (await api.http.get(f"/tickets/{ticket_id}/events")).json()["items"]
    assert (event["seq"], event["event_type"], event["actor"]) == (1, "created", "admin:local")
    assert event["created_at"] == row["created_at"]
    [[lane, reason, waiting_for]] = await api.sql("select lane, reason, ticket_id from outbox")
    assert (lane, reason, str(waiting_for)) == ("high", "created", ticket_id)


async def test_request_id_and_trace_context_reach_answer_event_and_message(api: Api) -> None:
    headers = {"X-Request-ID": "req/42:a", "traceparent": TRACE}
    answer = await api.http.post("/tickets", json=a_ticket(), headers=headers)
    assert answer.headers["x-request-id"] == "req/42:a"
    assert answer.headers["traceparent"] == TRACE
    [event] = (await api.http.get(f"{answer.headers['location']}/events")).json()["items"]
    assert event["request_id"] == "req/42:a"
    [[carried]] = await api.sql("select headers from outbox")
    assert carried == {"x-request-id": "req/42:a", "traceparent": TRACE}


async def test_a_request_id_or_trace_context_of_the_wrong_shape_is_replaced(api: Api) -> None:
    for bad in ("two words", "x" * 129, 'quote"', "ünï"):
        headers = {"X-Request-ID": bad.encode(), "traceparent": b"00-zz"}
        answer = await api.http.post("/tickets", json=a_ticket(), headers=headers)
        made = answer.headers["x-request-id"]
        assert len(UUID(made).hex) == 32
        assert "traceparent" not in answer.headers
        [event] = (await api.http.get(f"{answer.headers['location']}/events")).json()["items"]
        assert event["request_id"] == made
    assert await api.sql("select count(*) from outbox where headers ? 'traceparent'") == [(0,)]


async def test_the_same_text_again_is_the_same_ticket(api: Api) -> None:
    body = a_ticket()
    first = await api.http.post("/tickets", json=body)
    before = await api.rows()
    again = await api.http.post("/tickets", json={**body, "priority": "low", "metadata": {"sent": "twice"}})
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json() == first.json()
    assert await api.rows() == before


async def test_another_customer_subject_or_body_is_another_ticket(api: Api) -> None:
    body = a_ticket(subject="ab", body="c", customer_id="d")
    variants = [body, body | {"customer_id": "e"}, body | {"subject": "a", "body": "bc"}, body | {"body": "C"}]
    answers = [await api.http.post("/tickets", json=variant) for variant in variants]
    assert [answer.status_code for answer in answers] == [201] * 4
    assert len({answer.json()["ticket_id"] for answer in answers}) == 4


async def test_an_idempotency_key_names_one_ticket_of_one_customer(api: Api) -> None:
    body, key = a_ticket(), {"Idempotency-Key": "order-7"}
    first = await api.http.post("/tickets", json=body, headers=key)
    again = await api.http.post("/tickets", json=body, headers=key)
    other_customer = await api.http.post("/tickets", json=body | {"customer_id": "cus_2"}, headers=key)
    assert (first.status_code, again.status_code, other_customer.status_code) == (201, 200, 201)
    assert again.json() == first.json()
    assert other_customer.json()["ticket_id"] != first.json()["ticket_id"]


async def test_a_reused_idempotency_key_with_another_content_is_refused(api: Api) -> None:
    body, key = a_ticket(metadata={"a": 1}), {"Idempotency-Key": "order-7"}
    await api.http.post("/tickets", json=body, headers=key)
    before = await api.rows()
    changes = ({"subject": "Another"}, {"priority": "high"}, {"metadata": {"a": 2}}, {"tags": ["t"]}, {"vip": True})
    for change in changes:
        answer = await api.http.post("/tickets", json=body | change, headers=key)
        assert_problem(answer, 422, "invalid", "Idempotency-Key")
    assert await api.rows() == before


async def test_one_text_under_two_keys_is_two_tickets(api: Api) -> None:
    body = a_ticket()
    answers = [
        await api.http.post("/tickets", json=body, headers={"Idempotency-Key": key} if key else {})
        for key in ("one", "two", None)
    ]
    assert [answer.status_code for answer in answers] == [201] * 3
    assert len({answer.json()["ticket_id"] for answer in answers}) == 3


async def test_fifty_identical_posts_at_once_are_one_ticket(api: Api) -> None:
    body = a_ticket()
    answers = await asyncio.gather(*(api.http.post("/tickets", json=body) for _ in range(50)))
    assert Counter(answer.status_code for answer in answers) == {201: 1, 200: 49}
    assert len({answer.json()["ticket_id"] for answer in answers}) == 1
    assert await api.rows() == {"tickets": 1, "events": 1, "outbox": 1, "intake_keys": 1}


async def test_a_batch_answers_for_each_item_and_takes_in_what_it_can(api: Api) -> None:
    keyed = a_ticket(idempotency_key="k-1")
    known = a_ticket()
    assert (await api.http.post("/tickets", json=known)).status_code == 201
    fresh = a_ticket(channel="email", tags=["bulk"])
    batch = [fresh, known, keyed, keyed | {"subject": "Another"}, keyed, a_ticket()]
    answer = await api.http.post("/tickets/batch", json={"tickets": batch}, headers={"X-Request-ID": "bulk-1"})
    assert answer.status_code == 200
    items = answer.json()["items"]
    assert [item["index"] for item in items] == list(range(6))
    assert [item["created"] for item in items] == [True, False, True, False, False, True]
    assert [item["status"] for item in items] == ["pending"] * 3 + ["rejected"] + ["pending"] * 2
    assert items[2]["ticket_id"] == items[4]["ticket_id"]
    assert items[3]["ticket_id"] is None
    assert "Idempotency-Key" in items[3]["error"]
    assert [item["error"] for item in items if item["index"] != 3] == [None] * 5
    assert (await api.rows())["tickets"] == 4
    stored = (await api.http.get(f"/tickets/{items[0]['ticket_id']}")).json()
    assert (stored["channel"], stored["tags"]) == ("email", ["bulk"])
    assert await api.sql("select count(*) from events where request_id = 'bulk-1'") == [(3,)]


async def test_a_thousand_tickets_fit_in_a_batch_and_not_one_more(api: Api) -> None:
    batch = [{"subject": f"s{number}", "body": "b", "customer_id": "c"} for number in range(1001)]
    assert_problem(await api.http.post("/tickets/batch", json={"tickets": batch}), 422, "invalid", "tickets")
    assert (await api.rows())["tickets"] == 0
    answer = await api.http.post("/tickets/batch", json={"tickets": batch[:1000]})
    assert all(item["created"] for item in answer.json()["items"])
    assert await api.rows() == {"tickets": 1000, "events": 1000, "outbox": 1000, "intake_keys": 1000}


async def test_a_batch_with_one_item_of_the_wrong_shape_is_refused_whole_and_names_it(api: Api) -> None:
    batch = {"tickets": [a_ticket(), a_ticket(subject="")]}
    assert_problem(await api.http.post("/tickets/batch", json=batch), 422, "invalid", "tickets.1.subject")
    assert (await api.rows())["tickets"] == 0


async def test_metadata_comes_back_as_it_was_sent(api: Api) -> None:
    metadata = {
        "int": 2**63,
        "negative": -(2**63),
        "float": 1.5,
        "tiny": 5e-324,
        "huge": 1e308,
        "text": "\u2028 \U0001f512 \\u0000",
        "deep": {"a": [{"b": [{"c": [1]}]}]},
        "": None,
    }
    ticket_id = await api.ticket(metadata=metadata)
    assert (await api.http.get(f"/tickets/{ticket_id}")).json()["metadata"] == metadata
