"""Whatever a client sends that is not a ticket: a 4xx problem document that names the field, and nothing stored."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.support.api import Api, a_ticket, assert_problem

pytestmark = pytest.mark.asyncio(loop_scope="module")

JSON = {"Content-Type": "application/json"}
OVER_THE_LIMIT = 1_048_577
SOME_ID = "6f1f6c0e-5d0b-4c55-9d3a-0f6b7a5f9b0e"


def without(field: str) -> dict[str, Any]:
    return {name: value for name, value in a_ticket().items() if name != field}


def nested(levels: int) -> Any:
    tree: Any = 1
    for _ in range(levels):
        tree = [tree]
    return tree


def fields_of_the_wrong_shape() -> list[Any]:
    """(field that must be named, body)."""
    cases: list[tuple[str, str, Any]] = []
    for field, longest in (("subject", 500), ("body", 20_000), ("customer_id", 100)):
        cases.append((field, "missing", without(field)))
        for what, value in (
            ("null", None),
            ("empty", ""),
            ("blank", " \t\n\u2003"),
            ("too long", "x" * (longest + 1)),
            ("number", 7),
            ("list", ["x"]),
            ("object", {"x": "y"}),
            ("NUL", "a\x00b"),
            ("lone surrogate", "a\ud800b"),
            ("reversed surrogates", "\udc00\ud800"),
        ):
            cases.append((field, what, a_ticket(**{field: value})))
    for field, values in {
        "customer_email": ("", "nobody", "a@", "@b", "a@b c", "a\x00@b", "\ud800@b.c", "x" * 65 + "@b.c", 7, ["a@b.c"]),
        "priority": ("", "URGENT", "critical", 1, True, ["high"], "\ud800"),
        "category": ("", "Billing", "sales", 0, {}, "a\x00"),
        "channel": (None, "", "fax", 1),
        "vip": (None, "yes", 1, 0, "true"),
        "tags": (None, "a", {"a": 1}, ["a"] * 21),
        "tags.0": ([""], [" "], ["x" * 51], [7], [None], ["a\x00"], ["\udfff"], [["a"]]),
        "tags.1": (["a", "b" * 51],),
        "metadata": (
            None,
            "text",
            ["list"],
            {"big": "x" * 16_384},
            {"many": list(range(8000))},
            {"deep": nested(8)},
            {"int": 2**64},
            {"int": -(2**63) - 1},
            {"int": 10**400},
            {"a\x00": 1},
            {"a": [{"b\x00": 1}]},
            {"a": "b\x00"},
            {"a\ud800": 1},
            {"a": ["\udc00"]},
            {"a": float("nan")},
            {"a": [float("inf")]},
        ),
    }.items():
        name = field.split(".")[0]
        cases += [(field, repr(value)[:30], a_ticket(**{name: value})) for value in values]
    for unknown in ("status", "id", "Subject", "subject ", "version", "team", "__proto__", "a\x00b"):
        cases.append((unknown, "unknown", a_ticket(**{unknown: "x"})))
    return [pytest.param(field, body, id=f"{field!a}: {what!a}") for field, what, body in cases]


@pytest_asyncio.fixture(loop_scope="module", autouse=True)
async def _nothing_is_stored(bare_api: Api) -> AsyncIterator[None]:
    before = await bare_api.rows()
    yield
    assert await bare_api.rows() == before


@pytest.mark.parametrize(("field", "body"), fields_of_the_wrong_shape())
async def test_a_field_of_the_wrong_shape_is_named(bare_api: Api, field: str, body: Any) -> None:
    content = json.dumps(body).encode()
    assert_problem(await bare_api.http.post("/tickets", content=content, headers=JSON), 422, "invalid", field)
    content = b'{"tickets": [' + content + b"]}"
    answer = await bare_api.http.post("/tickets/batch", content=content, headers=JSON)
    assert_problem(answer, 422, "invalid", f"tickets.0.{field}")


async def test_every_wrong_field_is_named_at_once(bare_api: Api) -> None:
    body = {"subject": "", "body": 7, "vip": "no", "extra": 1}
    problem = assert_problem(await bare_api.http.post("/tickets", json=body), 422, "invalid")
    assert {error["field"] for error in problem["errors"]} == {"subject", "body", "customer_id", "vip", "extra"}


async def test_a_bad_address_is_told_in_words(bare_api: Api) -> None:
    problem = assert_problem(await bare_api.http.post("/tickets", json=a_ticket(customer_email="mirela@x\n")), 422)
    assert problem["errors"] == [{"field": "customer_email", "message": "must be an e-mail address"}]


async def test_what_was_sent_is_not_repeated(bare_api: Api) -> None:
    for secret in ({"subject": ["hunter2"]}, {"customer_email": "hunter2"}, {"metadata": {"a": "hunter2\x00"}}):
        answer = await bare_api.http.post("/tickets", json=a_ticket(**secret))
        assert_problem(answer, 422)
        assert "hunter2" not in answer.text


@pytest.mark.parametrize("key", ["x" * 201, "a\tb"])
async def test_an_idempotency_key_of_the_wrong_shape_is_named(bare_api: Api, key: str) -> None:
    headers = {"Idempotency-Key": key}
    if "\t" not in key:
        answer = await bare_api.http.post("/tickets", json=a_ticket(), headers=headers)
        assert_problem(answer, 422, "invalid", "Idempotency-Key")
    body = {"tickets": [a_ticket(idempotency_key=key + "\x00")]}
    answer = await bare_api.http.post("/tickets/batch", json=body)
    assert_problem(answer, 422, "invalid", "tickets.0.idempotency_key")


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"{", id="cut off"),
        pytest.param(b'{"subject": "a",}', id="trailing comma"),
        pytest.param(b"{'subject': 'a'}", id="single quotes"),
        pytest.param(b'{"subject": "a\x00"}', id="raw NUL"),
        pytest.param(b"subject=a&body=b", id="a form"),
        pytest.param(b"\xff\xfe\xfa", id="not text"),
        pytest.param(b'{"subject": "\xff"}', id="not UTF-8"),
        pytest.param(b'{"a": ' * 10_000 + b"1" + b"}" * 10_000, id="objects 10,000 deep"),
        pytest.param(b"[" * 10_000 + b"]" * 10_000, id="lists 10,000 deep"),
        pytest.param(b"[" * 500_000, id="lists without end"),
        pytest.param(b'{"metadata": {"a": ' + b"9" * 5000 + b"}}", id="a number of 5,000 digits"),
    ],
)
@pytest.mark.parametrize("path", ["/tickets", "/tickets/batch"])
async def test_a_body_that_is_not_json_is_a_bad_request(bare_api: Api, path: str, body: bytes) -> None:
    problem = assert_problem(await bare_api.http.post(path, content=body, headers=JSON), 400)
    assert problem["code"] in ("invalid_json", "bad_request")


@pytest.mark.parametrize("body", [b"null", b"true", b"7", b'"text"', b"[]", b"[[]]", b'{"\\ud800": 1}', b"", b"NaN"])
@pytest.mark.parametrize("path", ["/tickets", "/tickets/batch"])
async def test_a_body_that_is_not_an_object_is_invalid_as_a_whole(bare_api: Api, path: str, body: bytes) -> None:
    assert_problem(await bare_api.http.post(path, content=body, headers=JSON), 422, "invalid", "(body)")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "tickets"),
        ({"tickets": []}, "tickets"),
        ({"tickets": None}, "tickets"),
        ({"tickets": "text"}, "tickets"),
        ({"tickets": {"0": a_ticket()}}, "tickets"),
        ({"tickets": [None]}, "tickets.0"),
        ({"tickets": [a_ticket(), []]}, "tickets.1"),
        ({"tickets": [a_ticket()], "more": 1}, "more"),
        ({"tickets": [a_ticket(idempotency_key="")]}, "tickets.0.idempotency_key"),
        ({"tickets": [a_ticket(idempotency_key=7)]}, "tickets.0.idempotency_key"),
        ({"tickets": [a_ticket(idempotency_key="\ud800")]}, "tickets.0.idempotency_key"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_a_batch_of_the_wrong_shape_is_refused(bare_api: Api, body: Any, field: str) -> None:
    content = json.dumps(body).encode()
    answer = await bare_api.http.post("/tickets/batch", content=content, headers=JSON)
    assert_problem(answer, 422, "invalid", field)


@pytest.mark.parametrize(
    "kind",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/jsonx",
        "",
        "*",
    ],
)
async def test_only_json_is_taken(bare_api: Api, kind: str) -> None:
    content = json.dumps(a_ticket()).encode()
    for path in ("/tickets", "/tickets/batch"):
        answer = await bare_api.http.post(path, content=content, headers={"Content-Type": kind})
        assert_problem(answer, 415, "unsupported_media_type")
    unnamed = bare_api.http.build_request("POST", "/tickets", content=content)
    assert_problem(await bare_api.http.send(unnamed), 415, "unsupported_media_type")


async def test_a_body_over_the_limit_is_too_large_whether_or_not_it_says_so(bare_api: Api) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b'{"subject": "'
        for _ in range(OVER_THE_LIMIT // 10_000 + 1):
            yield b"x" * 10_000

    for path in ("/tickets", "/tickets/batch"):
        answer = await bare_api.http.post(path, content=b" " * OVER_THE_LIMIT, headers=JSON)
        assert_problem(answer, 413, "too_large")
        answer = await bare_api.http.post(path, content=chunks(), headers=JSON)
        assert_problem(answer, 413, "too_large")


async def test_a_body_at_the_limit_is_read(bare_api: Api) -> None:
    content = json.dumps(a_ticket(subject="")).encode().ljust(OVER_THE_LIMIT - 1)
    assert_problem(await bare_api.http.post("/tickets", content=content, headers=JSON), 422, "invalid", "subject")


async def test_names_of_unknown_fields_are_repeated_no_longer_than_a_person_reads(bare_api: Api) -> None:
    answer = await bare_api.http.post("/tickets", json=a_ticket(**{"x" * 50_000: 1}))
    assert_problem(answer, 422, "invalid", "x" * 100)
    assert len(answer.content) < 1000


async def test_the_bare_address_leads_to_the_documentation(bare_api: Api) -> None:
    answer = await bare_api.http.get("/")
    assert (answer.status_code, answer.headers["location"]) == (307, "/docs")


@pytest.mark.parametrize("path", ["/nowhere", "/tickets/", "/Tickets", "//tickets", f"/tickets/{SOME_ID}/nothing"])
async def test_an_unknown_path_is_not_found(bare_api: Api, path: str) -> None:
    url = str(bare_api.http.base_url).rstrip("/") + path
    assert_problem(await bare_api.http.get(url), 404, "not_found")
    assert_problem(await bare_api.http.post(url, json=a_ticket()), 404, "not_found")


@pytest.mark.parametrize(
    ("method", "path", "right"),
    [
        ("DELETE", "/tickets", "GET, POST"),
        ("PUT", "/tickets", "GET, POST"),
        ("PATCH", f"/tickets/{SOME_ID}", "GET"),
        ("DELETE", f"/tickets/{SOME_ID}", "GET"),
        ("GET", f"/tickets/{SOME_ID}/retry", "POST"),
        ("OPTIONS", "/tickets/batch", "GET, POST"),
        ("POST", "/health", "GET"),
        ("POST", "/dead-letters", "GET"),
    ],
)
async def test_a_wrong_method_is_told_the_right_ones(bare_api: Api, method: str, path: str, right: str) -> None:
    answer = await bare_api.http.request(method, path)
    assert_problem(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == right
