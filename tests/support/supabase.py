"""PostgreSQL as a Supabase project has it: its roles, what it grants on everything new, its publication, and tables
that no superuser owns. On a cluster of the tests' own, since a role belongs to all databases of one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

import psycopg
from psycopg import sql

from tests.support import services
from tests.support.postgres_cluster import postgres_cluster
from ticketflow.db.migrate import migrate

OWNER = "project_owner"
"""Supabase calls it postgres, and it is no superuser there either."""
GRANTED = ("anon", "authenticated", "service_role")

_ROLES = f"""
create role {OWNER} login;
create role anon nologin noinherit;
create role authenticated nologin noinherit;
create role service_role nologin noinherit bypassrls;
create role authenticator login noinherit;
grant anon, authenticated, service_role to authenticator;
"""
_PROJECT = f"""
alter schema public owner to {OWNER};
grant usage on schema public to anon, authenticated, service_role;
alter default privileges for role {OWNER} in schema public grant all on tables to anon, authenticated, service_role;
alter default privileges for role {OWNER} in schema public grant all on sequences to anon, authenticated, service_role;
alter default privileges for role {OWNER} in schema public grant all on functions to anon, authenticated, service_role;
create publication supabase_realtime;
alter publication supabase_realtime owner to {OWNER};
"""


class Supabase:
    """A started server with the roles. Made by ``supabase``."""

    def __init__(self, server: str) -> None:
        self._server = server

    @contextmanager
    def bare(self) -> Iterator[str]:
        """A project without Ticketflow; the owner's connection string."""
        with services.database(self._server) as url:
            name = url.rsplit("/", 1)[1].split("?")[0]
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute(
                    sql.SQL("alter database {} owner to {}").format(sql.Identifier(name), sql.Identifier(OWNER))
                )
                for statement in filter(str.strip, _PROJECT.split(";")):
                    connection.execute(statement.encode())
            yield services.as_role(url, OWNER, "")

    @contextmanager
    def project(self) -> Iterator[str]:
        """A migrated project; the owner's connection string."""
        with self.bare() as url:
            asyncio.run(migrate(url))
            yield url


@contextmanager
def supabase() -> Iterator[Supabase]:
    """A server of one's own; gone afterwards."""
    with postgres_cluster() as cluster:
        with psycopg.connect(cluster.url, autocommit=True) as connection:
            connection.execute(_ROLES)
        yield Supabase(cluster.url)


def as_service(owner_url: str) -> str:
    """The same project for a process that logs in as authenticator and takes the role service_role."""
    return services.as_role(owner_url, "authenticator", "") + "&options=" + quote("-c role=service_role")


@contextmanager
def acting_as(
    owner_url: str, role: str, claims: Mapping[str, Any] | str | None = None
) -> Iterator[psycopg.Connection[Any]]:
    """A session as PostgREST opens one: logged in as authenticator, in this role, with these claims. The owner may be
    named too."""
    login = OWNER if role == OWNER else "authenticator"
    with psycopg.connect(services.as_role(owner_url, login, ""), autocommit=True) as connection:
        if role != OWNER:
            connection.execute(sql.SQL("set role {}").format(sql.Identifier(role)))
        if claims is not None:
            text = claims if isinstance(claims, str) else json.dumps(claims)
            connection.execute("select set_config('request.jwt.claims', %s, false)", (text,))
        yield connection
