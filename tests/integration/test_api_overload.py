"""More than the API can take: who is sent away, and what slow or oversized clients can hold of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import httpx
import pytest

from tests.support.api import Api, a_ticket, assert_problem, following, served, settings_for
from tests.support.burst import head, parsed
from ticketflow import connections
from ticketflow.access import room
from ticketflow.api import middleware
from ticketflow.api.streams import EventHub

FEW = 4


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """So few requests at a time that they can be counted."""
    monkeypatch.setattr(room, "FEWEST", FEW)


@asynccontextmanager
async def store_held(api: Api) -> AsyncIterator[None]:
    """What changes a ticket waits until the block ends; what only looks does not."""
    async with api.database.transaction():
        await api.sql("lock table tickets, events in exclusive mode")
        yield


async def all_but(count: int, asked: list[Awaitable[Any]]) -> tuple[list[Any], list[asyncio.Task[Any]]]:
    """The first answers to requests sent together, and those that are not answered yet."""
    waiting = {asyncio.ensure_future(each) for each in asked}
    answered: list[Any] = []
    async with asyncio.timeout(20):
        while len(waiting) > count:
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            answered += [each.result() for each in done]
    return answered, list(waiting)


async def shed(api: Api) -> dict[str, float]:
    """Requests sent away so far, by the reason."""
    lines = (await api.http.get("/metrics")).text.splitlines()
    counted = [line.split('reason="')[1].split('"} ') for line in lines if line.startswith("http_requests_shed_total{")]
    return {reason: float(number) for reason, number in counted}


def assert_sent_away(answer: httpx.Response) -> None:
    assert "nothing was done" in assert_problem(answer, 503, "overloaded")["detail"]
    assert 1 <= int(answer.headers["retry-after"]) <= 3


@pytest.mark.usefixtures("few")
async def test_whoever_would_wait_too_long_is_told_to_come_back_and_those_before_are_served(api: Api) -> None:
    assert await shed(api) == {"wait": 0, "bytes": 0}
    async with store_held(api):
        refused, waiting = await all_but(FEW, [api.post() for _ in range(FEW + 3)])
        assert len(refused) == 3
        for answer in refused:
            assert_sent_away(answer)
    assert [(await post).status_code for post in waiting] == [201] * FEW
    assert await shed(api) == {"wait": 3, "bytes": 0}
    assert (await api.post()).status_code == 201
    assert (await api.rows())["tickets"] == FEW + 1


@pytest.mark.usefixtures("few")
async def test_work_on_tickets_that_are_here_is_let_in_a_little_longer_and_who_looks_always(api: Api) -> None:
    known = await api.ticket()
    say = {"kind": "reply", "body": "And another thing."}
    async with store_held(api):
        refused, posts = await all_but(FEW, [api.post() for _ in range(FEW + 1)])
        assert_sent_away(refused[0])
        url = f"/tickets/{known}/messages"
        refused, messages = await all_but(1, [api.http.post(url, json=say) for _ in range(2)])
        assert_sent_away(refused[0])
        assert_sent_away(await api.http.post(f"/tickets/{known}/transitions/assign"))
        assert_sent_away(await api.http.post("/tickets/batch", json={"tickets": [a_ticket()]}))
        for path in ("/health", "/ready", "/metrics", "/tickets", f"/tickets/{known}", "/stats"):
            assert (await api.http.get(path)).status_code == 200, path
    assert [(await post).status_code for post in [*posts, *messages]] == [201] * (FEW + 1)


async def test_bodies_under_way_take_no_more_bytes_than_allowed(database_url: str) -> None:
    large = {"body": "x" * 20_000}
    async with served(settings_for(database_url, waiting_bytes=65_536)) as api:
        async with store_held(api):
            refused, waiting = await all_but(3, [api.post(**large) for _ in range(5)])
            for answer in refused:
                assert_sent_away(answer)
            assert await shed(api) == {"wait": 0, "bytes": 2}
            # What does not say how large it is may be as large as anything.
            assert_sent_away(await api.http.post("/tickets", content=_pieces(a_ticket()), headers=_JSON))
        assert [(await post).status_code for post in waiting] == [201] * 3
        assert (await api.http.post("/tickets", content=_pieces(a_ticket()), headers=_JSON)).status_code == 201


@pytest.mark.usefixtures("few")
async def test_who_was_answered_before_their_body_came_keeps_nobody_out(database_url: str) -> None:
    """Nothing is needed for such a request, not even a token."""
    async with served(settings_for(database_url, waiting_bytes=65_536)) as api, AsyncExitStack() as stack:
        for _ in range(FEW + 1):
            reader, writer = await stack.enter_async_context(connected(api))
            writer.write(head("/no-such-place", 60_000))
            assert (await reader.readline()).split()[1] == b"404"
        assert (await api.post()).status_code == 201


async def test_a_refused_body_that_is_here_waits_for_none_that_does_not_come(api: Api) -> None:
    async with AsyncExitStack() as stack:
        for _ in range(middleware.MOST_LINGERING + 1):
            reader, writer = await stack.enter_async_context(connected(api))
            writer.write(head("/no-such-place", 1000))
            await reader.readline()
        reader, writer = await stack.enter_async_context(connected(api))
        writer.write(head("/no-such-place", 2, "Connection: close\r\n") + b"{}")
        assert parsed(await reader.read()).status == 404


_JSON = {"Content-Type": "application/json"}


async def _pieces(body: dict[str, Any]) -> AsyncIterator[bytes]:
    yield json.dumps(body).encode()


@asynccontextmanager
async def connected(api: Api) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    port = api.http.base_url.port
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(20):
            yield reader, writer
    finally:
        writer.close()


async def test_a_body_that_does_not_arrive_is_not_waited_for_and_stores_nothing(database_url: str) -> None:
    async with served(settings_for(database_url, body_seconds=0.1)) as api, connected(api) as (reader, writer):
        writer.write(head("/tickets", 1000) + b'{"subject":')
        answer = parsed(await reader.read())
        assert answer.status == 408
        assert answer.body["code"] == "too_slow"
        assert answer.headers["connection"] == "close"
        assert (await api.rows())["tickets"] == 0


async def test_the_time_for_a_body_is_not_that_of_a_stream(database_url: str) -> None:
    async with served(settings_for(database_url, body_seconds=0.1)) as api:
        known = await api.ticket()
        async with following(api, known) as stream:
            await stream.next()
            await asyncio.sleep(0.3)
            assert (await api.http.post(f"/tickets/{known}/pause")).status_code == 200
            assert (await stream.next()).event == "paused"


async def test_who_is_refused_before_the_body_was_read_sees_the_answer(api: Api) -> None:
    """A connection that is closed with something unread is reset, and the answer lost with it."""
    size = 8_000_000
    async with connected(api) as (reader, writer):
        writer.write(head("/tickets", size, "Connection: close\r\n") + b" " * size)
        answer = parsed(await reader.read())
    assert answer.status == 413
    assert answer.body["code"] == "too_large"


async def test_of_a_body_that_nobody_asks_for_only_the_beginning_is_read(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    fed: list[int] = []
    read = connections.HttpToolsProtocol.data_received
    monkeypatch.setattr(
        connections.HttpToolsProtocol,
        "data_received",
        lambda self, data: (fed.append(len(data)), read(self, data))[1],
    )

    async def deaf(*_: Any) -> None:
        await asyncio.sleep(0.2)

    monkeypatch.setattr("ticketflow.api.authentication.Authentication.__call__", deaf)
    async with connected(api) as (_, writer):
        writer.write(head("/tickets", 1_000_000) + b" " * 1_000_000)
        await asyncio.sleep(0.1)
        assert 0 < sum(fed) <= connections.READ_BYTES


async def test_who_is_still_sending_when_the_server_ends_is_told_so(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ticketflow.serving.GRACEFUL_SECONDS", 0)
    async with AsyncExitStack() as stack:
        async with served(settings_for(database_url)) as api:
            reader, writer = await stack.enter_async_context(connected(api))
            writer.write(head("/tickets", 1000) + b'{"subject":')
            assert (await api.http.get("/health")).status_code == 200
        answer = parsed(await reader.read())
    assert answer.status == 503
    assert answer.body["code"] == "stopping"


@pytest.mark.parametrize("sent", [b"", b"POST /tickets HTTP/1.1\r\nHost: local"], ids=["nothing", "part of a head"])
async def test_a_head_that_does_not_arrive_is_not_waited_for(
    api: Api, monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.05)
    monkeypatch.setattr(connections, "MERCY_SECONDS", 0.05)
    async with connected(api) as (reader, writer):
        writer.write(sent)
        assert await reader.read() == b""


async def test_a_second_head_that_does_not_arrive_is_not_waited_for_either(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with connected(api) as (reader, writer):
        writer.write(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await reader.readuntil(b"}")
        monkeypatch.setattr(connections, "HEAD_SECONDS", 0.05)
        monkeypatch.setattr(connections, "MERCY_SECONDS", 0.05)
        writer.write(b"GET /hea")
        assert await reader.read() == b""


async def test_a_head_without_end_is_not_collected(api: Api) -> None:
    async with connected(api) as (reader, writer):
        line = b"X-More: " + b"x" * 1000 + b"\r\n"
        writer.write(b"GET /health HTTP/1.1\r\nHost: localhost\r\n" + line * 200)
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await reader.readexactly(1)


async def test_the_length_of_a_chunk_may_come_by_itself(api: Api) -> None:
    body = json.dumps(a_ticket()).encode()
    chunked = head("/tickets", 0).replace(b"Content-Length: 0", b"Transfer-Encoding: chunked\r\nConnection: close")
    length = f"{len(body):x}\r\n".encode()
    async with connected(api) as (reader, writer):
        for sent in (chunked, length[:-2], b"\r\n", body + b"\r\n", b"0\r\n", b"\r\n"):
            writer.write(sent)
            # So that each is read by itself.
            assert (await api.http.get("/health")).status_code == 200
        assert parsed(await reader.read()).status == 201


@pytest.mark.parametrize(
    "frame", [b"5;" + b"x" * 200_000, b"0\r\n" + b"X-More: x\r\n" * 20_000], ids=["chunk", "trailers"]
)
async def test_what_frames_a_body_without_end_is_not_collected(api: Api, frame: bytes) -> None:
    async with connected(api) as (reader, writer):
        writer.write(head("/tickets", 0).replace(b"Content-Length: 0", b"Transfer-Encoding: chunked") + frame)
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await reader.readexactly(1)


async def test_a_head_without_end_is_not_collected_behind_a_stream_either(api: Api) -> None:
    known = await api.ticket()
    async with connected(api) as (reader, writer):
        writer.write(f"GET /tickets/{known}/events/stream HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        await reader.readuntil(b"event: ")
        writer.write(b"GET /health HTTP/1.1\r\n" + b"X-More: x\r\n" * 20_000)
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await reader.readuntil(b"not to be found")


async def test_a_stream_ends_with_its_client_also_when_another_request_waits_behind_it(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = asyncio.Event()
    follow = EventHub.follow

    async def watched(*given: Any) -> AsyncIterator[bytes]:
        try:
            async for each in follow(*given):
                yield each
        finally:
            ended.set()

    monkeypatch.setattr(EventHub, "follow", watched)
    known = await api.ticket()
    async with connected(api) as (reader, writer):
        get = "GET {} HTTP/1.1\r\nHost: localhost\r\n\r\n"
        writer.write((get.format(f"/tickets/{known}/events/stream") + get.format("/health")).encode())
        await reader.readuntil(b"event: ")
    async with asyncio.timeout(5):
        await ended.wait()


async def test_a_large_head_may_follow_a_large_body(api: Api) -> None:
    body = json.dumps(a_ticket(body="x" * 20_000)).encode()
    async with connected(api) as (reader, writer):
        writer.write(head("/tickets", len(body)) + body)
        await reader.readuntil(b"}")
        more = "X-More: " + "x" * (connections.MOST_HEAD_BYTES - connections.READ_BYTES) + "\r\n"
        writer.write(f"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{more}\r\n".encode())
        assert parsed(await reader.read()).status == 200
