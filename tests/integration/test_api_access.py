"""Without authentication the API is for this machine only."""

from __future__ import annotations

import asyncio
import re
import socket
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from tests.support.api import Api, assert_problem
from ticketflow.api.middleware import RequestFrame
from ticketflow.domain.errors import ConfigurationError
from ticketflow.serving import check_address, listening_socket


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.7", "203.0.113.9", "support.example.com", "", "127.1"])
def test_an_address_that_others_can_reach_is_refused_in_one_line(host: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        check_address(host, allow_anonymous=False, authenticates=False)
    assert "\n" not in str(refused.value)
    assert "TICKETFLOW_TOKEN_SECRET_FILE" in str(refused.value)
    assert "TICKETFLOW_ALLOW_ANONYMOUS" in str(refused.value)
    check_address(host, allow_anonymous=True, authenticates=False)
    check_address(host, allow_anonymous=False, authenticates=True)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_a_loopback_address_is_served(host: str) -> None:
    check_address(host, allow_anonymous=False, authenticates=False)


def test_a_port_that_is_taken_is_said_in_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError, match=f"cannot listen on 127.0.0.1:{port}: ") as refused:
            listening_socket("127.0.0.1", port)
    assert "\n" not in str(refused.value)


async def test_answers_are_not_held_back_for_an_acknowledgement() -> None:
    accepted: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def connected(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted.set_result(writer.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        writer.close()

    listener = listening_socket("127.0.0.1", 0)
    async with await asyncio.start_server(connected, sock=listener):
        _, client = await asyncio.open_connection(*listener.getsockname())
        assert await accepted != 0
        client.close()


async def answered(server: Any, allow_anonymous: bool, **headers: str) -> httpx.Response:
    """What the frame answers to a request that arrived at this address."""

    async def welcome(scope: Scope, receive: Receive, send: Send) -> None:
        await PlainTextResponse("welcome")(scope, receive, send)

    frame = RequestFrame(welcome, max_body_bytes=1024, body_seconds=30, only_from_here=not allow_anonymous)

    async def arriving(scope: Any, receive: Any, send: Any) -> None:
        await frame({**scope, "server": server}, receive, send)

    async with httpx.AsyncClient(transport=httpx.ASGITransport(arriving), base_url="http://localhost") as http:
        return await http.get("/", headers={"Host": "127.0.0.1"} | headers)


@pytest.mark.parametrize("server", [("203.0.113.9", 8000), ("0.0.0.0", 80), ("::", 80), ("fe80::1", 80), ("shop", 80)])
async def test_a_request_that_arrived_from_outside_is_forbidden(server: tuple[str, int]) -> None:
    # Whatever the client claims, the address that it reached is what counts.
    claims = {"X-Forwarded-For": "127.0.0.1"}
    assert_problem(await answered(server, allow_anonymous=False, **claims), 403, "anonymous_not_allowed")
    assert (await answered(server, allow_anonymous=True)).text == "welcome"


@pytest.mark.parametrize("server", [("127.0.0.1", 8000), ("::1", 80), ("localhost", 80), ("/run/t.sock", None), None])
async def test_a_request_that_arrived_on_this_machine_is_let_in(server: Any) -> None:
    assert (await answered(server, allow_anonymous=False)).text == "welcome"


HERE = ("127.0.0.1", 8000)


@pytest.mark.parametrize("name", ["Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP"])
async def test_a_request_that_a_proxy_passes_on_is_not_from_here(name: str) -> None:
    assert_problem(await answered(HERE, allow_anonymous=False, **{name: "127.0.0.1"}), 403, "forwarded")
    assert (await answered(HERE, allow_anonymous=True, **{name: "127.0.0.1"})).text == "welcome"


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "evil.example:8000"},
        {"Host": "127.0.0.1.evil.example"},
        {"Host": "[::1"},
        {"Host": "192.168.1.7:8000"},
        {"Origin": "https://evil.example"},
        {"Origin": "http://localhost.evil.example"},
        {"Origin": "null"},
        {"Origin": ""},
    ],
)
async def test_a_page_from_elsewhere_cannot_drive_a_local_server(headers: dict[str, str]) -> None:
    assert_problem(await answered(HERE, allow_anonymous=False, **headers), 403, "cross_site")
    assert (await answered(HERE, allow_anonymous=True, **headers)).text == "welcome"


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "localhost:8000"},
        {"Host": "[::1]:8000"},
        {"Host": "127.8.8.8"},
        {"Host": "ticketflow.localhost"},
        {"Origin": "http://localhost:3000"},
        {"Origin": "http://[::1]:8000"},
    ],
)
async def test_a_page_from_this_machine_is_let_in(headers: dict[str, str]) -> None:
    assert (await answered(HERE, allow_anonymous=False, **headers)).text == "welcome"


async def test_every_answer_forbids_content_sniffing_and_carries_its_request_id(api: Api) -> None:
    for path in ("/health", "/tickets", "/nowhere", "/openapi.json", "/metrics"):
        answer = await api.http.get(path, headers={"X-Request-ID": "r-1"})
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-request-id"] == "r-1"


async def test_an_unforeseen_error_is_a_500_problem_that_says_nothing_about_itself() -> None:
    async def broken(scope: Scope, receive: Receive, send: Send) -> None:
        raise RuntimeError("postgresql://u:hunter2@db/")

    frame = RequestFrame(broken, max_body_bytes=1024, body_seconds=30, only_from_here=True)
    transport = httpx.ASGITransport(frame, client=("127.0.0.1", 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http:
        answer = await http.get("/")
    assert_problem(answer, 500, "internal_error")
    assert "hunter2" not in answer.text


async def test_every_answer_tells_browsers_what_not_to_do_with_it(api: Api) -> None:
    answers = [await api.http.get(path) for path in ("/health", "/tickets", "/nowhere", "/openapi.json", "/metrics")]
    answers += [
        await api.http.get("/tickets", headers={"Host": "evil.example"}),
        await api.http.post("/tickets", content=b"x"),
        await api.http.get("/tickets", headers={"X-Act-As": "root"}),
    ]
    assert [answer.status_code for answer in answers] == [200, 200, 404, 200, 200, 403, 415, 422]
    for answer in answers:
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers.get_list("cache-control") == ["no-store"]
        assert answer.headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"


async def test_a_stream_says_itself_that_it_is_not_to_be_kept(api: Api) -> None:
    ticket_id = await api.ticket()
    async with api.http.stream("GET", f"/tickets/{ticket_id}/events/stream") as answer:
        assert answer.headers.get_list("cache-control") == ["no-store"]


async def test_the_page_of_the_documentation_may_load_what_it_is_made_of(api: Api) -> None:
    answer = await api.http.get("/docs")
    assert answer.status_code == 200
    policy = dict(part.split(maxsplit=1) for part in answer.headers["content-security-policy"].split("; "))
    assert policy["default-src"] == policy["frame-ancestors"] == "'none'"
    for kind, pattern in (
        ("script-src", r'<script src="([^"]+)"'),
        ("style-src", r'<link [^>]*rel="stylesheet" href="([^"]+)"'),
        ("img-src", r'<link rel="shortcut icon" href="([^"]+)"'),
    ):
        sources = re.findall(pattern, answer.text)
        assert sources, kind
        for source in sources:
            assert "{0.scheme}://{0.netloc}".format(urlsplit(source)) in policy[kind].split()
    # The lines that start it stand in the page, and it fetches the document from here.
    assert "<script>" in answer.text
    assert "'unsafe-inline'" in policy["script-src"]
    assert "url: '/openapi.json'" in answer.text
    assert policy["connect-src"] == "'self'"
