"""Every transition, by every kind of caller, from every place: the net says what is to happen, HTTP what does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any
from uuid import UUID, uuid4

import pytest
import pytest_asyncio

from tests.support.access import bearer, guarded_settings
from tests.support.api import Api, a_ticket, served
from ticketflow.domain.lifecycle import NET, Move, Place, after, enabled, marking
from ticketflow.domain.roles import Principal, Role, held
from ticketflow.domain.tickets import Ticket
from ticketflow.services.caller import Caller

OWNER = "cus_1"
CALLERS: Mapping[str, tuple[Role, str] | None] = {
    "anonymous": None,
    "customer": (Role.CUSTOMER, OWNER),
    "foreign customer": (Role.CUSTOMER, "cus_2"),
    "agent": (Role.AGENT, "mia"),
    "supervisor": (Role.SUPERVISOR, "kai"),
    "admin": (Role.ADMIN, "root"),
}
WAYS: Mapping[Place, tuple[Move, ...]] = {
    Place.NEW: (),
    Place.ASSIGNED: (Move.ASSIGN,),
    Place.IN_PROGRESS: (Move.ASSIGN, Move.START_WORK),
    Place.ESCALATED: (Move.ASSIGN, Move.START_WORK, Move.ESCALATE),
    Place.PENDING_CUSTOMER: (Move.ASSIGN, Move.START_WORK, Move.REQUEST_INFO),
    Place.RESOLVED: (Move.ASSIGN, Move.START_WORK, Move.RESOLVE),
    Place.CLOSED: (Move.ASSIGN, Move.START_WORK, Move.RESOLVE, Move.CLOSE),
}
SOMEBODY = Principal("zoe", Role.ADMIN)

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def guarded(bare_database_url: str) -> AsyncIterator[Api]:
    async with served(guarded_settings(bare_database_url, customer_intake_per_minute=6000)) as api:
        yield api


def headers_of(caller: str) -> dict[str, str]:
    who = CALLERS[caller]
    return {} if who is None else bearer(*who)


async def standing_in(api: Api, place: Place) -> UUID:
    answer = await api.http.post("/tickets", json=a_ticket(customer_id=OWNER), headers=bearer(Role.ADMIN))
    ticket_id = UUID(answer.json()["ticket_id"])
    for move in WAYS[place]:
        await api.app.transitions.fire(ticket_id, move, {}, Caller(uuid4().hex, None, SOMEBODY))
    return ticket_id


def expected(caller: str, move: Move, place: Place) -> tuple[int, Any]:
    """What the answer is to be: its status, and then where the ticket is, or what the caller can do instead."""
    who = CALLERS[caller]
    if who is None:
        return 401, None
    role, subject = who
    if role is Role.CUSTOMER and subject != OWNER:
        return 404, None
    if held(role).isdisjoint(NET.transitions[move].roles):
        return 403, None
    if move not in enabled(marking(place)):
        return 409, [each for each in enabled(marking(place)) if held(role) & NET.transitions[each].roles]
    return 200, after(place, move)


async def asked(api: Api, ticket_id: UUID, caller: str, move: Move) -> tuple[int, Any]:
    answer = await api.http.post(f"/tickets/{ticket_id}/transitions/{move}", json={}, headers=headers_of(caller))
    told = {200: "lifecycle", 409: "allowed"}.get(answer.status_code)
    return answer.status_code, answer.json()[told] if told else None


@pytest.mark.parametrize("place", Place)
@pytest.mark.parametrize("caller", CALLERS)
async def test_the_api_answers_as_the_net_says(guarded: Api, caller: str, place: Place) -> None:
    untouched = await standing_in(guarded, place)
    before = await guarded.app.reads.ticket(untouched)
    for move in Move:
        wanted = expected(caller, move, place)
        # What succeeds needs a ticket of its own; what is refused leaves the one that all of them share as it was.
        ticket_id = untouched if wanted[0] != 200 else await standing_in(guarded, place)
        assert await asked(guarded, ticket_id, caller, move) == wanted, move
    assert await guarded.app.reads.ticket(untouched) == before


@pytest.mark.parametrize("place", Place)
async def test_the_options_are_what_the_api_then_lets_the_caller_do(guarded: Api, place: Place) -> None:
    ticket_id = await standing_in(guarded, place)
    for caller in CALLERS:
        answer = await guarded.http.get(f"/tickets/{ticket_id}/transitions", headers=headers_of(caller))
        possible = [move for move in Move if expected(caller, move, place)[0] == 200]
        refusal = expected(caller, Move.ASSIGN, place)[0]
        if refusal in (401, 404):
            assert answer.status_code == refusal
            continue
        assert [each["name"] for each in answer.json()["enabled"]] == possible
        assert {each["name"] for each in answer.json()["others"]} == set(Move) - set(possible)


async def test_of_fifty_agents_who_assign_a_ticket_at_once_one_succeeds(
    guarded: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticket_id = await standing_in(guarded, Place.NEW)
    look, looked, everybody = guarded.app.reads.ticket, 0, asyncio.Event()

    async def together(wanted: UUID) -> Ticket | None:
        """Nobody decides before all fifty have seen the ticket as it is."""
        nonlocal looked
        found = await look(wanted)
        looked += 1
        if looked == 50:
            everybody.set()
        await everybody.wait()
        return found

    monkeypatch.setattr(guarded.app.reads, "ticket", together)
    answers = await asyncio.gather(
        *(
            guarded.http.post(
                f"/tickets/{ticket_id}/transitions/assign", json={}, headers=bearer(Role.AGENT, f"agent-{number}")
            )
            for number in range(50)
        )
    )
    assert sorted(answer.status_code for answer in answers) == [200, *[409] * 49]
    [winner] = [answer.json()["assignee"] for answer in answers if answer.status_code == 200]
    events = await guarded.app.reads.events(ticket_id) or []
    assert [(event.event_type, event.actor) for event in events[1:]] == [("lifecycle", f"agent:{winner}")]
    assert {tuple(answer.json()["allowed"]) for answer in answers if answer.status_code == 409} == {("start_work",)}
