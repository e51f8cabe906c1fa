"""What stands between a process and PostgreSQL: nothing, or a connection pooler, and in which mode it is."""

from __future__ import annotations

import asyncio
import re
from enum import StrEnum
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict

from ticketflow.db.connecting import connect, one_line
from ticketflow.domain.errors import ConfigurationError, StoreUnavailable

LOOK_SECONDS = 3.0
"""The longest that finding out a pooler's mode may take; one without a free connection to the server lets us wait."""

_ROLE = re.compile(r"\brole=(\S+)")


class Pooling(StrEnum):
    """What a connection goes through. ``UNKNOWN`` is a pooler that nothing gave away to be in transaction mode."""

    NONE = "none"
    SESSION = "session"
    TRANSACTION = "transaction"
    UNKNOWN = "unknown"

    @property
    def keeps_sessions(self) -> bool:
        """Whether a statement that a connection prepared is certainly there at its next call."""
        return self in (Pooling.NONE, Pooling.SESSION)

    @property
    def label(self) -> str:
        """What to say after the name of the database."""
        return _SAID[self][0]

    @property
    def advice(self) -> str:
        return _SAID[self][1]


_SAID = {
    Pooling.NONE: ("", ""),
    Pooling.SESSION: (", through a pooler in session mode", ""),
    Pooling.TRANSACTION: (
        ", through a pooler in transaction mode: no prepared statements",
        "statements stay prepared with the direct connection, or the pooler's session mode (port 5432 at Supabase)",
    ),
    Pooling.UNKNOWN: (
        ", through a pooler whose mode cannot be told: no prepared statements, to be safe",
        "statements stay prepared with the direct connection",
    ),
}


def by_address(host: str, port: int) -> Pooling | None:
    """What Supabase's addresses stand for: its poolers are in transaction mode on port 6543, on 5432 the shared one
    (Supavisor) is in session mode (https://supabase.com/docs/guides/database/connecting-to-postgres). None elsewhere.
    """
    if host.endswith((".supabase.com", ".supabase.co")) and port == 6543:
        return Pooling.TRANSACTION
    if host.endswith(".pooler.supabase.com") and port == 5432:
        return Pooling.SESSION
    return None


async def find_out(url: str) -> Pooling:
    """Connect once and see. One round trip where there is no pooler, a second connection and four more where there is.

    Raises ``StoreUnavailable`` with the server's reason when there is no connection, and ``ConfigurationError`` when
    the string cannot be used or a pooler does not pass on the role that it asks for.
    """
    try:
        async with await connect(url) as probe:
            cursor = await probe.execute("select pg_backend_pid(), current_setting('role')")
            pid, role = await cursor.fetchone() or (0, "")
            _check_role(url, role)
            if (known := by_address(probe.info.host, probe.info.port)) is not None:
                return known
            # Poolers make up what they tell at the start, for they do not know yet which backend will serve.
            return Pooling.NONE if pid == probe.info.backend_pid else await _mode(url, probe, pid)
    except psycopg.Error as error:
        raise StoreUnavailable(one_line(error)) from error


def _check_role(url: str, role: str) -> None:
    """Some poolers ignore ``options``, and the application would then be more than it was meant to be."""
    asked = _ROLE.search(str(conninfo_to_dict(url).get("options") or ""))
    if asked is not None and asked[1] != role:
        raise ConfigurationError(
            f"the pooler does not pass on the role in the options of DATABASE_URL: connect directly, or give the role "
            f"to the login (`alter role LOGIN set role = {asked[1]}`) and take the options away"
        )


async def _mode(url: str, probe: psycopg.AsyncConnection[Any], own: int) -> Pooling:
    """Two connections that both use a backend, or one that uses two, share them. That they do not is no proof of the
    opposite where others are busy too, so that this never says ``SESSION``."""
    try:
        async with asyncio.timeout(LOOK_SECONDS), await connect(url) as other:
            async with other.transaction():
                # In this order: a pooler with a single connection to the server has now none for the probe.
                if (held := await _backend(other)) == own or await _backend(probe) != own:
                    return Pooling.TRANSACTION
            return Pooling.UNKNOWN if await _backend(other) == held else Pooling.TRANSACTION
    except (psycopg.Error, StoreUnavailable, TimeoutError):
        return Pooling.UNKNOWN


async def _backend(connection: psycopg.AsyncConnection[Any]) -> int:
    row = await (await connection.execute("select pg_backend_pid()")).fetchone()
    return int(row[0]) if row else 0
