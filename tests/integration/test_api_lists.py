"""``GET /tickets``: filters, order, and pages that neither repeat nor miss a ticket."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import pytest

from tests.support.api import Api, assert_problem
from tests.support.trails import claimed, complete, new_ticket
from ticketflow.db.leases import Leases


async def listed(api: Api, **query: Any) -> list[UUID]:
    answer = await api.http.get("/tickets", params=query)
    assert answer.status_code == 200, answer.text
    return [UUID(item["id"]) for item in answer.json()["items"]]


async def pages(api: Api, limit: int, **query: Any) -> list[UUID]:
    """All ids in the order of the list, a page at a time."""
    seen: list[UUID] = []
    cursor: str | None = None
    while True:
        params = {"limit": limit, **query, **({"cursor": cursor} if cursor else {})}
        page = (await api.http.get("/tickets", params=params)).json()
        assert len(page["items"]) <= limit
        seen += [UUID(item["id"]) for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            return seen


async def test_each_filter_finds_its_tickets_and_no_others(api: Api, leases: Leases) -> None:
    plain = await api.ticket(subject="Nothing special")
    special = await api.ticket(
        subject="The frobnicator hums",
        body="It started on Monday",
        customer_id="cus_special",
        priority="urgent",
        category="account",
        channel="chat",
        tags=["loud", "odd one"],
    )
    team = await new_ticket(api.app.commits, team="l2")
    done = await new_ticket(api.app.commits)
    await complete(api.app.commits, leases, done)
    worked_on = await new_ticket(api.app.commits)
    await claimed(leases, worked_on)

    for query in (
        {"category": "account"},
        {"priority": "urgent"},
        {"customer_id": "cus_special"},
        {"channel": "chat"},
        {"tag": "loud"},
        {"tag": "odd one"},
        {"q": "FROBNICATOR"},
        {"q": "monday hums"},
        {"q": "frobnicator", "status": "pending", "priority": "urgent", "tag": "loud"},
    ):
        assert await listed(api, **query) == [special], query
    assert await listed(api, team="l2") == [team]
    assert await listed(api, status="completed") == [done]
    assert set(await listed(api, status=["completed", "processing"])) == {done, worked_on}
    assert set(await listed(api, priority=["urgent", "low"])) == {special}
    for nothing in (
        {"q": "frobnicator banana"},
        {"tag": "Loud"},
        {"team": "billing"},
        {"customer_id": "cus"},
        {"category": "technical"},
        {"q": "frobnicator", "status": "completed"},
    ):
        assert await listed(api, **nothing) == [], nothing
    assert set(await listed(api)) == {plain, special, team, done, worked_on}


async def test_created_after_and_before_leave_out_the_moment_itself(api: Api) -> None:
    ids = [await api.ticket() for _ in range(3)]
    times = [(await api.http.get(f"/tickets/{ticket_id}")).json()["created_at"] for ticket_id in ids]
    assert await listed(api, created_after=times[1]) == [ids[2]]
    assert await listed(api, created_before=times[1]) == [ids[0]]
    assert await listed(api, created_after=times[0], created_before=times[2]) == [ids[1]]
    # The same moment in another time zone.
    abroad = datetime.fromisoformat(times[1]).astimezone(timezone(timedelta(hours=5))).isoformat()
    assert await listed(api, created_after=abroad) == [ids[2]]


async def test_pages_cover_every_ticket_once_also_where_times_are_equal(api: Api) -> None:
    ids = [await new_ticket(api.app.commits) for _ in range(17)]
    moment = datetime(2026, 1, 31, 12, tzinfo=UTC)
    await api.sql("update tickets set created_at = %s", moment)
    await api.sql("update tickets set created_at = %s where id = any(%s)", moment + timedelta(seconds=1), ids[:3])
    order = [row[0] for row in await api.sql("select id from tickets order by created_at, id")]
    for limit in (1, 4, 17, 200):
        assert await pages(api, limit, sort="created_at") == order
        assert await pages(api, limit) == order[::-1]


async def test_a_ticket_taken_in_between_two_pages_moves_no_other(api: Api) -> None:
    ids = [await api.ticket() for _ in range(4)]
    first = (await api.http.get("/tickets", params={"limit": 2})).json()
    await api.ticket()
    second = (await api.http.get("/tickets", params={"limit": 2, "cursor": first["next_cursor"]})).json()
    seen = [UUID(item["id"]) for item in first["items"] + second["items"]]
    assert seen == ids[::-1]


async def test_a_list_item_is_the_ticket_as_it_is_shown_alone(api: Api) -> None:
    ticket_id = await api.ticket(tags=["x"], metadata={"a": 1})
    [item] = (await api.http.get("/tickets")).json()["items"]
    assert item == (await api.http.get(f"/tickets/{ticket_id}")).json()


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("status=asleep", "status"),
        ("status=pending&status=", "status"),
        ("category=Billing", "category"),
        ("priority=1", "priority"),
        ("channel=fax", "channel"),
        ("team=", "team"),
        ("team=%00", "team"),
        ("customer_id=%20", "customer_id"),
        ("customer_id=" + "x" * 101, "customer_id"),
        ("tag=%00", "tag"),
        ("q=", "q"),
        ("q=a%00b", "q"),
        ("created_after=2026-01-01", "created_after"),
        ("created_after=2026-01-01T00:00:00", "created_after"),
        ("created_before=yesterday", "created_before"),
        ("created_before=0001-01-01T00:00:00Z", "created_before"),
        ("created_after=9999-12-31T23:59:59-23:00", "created_after"),
        ("sort=subject", "sort"),
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("limit=many", "limit"),
        ("limit=" + "9" * 40, "limit"),
        ("cursor=nonsense", "cursor"),
        ("cursor=%ff%00", "cursor"),
        ("cursor=" + "A" * 201, "cursor"),
        ("cursor=WyIyMDI2LTAxLTAxVDAwOjAwOjAwWiIsIm5vIl0", "cursor"),  # ["2026-01-01T00:00:00Z","no"]
        ("cursor=bnVsbA", "cursor"),  # null
        ("cursor=e30", "cursor"),  # {}
        ("statuss=pending", "statuss"),
        ("customer=cus_1", "customer"),
        ("%00=1", "\x00"),
    ],
)
@pytest.mark.asyncio(loop_scope="module")
async def test_a_query_of_the_wrong_shape_is_refused_by_name(bare_api: Api, query: str, field: str) -> None:
    assert_problem(await bare_api.http.get(f"/tickets?{query}"), 422, "invalid", field)


@pytest.mark.parametrize("moment", ["2026-01-01T00:00:00%2B23:59", "2026-01-01T00:00:00-23:59"])
@pytest.mark.asyncio(loop_scope="module")
async def test_any_offset_of_a_time_zone_is_understood(bare_api: Api, moment: str) -> None:
    """PostgreSQL knows none beyond 16 hours."""
    assert (await bare_api.http.get(f"/tickets?created_after={moment}")).status_code == 200


@pytest.mark.parametrize("path", ["/tickets/{}", "/tickets/{}/events", "/tickets/{}/events/stream", "/dead-letters"])
async def test_a_parameter_that_a_path_does_not_have_is_refused(api: Api, path: str) -> None:
    url = path.format(await api.ticket())
    assert_problem(await api.http.get(f"{url}?nonsense=1"), 422, "invalid", "nonsense")
