"""Server-sent events: in order, once, and without a gap for a client that reconnects."""

from __future__ import annotations

import asyncio
import contextlib

import httpx
import pytest

from tests.support.api import Api, assert_problem, following, served, settings_for
from tests.support.trails import applied, at_version, event
from ticketflow.api.streams import MOST_UNREAD


async def test_a_stream_tells_what_happened_and_then_what_happens(api: Api) -> None:
    ticket_id = await api.ticket()
    await applied(api.app.commits, at_version(ticket_id, 1, event(team="l2"), event(tags=["a\nb"])))
    async with following(api, ticket_id) as stream:
        assert stream.response.headers["content-type"].startswith("text/event-stream")
        assert stream.response.headers["cache-control"] == "no-store"
        sent = await stream.take(3)
        await applied(api.app.commits, at_version(ticket_id, 3, event(status="cancelled")))
        sent += await stream.take(1)
    assert [message.id for message in sent] == [1, 2, 3, 4]
    assert [message.event for message in sent] == ["created"] + ["status_change"] * 3
    shown = (await api.http.get(f"/tickets/{ticket_id}/events")).json()["items"]
    assert [message.data for message in sent] == shown


async def test_last_event_id_resumes_without_loss_and_without_repeating(api: Api) -> None:
    ticket_id = await api.ticket()
    await applied(api.app.commits, at_version(ticket_id, 1, event(), event()))
    async with following(api, ticket_id) as stream:
        last = (await stream.take(2))[-1]
    # Away for two events, of which one had been sent but not read.
    await applied(api.app.commits, at_version(ticket_id, 3, event()))
    async with following(api, ticket_id, last_event_id=str(last.id)) as stream:
        assert [message.id for message in await stream.take(2)] == [3, 4]
        await applied(api.app.commits, at_version(ticket_id, 4, event()))
        assert (await stream.next()).id == 5


async def test_after_begins_a_stream_in_the_middle(api: Api) -> None:
    ticket_id = await api.ticket()
    await applied(api.app.commits, at_version(ticket_id, 1, event(), event()))
    async with api.http.stream("GET", f"/tickets/{ticket_id}/events/stream?after=2") as response:
        ids = [line async for line in _until(response.aiter_lines(), "id: ")]
    assert ids == ["id: 3"]


async def _until(lines, prefix):  # type: ignore[no-untyped-def]
    async with asyncio.timeout(10):
        async for line in lines:
            if line.startswith(prefix):
                yield line
                return


async def test_a_server_that_stops_ends_its_streams_in_good_order(database_url: str) -> None:
    async with contextlib.AsyncExitStack() as open_streams:
        async with served(settings_for(database_url)) as api:
            ticket_id = await api.ticket()
            client = await open_streams.enter_async_context(httpx.AsyncClient(base_url=api.http.base_url))
            url = f"/tickets/{ticket_id}/events/stream"
            stream = await open_streams.enter_async_context(client.stream("GET", url))
            lines = stream.aiter_lines()
            async for line in lines:
                if line.startswith("data"):
                    break
        # Cut off, this would raise.
        assert [line async for line in lines if line] == []


async def test_two_listeners_at_different_places_each_get_their_own_events(api: Api) -> None:
    one, two = await api.ticket(), await api.ticket()
    await applied(api.app.commits, at_version(one, 1, event(), event()))
    async with (
        following(api, one) as from_start,
        following(api, one, last_event_id="2") as from_second,
        following(api, two) as other,
    ):
        assert [message.id for message in await from_start.take(3)] == [1, 2, 3]
        assert (await from_second.next()).id == 3
        assert (await other.next()).data["ticket_id"] == str(two)
        await applied(api.app.commits, at_version(one, 3, event()))
        assert (await from_start.next()).id == (await from_second.next()).id == 4


async def test_a_trail_longer_than_a_client_may_lag_behind_comes_whole(api: Api) -> None:
    ticket_id = await api.ticket()
    await applied(api.app.commits, at_version(ticket_id, 1, *[event()] * 2 * MOST_UNREAD))
    async with following(api, ticket_id) as stream:
        sent = await stream.take(2 * MOST_UNREAD + 1)
    assert [message.id for message in sent] == list(range(1, 2 * MOST_UNREAD + 2))


@pytest.mark.parametrize("bad", ["x", "-1", "1.5", "9" * 12, "²"])
async def test_a_last_event_id_that_is_no_seq_is_refused(api: Api, bad: str) -> None:
    ticket_id = await api.ticket()
    answer = await api.http.get(f"/tickets/{ticket_id}/events/stream", headers={"Last-Event-ID": bad.encode()})
    assert_problem(answer, 422, "invalid", "Last-Event-ID")
