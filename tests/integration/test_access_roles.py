"""Over HTTP: which role may call what, whom X-Act-As makes of a caller, and how many tickets one may send."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import httpx
import pytest
import pytest_asyncio

from tests.support.access import bearer, guarded_settings
from tests.support.api import Api, a_ticket, assert_problem, served, settings_for
from ticketflow.domain.roles import Role, held

NOBODY = UUID(int=0)
ANYONE = frozenset(Role)
STAFF = frozenset({Role.AGENT, Role.SUPERVISOR, Role.ADMIN})
ABOVE = frozenset({Role.SUPERVISOR, Role.ADMIN})
OPERATIONS: dict[tuple[str, str], frozenset[Role]] = {
    ("post", "/tickets"): ANYONE,
    ("get", "/tickets"): ANYONE,
    ("get", "/tickets/{ticket_id}"): ANYONE,
    ("get", "/tickets/{ticket_id}/events"): ANYONE,
    ("get", "/tickets/{ticket_id}/events/stream"): ANYONE,
    ("get", "/tickets/{ticket_id}/state"): ANYONE,
    ("get", "/tickets/{ticket_id}/workflow"): STAFF,
    ("post", "/tickets/batch"): STAFF,
    ("get", "/tickets/{ticket_id}/transitions"): ANYONE,
    ("get", "/tickets/{ticket_id}/messages"): ANYONE,
    ("post", "/tickets/{ticket_id}/messages"): ANYONE,
    ("post", "/tickets/{ticket_id}/transitions/{name}"): ANYONE,
    ("post", "/api/support-ticket"): ANYONE,
    ("get", "/api/support-ticket/{ticket_id}"): ANYONE,
    ("post", "/api/{transition}"): ANYONE,
    ("post", "/tickets/{ticket_id}/pause"): STAFF,
    ("post", "/tickets/{ticket_id}/resume"): STAFF,
    ("post", "/tickets/{ticket_id}/cancel"): STAFF,
    ("post", "/tickets/{ticket_id}/retry"): STAFF,
    ("post", "/tickets/{ticket_id}/replay"): STAFF,
    ("get", "/stats"): STAFF,
    ("get", "/metrics"): STAFF,
    ("get", "/dead-letters"): STAFF,
    ("get", "/dead-letters/{letter_id}"): STAFF,
    ("post", "/dead-letters/redrive"): ABOVE,
    ("post", "/dead-letters/{letter_id}/redrive"): ABOVE,
}
LIMITED = {
    ("post", "/tickets"),
    ("post", "/tickets/batch"),
    ("post", "/tickets/{ticket_id}/messages"),
    ("post", "/tickets/{ticket_id}/transitions/{name}"),
    ("post", "/api/support-ticket"),
    ("post", "/api/{transition}"),
}
OPEN = {("get", "/health"), ("get", "/ready")}

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def guarded(bare_database_url: str) -> AsyncIterator[Api]:
    async with served(guarded_settings(bare_database_url)) as api:
        yield api


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def local(bare_database_url: str) -> AsyncIterator[Api]:
    async with served(settings_for(bare_database_url)) as api:
        yield api


async def test_every_operation_is_in_the_table(guarded: Api) -> None:
    document = (await guarded.http.get("/openapi.json")).json()
    described = {(method, path) for path, methods in document["paths"].items() for method in methods}
    assert described == OPERATIONS.keys() | OPEN
    for method, path in described:
        operation = document["paths"][path][method]
        guarded_here = (method, path) not in OPEN
        assert ("security" in operation) == guarded_here, path
        assert ({"401", "403"} <= operation["responses"].keys()) == guarded_here, path
        assert ("429" in operation["responses"]) == ((method, path) in LIMITED), path
    assert document["components"]["securitySchemes"]["token"]["scheme"] == "bearer"


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize(("method", "path"), OPERATIONS)
async def test_a_role_may_call_what_the_table_says(guarded: Api, method: str, path: str, role: Role) -> None:
    url = path.format(ticket_id=NOBODY, letter_id=NOBODY, name="close", transition="close")
    body = {} if method == "post" else None
    answer = await guarded.http.request(method, url, json=body, headers=bearer(role))
    if role in OPERATIONS[method, path]:
        assert answer.status_code not in (401, 403), answer.text
    else:
        assert_problem(answer, 403, "forbidden")
    assert (role in OPERATIONS[method, path]) == any(each in held(role) for each in OPERATIONS[method, path])


async def test_a_customer_sends_tickets_of_their_own_only(guarded: Api) -> None:
    headers = bearer(Role.CUSTOMER, "cus_7")
    before = await guarded.rows()
    answer = await guarded.http.post("/tickets", json=a_ticket(customer_id="cus_8"), headers=headers)
    assert_problem(answer, 403, "forbidden", field="customer_id")
    assert await guarded.rows() == before
    assert (await guarded.http.post("/tickets", json=a_ticket(customer_id="cus_7"), headers=headers)).status_code == 201
    for role in STAFF:
        answer = await guarded.http.post("/tickets", json=a_ticket(customer_id="cus_8"), headers=bearer(role))
        assert answer.status_code == 201


async def test_messages_count_towards_what_a_customer_may_send_in_a_minute(bare_database_url: str) -> None:
    async with served(guarded_settings(bare_database_url, customer_intake_per_minute=3)) as api:
        headers = bearer(Role.CUSTOMER, "cus_9")
        taken = await api.http.post("/tickets", json=a_ticket(customer_id="cus_9"), headers=headers)
        url = f"/tickets/{taken.json()['ticket_id']}/messages"
        for _ in range(2):
            assert (await api.http.post(url, json={"body": "And?"}, headers=headers)).status_code == 201
        before = await api.rows()
        answer = await api.http.post(url, json={"body": "And?"}, headers=headers)
        assert_problem(answer, 429, "too_many_requests")
        assert int(answer.headers["retry-after"]) > 0
        assert await api.rows() == before


async def actor(api: Api, customer_id: str, headers: dict[str, str]) -> tuple[int, str]:
    """The status of taking a ticket in, and as whom it was."""
    answer = await api.http.post("/tickets", json=a_ticket(customer_id=customer_id), headers=headers)
    if answer.status_code != 201:
        return answer.status_code, answer.json()["code"]
    [(found,)] = await api.sql("select actor from events where ticket_id = %s", answer.json()["ticket_id"])
    return 201, found


@pytest.mark.parametrize(
    ("wish", "found"),
    [
        ("customer:cus_1", (201, "customer:cus_1")),
        ("customer:cus_2", (403, "forbidden")),
        ("agent", (201, "agent:local")),
        ("agent:mia", (201, "agent:mia")),
        ("agent:Ünal".encode(), (201, "agent:Ünal")),
        ("admin:eve", (201, "admin:eve")),
        ("customer", (422, "invalid")),
        ("agent:pipeline", (422, "invalid")),
        (b"agent:\xff\xfe\x80", (422, "invalid")),
        ("root", (422, "invalid")),
        ("", (422, "invalid")),
    ],
)
async def test_at_this_machine_the_header_makes_anybody_of_the_caller(
    local: Api, wish: str | bytes, found: tuple[int, str]
) -> None:
    assert await actor(local, "cus_1", {"X-Act-As": wish}) == found  # type: ignore[dict-item]


@pytest.mark.parametrize(
    ("role", "wish", "found"),
    [
        (Role.ADMIN, "agent", (201, "agent:mia")),
        (Role.ADMIN, "customer", (403, "forbidden")),
        (Role.SUPERVISOR, "agent", (201, "agent:mia")),
        (Role.SUPERVISOR, "admin", (403, "forbidden")),
        (Role.AGENT, "supervisor", (403, "forbidden")),
        (Role.AGENT, "customer", (403, "forbidden")),
        (Role.CUSTOMER, "agent", (403, "forbidden")),
        (Role.ADMIN, "customer:cus_1", (403, "forbidden")),
        (Role.ADMIN, "agent:eve", (403, "forbidden")),
        (Role.ADMIN, "root", (422, "invalid")),
    ],
)
async def test_with_a_token_the_header_narrows_the_role_alone(
    guarded: Api, role: Role, wish: str, found: tuple[int, str]
) -> None:
    assert await actor(guarded, "cus_1", bearer(role) | {"X-Act-As": wish}) == found


async def test_a_narrowed_caller_may_do_no_more_than_the_narrower_role(guarded: Api, local: Api) -> None:
    for api, headers in ((guarded, bearer(Role.ADMIN)), (local, {})):
        assert (await api.http.post("/dead-letters/redrive", json={}, headers=headers)).status_code == 200
        refused = await api.http.post("/dead-letters/redrive", json={}, headers=headers | {"X-Act-As": "agent"})
        assert_problem(refused, 403, "forbidden")


async def test_where_nothing_is_configured_no_token_is_needed_and_who_sends_one_is_not_the_admin(local: Api) -> None:
    assert await actor(local, "cus_1", {"Authorization": "Bearer garbage"}) == (401, "unauthenticated")
    assert await actor(local, "cus_1", {"Authorization": "Basic bWlhOm1pYQ=="}) == (201, "admin:local")
    assert (await local.http.get("/metrics")).status_code == 200


@pytest_asyncio.fixture(loop_scope="module")
async def limited(bare_database_url: str) -> AsyncIterator[Api]:
    settings = guarded_settings(bare_database_url, customer_intake_per_minute=2, staff_intake_per_minute=5)
    async with served(settings) as api:
        yield api


async def test_a_caller_who_sends_too_much_is_told_when_to_come_back(limited: Api) -> None:
    headers = bearer(Role.CUSTOMER, "cus_7")

    async def send(**given: str) -> httpx.Response:
        return await limited.http.post("/tickets", json=a_ticket(customer_id="cus_7", **given), headers=headers)

    # What is refused for another reason is not counted.
    assert (await send(subject="")).status_code == 422
    assert [(await send()).status_code for _ in range(2)] == [201] * 2
    before = await limited.rows()
    answer = await send()
    assert_problem(answer, 429, "too_many_requests")
    assert 1 <= int(answer.headers["retry-after"]) <= 30
    assert await limited.rows() == before
    # Only intake is counted, and only this caller's.
    assert (await limited.http.get("/tickets", headers=headers)).status_code == 200
    assert (await limited.http.post("/tickets", json=a_ticket(), headers=bearer(Role.AGENT))).status_code == 201


async def test_a_batch_counts_each_of_its_tickets(limited: Api) -> None:
    name = uuid4().hex

    async def send(tickets: int) -> httpx.Response:
        batch = {"tickets": [a_ticket() for _ in range(tickets)]}
        return await limited.http.post("/tickets/batch", json=batch, headers=bearer(Role.AGENT, name))

    assert (await send(4)).status_code == 200
    before = await limited.rows()
    assert_problem(await send(4), 429, "too_many_requests")
    assert_problem(await send(6), 422, "invalid", field="tickets")
    assert await limited.rows() == before
    assert (await send(1)).status_code == 200
