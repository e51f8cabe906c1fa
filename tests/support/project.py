"""A Supabase project as a process sees it that has its address and its secret key: the stand-in's, or a real one.

A real one is used when SUPABASE_URL is set for the tests, with SUPABASE_KEY and SUPABASE_DB_URL: the connection string
of its owner, for what the tests look at beside. Every test empties it, so it must hold nothing when the tests begin.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg
import pytest
from psycopg import sql

from tests.support.postgrest import RestApi, rest_api
from tests.support.supabase import Supabase
from ticketflow.db.migrate import migrate

_LOCK = 7_236_428_002
"""Of the advisory lock under which one test at a time has the real project."""

_NAMES = ("SUPABASE_URL", "SUPABASE_KEY", "SUPABASE_DB_URL")
_NAMED = {name: os.environ.get(name, "") for name in _NAMES}
"""Before the environment is rid of all that configures Ticketflow."""


@dataclass(frozen=True)
class Project:
    """``api`` is the stand-in, or None where the project is a real one."""

    url: str
    key: str
    owner_url: str
    api: RestApi | None = None


@contextmanager
def stand_in(server: Supabase) -> Iterator[Project]:
    """A migrated project of the caller's own."""
    with server.project() as owner_url, rest_api(owner_url) as api:
        yield Project(api.url, api.secret_key, owner_url, api)


class RealProject:
    """The one that the environment names, migrated; made once."""

    named = bool(_NAMED["SUPABASE_URL"])

    def __init__(self) -> None:
        if missing := [name for name, value in _NAMED.items() if not value]:
            pytest.exit(f"the tests are to use the project of SUPABASE_URL and need {', '.join(missing)}", returncode=1)
        url, key, owner_url = _NAMED.values()
        self._project = Project(url, key, owner_url)
        asyncio.run(migrate(owner_url))
        with psycopg.connect(owner_url) as connection:
            if connection.execute("select exists (select from tickets)").fetchone() != (False,):
                pytest.exit("the tests empty the Supabase project of SUPABASE_URL, and it has tickets", returncode=1)

    @contextmanager
    def emptied(self) -> Iterator[Project]:
        """With nothing in it, and for nobody else until the end."""
        with psycopg.connect(self._project.owner_url, autocommit=True) as connection:
            connection.execute("select pg_advisory_lock(%s)", (_LOCK,))
            _empty(connection)
            yield self._project
            _empty(connection)


def _empty(connection: psycopg.Connection[tuple[object, ...]]) -> None:
    tables = connection.execute("select unnest(ticketflow_tables())").fetchall()
    names = [sql.Identifier(str(name)) for (name,) in tables if name != "schema_migrations"]
    guarded = [sql.Identifier(name) for name in ("events", "messages")]
    with connection.transaction():
        for change in ("disable", "enable"):
            for name in guarded:
                connection.execute(sql.SQL("alter table {} {} trigger user").format(name, sql.SQL(change)))
            if change == "disable":
                connection.execute(sql.SQL("truncate {}").format(sql.SQL(", ").join(names)))
