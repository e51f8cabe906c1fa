"""What each answer of a project's REST interface means to those who asked."""

from __future__ import annotations

import httpx
import orjson
import pytest

from ticketflow.db.answers import NothingDone, Refused, UnknownFunction, check
from ticketflow.domain.errors import PayloadTooLarge, Poison, StoreUnavailable, TicketflowError

JSON = "application/json; charset=utf-8"
PAGE = b"<html><body>502 Bad Gateway: s3cr3t</body></html>"


async def meaning(status: int, body: bytes, kind: str = JSON) -> TicketflowError | None:
    try:
        asked = httpx.Request("POST", "https://x.supabase.co", headers={"apikey": "opaque-key-of-theirs"})
        await check(httpx.Response(status, content=body, headers={"content-type": kind}, request=asked))
    except TicketflowError as error:
        return error
    return None


def problem(code: str | None, message: str = "what is wrong") -> bytes:
    return orjson.dumps({"code": code, "message": message, "details": "s3cr3t", "hint": "s3cr3t"})


@pytest.mark.parametrize("body", [b"null", b"[]", b'{"a": 1}', b"7", b'"x"', b"1" + b"0" * 400, b"1e999"])
async def test_any_json_is_an_answer(body: bytes) -> None:
    assert await meaning(200, body) is None


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (404, "PGRST202", UnknownFunction),
        (404, "PGRST205", Refused),
        (404, "42883", Refused),
        (404, "42P01", Refused),
        (401, "42501", Refused),
        (403, "42501", Refused),
        (401, "PGRST301", Refused),
        (401, "PGRST303", Refused),
        (401, None, Refused),
        (403, None, Refused),
        (404, None, Refused),
        (302, None, Refused),
        (540, None, Refused),
        (503, "PGRST000", NothingDone),
        (503, "PGRST001", StoreUnavailable),
        (503, "PGRST002", NothingDone),
        (504, "PGRST003", NothingDone),
        (429, None, NothingDone),
        (500, "40001", NothingDone),
        (500, "40P01", NothingDone),
        (500, "57014", NothingDone),
        (503, "53300", NothingDone),
        (405, "25006", NothingDone),
        (503, "08006", StoreUnavailable),
        (500, None, StoreUnavailable),
        (502, None, StoreUnavailable),
        (503, None, StoreUnavailable),
        (504, None, StoreUnavailable),
        (544, None, StoreUnavailable),
        (500, "PGRSTX00", StoreUnavailable),
        (400, "22P05", Poison),
        (409, "23505", Poison),
        (400, "P0001", Poison),
        (400, "PGRST102", Poison),
        (413, None, PayloadTooLarge),
        (413, "PGRST999", PayloadTooLarge),
        (401, "22023", Refused),
        (403, "some_proxys_own", Refused),
        (429, "over_request_rate_limit", NothingDone),
        (300, "PGRST203", StoreUnavailable),
        (403, "28000", StoreUnavailable),
        (500, "XX000", StoreUnavailable),
        (400, "26000", StoreUnavailable),
        (415, "unsupported_media_type", Refused),
        (500, "internal", StoreUnavailable),
    ],
)
async def test_an_error_says_who_must_act(status: int, code: str | None, kind: type[TicketflowError]) -> None:
    error = await meaning(status, problem(code))
    assert type(error) is kind
    assert "s3cr3t" not in str(error)


@pytest.mark.parametrize("status", [500, 502, 503, 504, 520, 522])
async def test_a_page_in_place_of_an_error_is_not_repeated_to_anybody(status: int) -> None:
    error = await meaning(status, PAGE, "text/html")
    assert type(error) is StoreUnavailable
    assert str(error) == f"the Supabase project answered {status}"


async def test_a_page_in_place_of_an_answer_is_none() -> None:
    error = await meaning(200, PAGE, "text/html")
    assert type(error) is Refused
    assert "is it the project's address? (200, 'text/html')" in str(error)


@pytest.mark.parametrize("body", [b"", b"[1, 2", b'{"a": "b', b"\xff\xfe", b"nul"])
async def test_half_an_answer_is_none(body: bytes) -> None:
    assert type(await meaning(200, body)) is StoreUnavailable


@pytest.mark.parametrize("body", [b"", b"[]", b"7", b'{"code": 7, "message": ["x"]}', b'{"code": null}', b"{"])
async def test_an_error_of_any_form_is_an_error(body: bytes) -> None:
    assert type(await meaning(500, body)) is StoreUnavailable


async def test_what_is_said_is_one_short_line() -> None:
    error = await meaning(400, problem("P0001", "first\nsecond" + "x" * 10_000))
    assert str(error).startswith("first secondxxx")
    assert len(str(error)) == 300


async def test_a_key_that_is_repeated_to_us_is_struck_out_and_so_is_what_drives_a_terminal() -> None:
    error = await meaning(400, problem("P0001", "key opaque-key-of-theirs \x1b[2J\x00 refused \u202e"))
    assert str(error) == "key [redacted] [2J refused"
