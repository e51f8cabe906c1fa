"""PostgreSQL as a Supabase project has it: its roles, what it grants on everything new, its publication, and tables
that no superuser owns. On a cluster of the tests' own, since a role belongs to all databases of one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote, urlsplit

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
alter role authenticator set statement_timeout = '8s';
alter role anon set statement_timeout = '3s';
alter role authenticated set statement_timeout = '8s';
"""
# The time-outs are Supabase's (https://supabase.com/docs/guides/database/postgres/timeouts).
_PROJECT = f"""
alter schema public owner to {OWNER};
grant usage on schema public to anon, authenticated, service_role;
alter default privileges for role {OWNER} in schema public grant all on tables to anon, authenticated, service_role;
alter default privileges for role {OWNER} in schema public grant all on sequences to anon, authenticated, service_role;
alter default privileges for role {OWNER} in schema public grant all on functions to anon, authenticated, service_role;
create publication supabase_realtime;
alter publication supabase_realtime owner to {OWNER};
create schema extensions;
grant usage on schema extensions to anon, authenticated, service_role;
"""
# A migration reaches the REST endpoint by itself.
_DDL_WATCH = """
create function extensions.pgrst_ddl_watch() returns event_trigger language plpgsql as $$
begin
  notify pgrst, 'reload schema';
end $$;
create event trigger pgrst_ddl_watch on ddl_command_end execute function extensions.pgrst_ddl_watch();
"""


class Supabase:
    """A started server with the roles. Made by ``supabase``."""

    def __init__(self, server: str) -> None:
        self._server = server
        self._migrated: str | None = None
        """A migrated project that the others are cloned from; it goes with the server."""

    @contextmanager
    def bare(self) -> Iterator[str]:
        """A project without Ticketflow; the owner's connection string."""
        with services.database(self._server) as url:
            with psycopg.connect(url, autocommit=True) as connection:
                for statement in filter(str.strip, _PROJECT.split(";")):
                    connection.execute(statement.encode())
                connection.execute(_DDL_WATCH)
            yield self._owned(url)

    @contextmanager
    def project(self) -> Iterator[str]:
        """A migrated project; the owner's connection string."""
        if self._migrated is None:
            with self.bare() as url, psycopg.connect(self._server, autocommit=True) as connection:
                asyncio.run(migrate(url))
                made = f"{_name(url)}_migrated"
                connection.execute(
                    sql.SQL("create database {} template {}").format(sql.Identifier(made), sql.Identifier(_name(url)))
                )
            self._migrated = made
        with services.database(self._server, self._migrated) as url:
            yield self._owned(url)

    def _owned(self, url: str) -> str:
        with psycopg.connect(self._server, autocommit=True) as connection:
            connection.execute(
                sql.SQL("alter database {} owner to {}").format(sql.Identifier(_name(url)), sql.Identifier(OWNER))
            )
        return services.as_role(url, OWNER, "")


def _name(url: str) -> str:
    return urlsplit(url).path.removeprefix("/")


@contextmanager
def supabase() -> Iterator[Supabase]:
    """A server of one's own; gone afterwards."""
    with postgres_cluster() as cluster:
        with psycopg.connect(cluster.url, autocommit=True) as connection:
            connection.execute(_ROLES)
            # Nobody cuts this server's power, and its databases are many and short-lived.
            connection.execute("alter system set fsync = off")
            connection.execute("select pg_reload_conf()")
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
