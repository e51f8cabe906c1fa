"""People and the pipeline move one ticket through one net: whoever has it answers, and nobody is overwritten."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import pytest

from tests.support.api import Api, assert_problem
from tests.support.openai_server import OpenAIServer, running_server
from tests.support.pipeline import KEY, at_work, ended, reached, trail
from ticketflow.domain.change import TimerKind
from ticketflow.domain.conversation import MessageKind
from ticketflow.domain.errors import NotFound
from ticketflow.domain.lifecycle import Move
from ticketflow.domain.roles import Principal, Role
from ticketflow.domain.tickets import Ticket
from ticketflow.services.caller import Caller

CUSTOMER = Principal("cus_1", Role.CUSTOMER)
MIA = Principal("mia", Role.AGENT)
KAI = Principal("kai", Role.SUPERVISOR)


@pytest.fixture
async def model() -> AsyncIterator[OpenAIServer]:
    async with running_server(api_key=KEY) as server:
        yield server


@pytest.fixture
async def api(database_url: str, model: OpenAIServer) -> AsyncIterator[Api]:
    async with at_work(database_url, model, lease_seconds=1.5, reply_settle_seconds=0.05) as serving:
        yield serving


def by(who: Principal) -> Caller:
    return Caller(uuid4().hex, None, who)


async def fire(api: Api, ticket_id: UUID, move: str, who: Principal, **data: str) -> Ticket:
    return await api.app.transitions.fire(ticket_id, Move(move), data, by(who))


async def say(api: Api, ticket_id: UUID, body: str, who: Principal, kind: str = "reply") -> Ticket:
    _, ticket = await api.app.conversation.say(ticket_id, MessageKind(kind), body, by(who))
    return ticket


async def messages(api: Api, ticket_id: UUID) -> list[tuple[str, str]]:
    items = (await api.http.get(f"/tickets/{ticket_id}/messages")).json()["items"]
    return [(item["kind"], item["author"]) for item in items]


async def firings(api: Api, ticket_id: UUID) -> list[tuple[str, str]]:
    return [
        (event["payload"]["transition"], event["actor"])
        for event in await trail(api, ticket_id)
        if event["event_type"] == "lifecycle"
    ]


async def held_at(api: Api, model: OpenAIServer, task: str, **fields: Any) -> UUID:
    model.faults.held = [task]
    before = model.stats.calls[task]
    ticket_id = await api.ticket(subject="Firmware update fails", body="The sync stops with error 7.", **fields)
    await reached(lambda: model.stats.calls[task] > before)
    return ticket_id


async def test_the_pipeline_assigns_itself_works_and_resolves(api: Api) -> None:
    ticket_id = await api.ticket(subject="Firmware update fails", body="The sync stops with error 7.")
    ticket = await ended(api, ticket_id)
    assert (ticket["lifecycle"], ticket["assignee"]) == ("resolved", "pipeline")
    assert await firings(api, ticket_id) == [(move, "pipeline") for move in ("assign", "start_work", "resolve")]
    assert await messages(api, ticket_id) == [("reply", "customer:cus_1"), ("reply", "pipeline")]
    said = (await api.http.get(f"/tickets/{ticket_id}/messages")).json()["items"]
    assert said[1]["body"] == ticket["result"]["reply"]
    assert await api.sql("select kind from timers where ticket_id = %s", ticket_id) == [("close",)]


async def test_what_a_person_moved_meanwhile_gets_a_suggestion_only(api: Api, model: OpenAIServer) -> None:
    ticket_id = await held_at(api, model, "review")
    await fire(api, ticket_id, "resolve", MIA, resolution="called back", reply="It was the cable.")
    model.faults.held = []
    ticket = await ended(api, ticket_id)
    assert (ticket["lifecycle"], ticket["assignee"]) == ("resolved", "mia")
    assert ticket["result"]["disposition"] == "suggested"
    assert await messages(api, ticket_id) == [
        ("reply", "customer:cus_1"),
        ("reply", "agent:mia"),
        ("suggestion", "pipeline"),
    ]
    assert await firings(api, ticket_id) == [
        ("assign", "pipeline"),
        ("start_work", "pipeline"),
        ("resolve", "agent:mia"),
    ]


async def test_a_person_who_replies_takes_the_ticket_from_the_pipeline(api: Api, model: OpenAIServer) -> None:
    ticket_id = await held_at(api, model, "draft")
    ticket = await say(api, ticket_id, "I am looking into it myself.", MIA)
    assert (ticket.lifecycle, ticket.assignee) == ("in_progress", "mia")
    model.faults.held = []
    done = await ended(api, ticket_id)
    assert (done["lifecycle"], done["assignee"], done["result"]["disposition"]) == ("in_progress", "mia", "suggested")
    assert [kind for kind, author in await messages(api, ticket_id) if author == "pipeline"] == ["suggestion"]


async def test_a_ticket_that_is_taken_in_to_be_kept_stays_with_its_agent(api: Api) -> None:
    ticket_id = await api.ticket(
        subject="Firmware update fails", body="The sync stops.", assignee="mia", channel="phone"
    )
    ticket = await ended(api, ticket_id)
    assert (ticket["lifecycle"], ticket["assignee"], ticket["result"]["disposition"]) == (
        "assigned",
        "mia",
        "suggested",
    )


async def test_a_customer_who_adds_something_is_answered_once_and_with_it(api: Api, model: OpenAIServer) -> None:
    ticket_id = await held_at(api, model, "draft")
    await say(api, ticket_id, "And it beeps now.", CUSTOMER)
    await say(api, ticket_id, "Twice, to be exact.", CUSTOMER)
    model.faults.held = []
    ticket = await ended(api, ticket_id)
    assert (ticket["lifecycle"], ticket["attempt"]) == ("resolved", 2)
    authors = [author for _, author in await messages(api, ticket_id)]
    assert authors == ["customer:cus_1", "customer:cus_1", "customer:cus_1", "pipeline"]


async def test_a_customer_who_answers_reopens_what_was_resolved(api: Api) -> None:
    ticket_id = await api.ticket(subject="Firmware update fails", body="The sync stops with error 7.")
    await ended(api, ticket_id)
    again = await say(api, ticket_id, "That did not help, the sync stops all the same.", CUSTOMER)
    assert (again.status, again.lifecycle, again.result) == ("pending", "new", None)
    assert await api.sql("select kind from timers where ticket_id = %s", ticket_id) == []
    ticket = await ended(api, ticket_id, lambda ticket: ticket["attempt"] == 2 and ticket["status"] == "completed")
    assert ticket["result"] is not None
    moves = [move for move, _ in await firings(api, ticket_id)]
    assert moves[:7] == ["assign", "start_work", "resolve", "close", "reopen", "assign", "start_work"]


async def test_escalated_by_an_agent_resolved_by_a_supervisor_closed_reopened_and_answered_by_the_pipeline(
    api: Api,
) -> None:
    ticket_id = await api.ticket(
        subject="Firmware update fails", body="The sync stops.", assignee="mia", channel="phone"
    )
    await fire(api, ticket_id, "start_work", MIA)
    await fire(api, ticket_id, "escalate", MIA, reason="needs someone who knows the old locks")
    await ended(api, ticket_id)
    resolved = await fire(
        api, ticket_id, "resolve_escalated", KAI, resolution="sent a new board", reply="A board is on its way."
    )
    assert (resolved.lifecycle, resolved.assignee) == ("resolved", "kai")
    closed = await fire(api, ticket_id, "close", KAI)
    assert closed.lifecycle == "closed"
    await fire(api, ticket_id, "reopen", CUSTOMER, message="The board came, and the sync still stops.")
    ticket = await ended(api, ticket_id, lambda ticket: ticket["attempt"] == 2 and ticket["status"] == "completed")
    assert ticket["result"]["disposition"] in ("answered", "escalated")
    assert (await messages(api, ticket_id))[-1] == ("reply", "pipeline")


async def test_a_move_that_is_not_possible_lists_what_is_and_changes_nothing(api: Api) -> None:
    ticket_id = await api.ticket(subject="Firmware update fails", body="The sync stops.")
    before = await ended(api, ticket_id)
    answer = await api.http.post(f"/tickets/{ticket_id}/transitions/start_work", json={"data": {}})
    problem = assert_problem(answer, 409, "invalid_move")
    assert problem["allowed"] == ["close"]
    for status, code, name, data, headers in [
        (404, "not_found", "vanish", {}, {}),
        (422, "invalid", "close", {"who": "me"}, {}),
        (422, "invalid", "close", {"reason": 7}, {}),
        (422, "invalid", "assign", {"assignee": "pipeline"}, {}),
        (412, "stale_version", "close", {}, {"If-Match": '"1"'}),
    ]:
        refused = await api.http.post(f"/tickets/{ticket_id}/transitions/{name}", json={"data": data}, headers=headers)
        assert_problem(refused, status, code)
    assert (await api.http.get(f"/tickets/{ticket_id}")).json() == before


async def test_the_options_say_why_the_rest_is_not_possible(api: Api) -> None:
    ticket_id = await api.ticket(subject="Firmware update fails", body="The sync stops.")
    await ended(api, ticket_id)
    shown = (await api.http.get(f"/tickets/{ticket_id}/transitions")).json()
    assert [each["name"] for each in shown["enabled"]] == ["close"]
    assert shown["state"] == {
        **dict.fromkeys(("new", "assigned", "in_progress", "escalated", "pending_customer", "closed"), 0),
        "resolved": 1,
    }
    assert {each["name"]: each["reason"] for each in shown["others"]}[
        "reopen"
    ] == "only from closed; the ticket is resolved"
    for_customer = await api.app.transitions.options(ticket_id, CUSTOMER)
    assert for_customer.others[Move.CLOSE] == "takes the role agent"


async def test_a_resolved_ticket_closes_by_itself(database_url: str, model: OpenAIServer) -> None:
    async with at_work(database_url, model, close_after_hours=0.00005) as api:
        ticket_id = await api.ticket(subject="Firmware update fails", body="The sync stops.")
        await ended(api, ticket_id, lambda ticket: ticket["lifecycle"] == "closed")
        assert (await firings(api, ticket_id))[-1] == ("close", "system")
        assert await api.sql("select kind from timers where kind = %s", TimerKind.CLOSE) == []


async def test_the_pipeline_asks_waits_and_answers_with_what_the_customer_replied(database_url: str) -> None:
    async with at_work(database_url, None, reply_settle_seconds=0.05) as api:
        ticket_id = await api.ticket(
            subject="Where is my parcel?", body="I ordered a Badger lock last week and it has not arrived yet."
        )
        asked = await ended(api, ticket_id, lambda ticket: ticket["waiting_for"] == "customer")
        assert (asked["status"], asked["lifecycle"], asked["assignee"]) == ("waiting", "pending_customer", "pipeline")
        assert asked["result"] is None
        assert await messages(api, ticket_id) == [("reply", "customer:cus_1"), ("reply", "pipeline")]
        assert await api.sql("select count(*) from leases") == await api.sql("select count(*) from timers") == [(0,)]
        problem = assert_problem(await api.http.post(f"/tickets/{ticket_id}/retry"), 409, "invalid_move")
        assert problem["allowed"] == ["cancel", "replay"]

        woken = await say(api, ticket_id, "Sorry, it is CL-48102.", CUSTOMER)
        assert (woken.status, woken.lifecycle, woken.assignee) == ("pending", "in_progress", "pipeline")
        done = await ended(api, ticket_id)
        assert done["result"]["entities"]["order_id"] == "CL-48102"
        assert done["lifecycle"] == "resolved"
        moves = [move for move, _ in await firings(api, ticket_id)]
        assert moves[:4] == ["assign", "start_work", "request_info", "customer_reply"]
        said = (await api.http.get(f"/tickets/{ticket_id}/messages")).json()["items"]
        assert [item["author"] for item in said] == ["customer:cus_1", "pipeline", "customer:cus_1", "pipeline"]
        assert said[1]["body"] != said[3]["body"]

        await say(api, ticket_id, "Thank you, that is all!", CUSTOMER)
        thanked = await ended(api, ticket_id, lambda ticket: ticket["attempt"] == 3 and ticket["result"] is not None)
        assert (thanked["lifecycle"], thanked["result"]["disposition"]) == ("resolved", "answered")


async def test_a_person_who_replies_while_the_customer_is_asked_has_the_ticket_and_gets_a_suggestion(
    database_url: str,
) -> None:
    async with at_work(database_url, None, reply_settle_seconds=0.05) as api:
        ticket_id = await api.ticket(
            subject="Where is my parcel?", body="I ordered a Badger lock last week and it has not arrived yet."
        )
        await ended(api, ticket_id, lambda ticket: ticket["waiting_for"] == "customer")
        assert (await say(api, ticket_id, "I look after you now. Which colour is it?", MIA)).assignee == "mia"
        await say(api, ticket_id, "Blue, and the order is CL-48102.", CUSTOMER)
        done = await ended(api, ticket_id)
        assert (done["lifecycle"], done["assignee"]) == ("in_progress", "mia")
        assert done["result"]["disposition"] == "suggested"
        said = [author for kind, author in await messages(api, ticket_id) if kind == "reply"]
        assert said == ["customer:cus_1", "pipeline", "agent:mia", "customer:cus_1"]


async def test_a_question_that_was_cancelled_and_is_tried_again_still_stands(database_url: str) -> None:
    async with at_work(database_url, None, reply_settle_seconds=0.05) as api:
        ticket_id = await api.ticket(
            subject="Where is my parcel?", body="I ordered a Badger lock last week and it has not arrived yet."
        )
        await ended(api, ticket_id, lambda ticket: ticket["waiting_for"] == "customer")
        await api.http.post(f"/tickets/{ticket_id}/cancel")
        again = (await api.http.post(f"/tickets/{ticket_id}/retry")).json()
        assert (again["status"], again["waiting_for"], again["attempt"]) == ("waiting", "customer", 2)
        await say(api, ticket_id, "It is CL-48102.", CUSTOMER)
        assert (await ended(api, ticket_id))["result"]["entities"]["order_id"] == "CL-48102"


async def test_what_a_customer_says_while_the_ticket_is_paused_is_answered_too(api: Api, model: OpenAIServer) -> None:
    ticket_id = await held_at(api, model, "review")
    await api.http.post(f"/tickets/{ticket_id}/pause")
    model.faults.held = []

    async def kept() -> bool:
        return await api.sql("select count(*) from leases") == [(0,)]

    await reached(kept)
    drafts = model.stats.calls["draft"]
    said = await say(api, ticket_id, "And it beeps now.", CUSTOMER)
    assert (said.status, said.waiting_for) == ("waiting", "paused")
    await api.http.post(f"/tickets/{ticket_id}/resume")
    await ended(api, ticket_id)
    assert model.stats.calls["draft"] == drafts + 1


async def test_what_a_customer_says_while_the_first_step_of_a_paused_ticket_runs_is_answered_too(
    api: Api, model: OpenAIServer
) -> None:
    ticket_id = await held_at(api, model, "classify")
    await api.http.post(f"/tickets/{ticket_id}/pause")
    await say(api, ticket_id, "It is urgent: the whole street is dark.", CUSTOMER)
    model.faults.held = []
    await api.http.post(f"/tickets/{ticket_id}/resume")
    await ended(api, ticket_id)
    classified = [event for event in await trail(api, ticket_id) if event["step_name"] == "classify"]
    assert [event["payload"]["attempt"] for event in classified] == [2]


async def test_a_pause_is_over_when_the_customer_reopens_the_ticket(api: Api, model: OpenAIServer) -> None:
    ticket_id = await held_at(api, model, "draft")
    await api.http.post(f"/tickets/{ticket_id}/pause")
    model.faults.held = []
    await fire(api, ticket_id, "resolve", MIA, reply="It was the cable.")
    assert (await fire(api, ticket_id, "close", MIA)).waiting_for == "paused"
    await say(api, ticket_id, "It was not.", CUSTOMER)
    ticket = await ended(api, ticket_id)
    assert ticket["lifecycle"] in ("resolved", "escalated")


async def test_a_replay_of_an_answered_ticket_suggests_and_says_nothing_to_the_customer(api: Api) -> None:
    ticket_id = await api.ticket(subject="Firmware update fails", body="The sync stops with error 7.")
    await ended(api, ticket_id)
    await api.http.post(f"/tickets/{ticket_id}/replay", json={"from_step": "draft"})
    ticket = await ended(api, ticket_id, lambda ticket: ticket["attempt"] == 2 and ticket["status"] == "completed")
    assert ticket["result"]["disposition"] == "suggested"
    assert (await messages(api, ticket_id))[1:] == [("reply", "pipeline"), ("suggestion", "pipeline")]


async def test_a_supervisor_who_answers_an_escalated_ticket_of_nobodys_has_it(api: Api) -> None:
    ticket_id = await api.ticket(subject="Keypad", body="It stays dark.", assignee="mia")
    await fire(api, ticket_id, "start_work", MIA)
    assert (await fire(api, ticket_id, "escalate", MIA)).assignee is None
    assert (await say(api, ticket_id, "I am on it.", KAI)).assignee == "kai"
    assert (await say(api, ticket_id, "So am I.", MIA)).assignee == "kai"


async def test_a_message_that_is_sent_again_is_kept_once(api: Api) -> None:
    ticket_id = await api.ticket(subject="Firmware update fails", body="The sync stops.", assignee="mia")
    send = {"url": f"/tickets/{ticket_id}/messages", "headers": {"Idempotency-Key": "k"}}
    answers = await asyncio.gather(
        *(api.http.post(**send, json={"kind": "note", "body": "Old lock."}) for _ in range(10))
    )
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert [kind for kind, _ in await messages(api, ticket_id)].count("note") == 1
    assert_problem(await api.http.post(**send, json={"kind": "note", "body": "New lock."}), 422, "invalid")
    # Who repeats a request whose answer was lost saw the ticket as it was before it.
    send["headers"]["If-Match"] = '"2"'
    assert (await api.http.post(**send, json={"kind": "note", "body": "Old lock."})).status_code == 201


async def test_customers_see_their_own_tickets_and_the_public_part_of_them(api: Api) -> None:
    ticket_id = await api.ticket(subject="Firmware update fails", body="The sync stops.", assignee="mia", tags=["old"])
    await say(api, ticket_id, "Careful, third time this month.", MIA, "note")
    await say(api, ticket_id, "We will call you.", MIA)
    await ended(api, ticket_id)
    seen = await api.app.conversation.messages(ticket_id, CUSTOMER, 0, 50)
    assert [message.kind for message in seen] == ["reply", "reply"]
    events = await api.app.inspect.events(ticket_id, CUSTOMER)
    assert {event.event_type for event in events} <= {"created", "lifecycle", "message"}
    assert "Careful" not in repr(events)
    assert "mia" not in repr(events)
    state = await api.app.inspect.state(ticket_id, CUSTOMER)
    assert state["result"] is None
    assert not {"tags", "team", "assignee", "metadata", "vip", "error", "fingerprint"} & state.keys()
    stranger = Principal("cus_2", Role.CUSTOMER)
    for look in (
        api.app.inspect.ticket(ticket_id, stranger),
        api.app.inspect.events(ticket_id, stranger),
        api.app.inspect.state(ticket_id, stranger),
        api.app.conversation.messages(ticket_id, stranger, 0, 50),
        api.app.transitions.options(ticket_id, stranger),
    ):
        with pytest.raises(NotFound):
            await look


async def test_clients_of_petri_net_back_ends_use_the_same_tickets(api: Api) -> None:
    made = await api.http.post(
        "/api/support-ticket", json={"data": {"subject": "Keypad", "body": "Dark.", "customer_id": "cus_1"}}
    )
    assert made.status_code == 201, made.text
    aggregate_id = made.json()["aggregate_id"]
    await ended(api, UUID(aggregate_id))
    shown = (await api.http.get(f"/api/support-ticket/{aggregate_id}")).json()
    assert sum(shown["state"].values()) == 1
    move = shown["enabled_transitions"][0]
    moved = await api.http.post(f"/api/{move}", json={"aggregate_id": aggregate_id, "data": {}})
    assert moved.status_code == 200
    assert (moved.json()["success"], moved.json()["aggregate_id"]) == (True, aggregate_id)
    assert moved.json()["version"] == shown["version"] + 1
