"""The first connection to a database, and why there is none, without anything that is secret."""

from __future__ import annotations

import re
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict

from ticketflow.domain.errors import ConfigurationError, StoreUnavailable

CONNECT_SECONDS = 5

_POOLERS_SAY = {
    # Supavisor, in the words of its releases.
    r"tenant or user not found|tenant/user \S+ not found|no tenant identifier": "Supabase's shared pooler knows its "
    "users as NAME.PROJECT_REF, and each project on one host only: copy the connection string from the project's page",
    # PgBouncer.
    r"unsupported startup parameter": "the pooler does not pass on the options of DATABASE_URL: connect directly, or "
    "give the login what they set (`alter role LOGIN set ...`)",
}
"""What a pooler refuses a connection with, as patterns, and what to do about it."""

_ADDRESS = ("host", "hostaddr", "port", "dbname", "user")
"""What an error may show of a connection string: without them nobody could tell which part is wrong."""


async def connect(url: str) -> psycopg.AsyncConnection[Any]:
    """An autocommit connection that prepares nothing on the server, so that it may go through a pooler.

    Raises ``ConfigurationError`` for a string that libpq cannot read or a pooler will never take, and
    ``StoreUnavailable`` with the server's reason when it does not let us in.
    """
    try:
        given = conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        # libpq's own words would quote the part that it does not understand, which may be the password.
        raise ConfigurationError(
            "DATABASE_URL is not a connection string that PostgreSQL understands; "
            "special characters in user and password must be percent-encoded"
        ) from None
    try:
        return await psycopg.AsyncConnection.connect(
            url, autocommit=True, connect_timeout=CONNECT_SECONDS, prepare_threshold=None
        )
    except psycopg.Error as error:
        reason = _struck(one_line(error), given)
        for said, advice in _POOLERS_SAY.items():
            if re.search(said, reason, re.IGNORECASE):
                raise ConfigurationError(f"{reason}; {advice}") from error
        raise StoreUnavailable(reason) from error


def one_line(error: psycopg.Error) -> str:
    """The server's own words, without the statement and its parameters: they hold customers' text."""
    lines = str(error).strip().splitlines()
    return error.diag.message_primary or (lines[0] if lines else type(error).__name__)


def _struck(text: str, given: dict[str, Any]) -> str:
    """The text without the password and the other values of the connection string, which libpq likes to quote."""
    shown = {str(given.get(name)) for name in _ADDRESS}
    for value in {str(value) for name, value in given.items() if name not in _ADDRESS} - shown - {""}:
        text = re.sub(rf"(?<!\w){re.escape(value)}(?!\w)", "[redacted]", text)
    return text
