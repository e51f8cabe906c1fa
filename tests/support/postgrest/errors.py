"""What PostgREST and the gateway before it say when they refuse, and the status that goes with it.

Imitated: PostgREST's reference, "Errors" (https://docs.postgrest.org/en/v14/references/errors.html): the table from
SQLSTATE to HTTP status, the codes PGRST0xx to PGRST3xx, ``{"code", "details", "hint", "message"}``, ``Proxy-Status``,
``WWW-Authenticate`` with a 401, and Retry-After with a 503. Where the page is silent, its source: 57P01 is a 503, and
22023 for a role that does not exist a 401. ``RAISE SQLSTATE 'PGRST'`` is not imitated.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import orjson
import psycopg

JSON = b"application/json; charset=utf-8"
Headers = tuple[tuple[bytes, bytes], ...]

# Prefixes of SQLSTATE, the longest first that fits.
_STATUS = {
    "08": 503,
    "09": 500,
    "0L": 403,
    "0P": 403,
    "21000": 500,
    "23503": 409,
    "23505": 409,
    "25006": 405,
    "25": 500,
    "28": 403,
    "2D": 500,
    "38": 500,
    "39": 500,
    "3B": 500,
    "40": 500,
    "53400": 500,
    "53": 503,
    "54": 500,
    "55": 500,
    "57P01": 503,
    "57": 500,
    "58": 500,
    "F0": 500,
    "HV": 500,
    "P0001": 400,
    "P0": 500,
    "XX": 500,
    "42883": 404,
    "42P01": 404,
    "42P17": 500,
}


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP answer, whole."""

    status: int
    body: bytes = b""
    headers: Headers = ()


class Refused(Exception):
    """The request ends here, with this answer."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.status, reply.body)
        self.reply = reply


def refused(
    status: int,
    code: str,
    message: str,
    details: str | None = None,
    hint: str | None = None,
    headers: Headers = (),
) -> Refused:
    """PostgREST's refusal."""
    body = orjson.dumps({"code": code, "details": details, "hint": hint, "message": message})
    proxy_status = (b"proxy-status", f"PostgREST; error={code}".encode())
    return Refused(Reply(status, body, ((b"content-type", JSON), proxy_status, *headers)))


def unavailable(code: str, message: str, details: str | None = None) -> Refused:
    """One of PostgREST's own 503s: it says when to come back."""
    return refused(503, code, message, details, headers=((b"retry-after", b"1"),))


def gateway_refused(status: int, message: str, hint: str) -> Refused:
    """The gateway's refusal: no code, no details."""
    body = orjson.dumps({"message": message, "hint": hint})
    return Refused(Reply(status, body, ((b"content-type", JSON),)))


def invalid_token(code: str, message: str, details: str | None = None) -> Refused:
    challenge = f'Bearer error="invalid_token", error_description="{message}"'
    return refused(401, code, message, details, headers=((b"www-authenticate", challenge.encode()),))


def from_postgres(error: psycopg.Error, *, anonymous: bool) -> Refused:
    """PostgreSQL's own error, passed on; ``anonymous`` decides between 401 and 403."""
    diagnosis = error.diag
    code = error.sqlstate
    if isinstance(error, psycopg.DataError) and code is None:
        # psycopg does not even send it.
        return refused(400, "22021", 'invalid byte sequence for encoding "UTF8": 0x00')
    if code is None:
        return unavailable("PGRST001", "Database client error. Retrying the connection.", str(error))
    message = diagnosis.message_primary or ""
    status = status_of(code, message, anonymous=anonymous)
    headers: Headers = ((b"www-authenticate", b"Bearer"),) if status == 401 else ()
    if status == 503:
        headers = ((b"retry-after", b"1"),)
    return refused(status, code, message, diagnosis.message_detail, diagnosis.message_hint, headers)


def status_of(code: str, message: str = "", *, anonymous: bool = False) -> int:
    """The HTTP status for a SQLSTATE."""
    if code == "42501":
        return 401 if anonymous else 403
    if code == "22023" and re.fullmatch(r"role .* does not exist", message):
        return 401
    if re.fullmatch(r"PT\d{3}", code):
        return int(code[2:])
    return _STATUS.get(code) or _STATUS.get(code[:2]) or 400
