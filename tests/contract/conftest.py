"""The adapters under test, each on the test's own database."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.chaos.forms import LONG
from tests.support import services
from tests.support.project import Project
from tests.support.trails import TTL
from ticketflow.db.commits import Commits
from ticketflow.db.gateway import Gateway
from ticketflow.db.leases import Leases
from ticketflow.db.outbox import Outbox
from ticketflow.db.postgres import PostgresGateway
from ticketflow.db.reads import Reads
from ticketflow.db.supabase import connect


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """What holds for one route to the data holds for the other, so each test of the gateway takes both."""
    if not {"gateway", "route"}.issubset(metafunc.fixturenames):
        return
    routes = ["direct", "rest"]
    marked = metafunc.definition.get_closest_marker
    if marked("superuser") or (marked("thorough") and not LONG):
        routes.remove("rest")
    metafunc.parametrize("route", routes, indirect=True)


@pytest.fixture
def route(request: pytest.FixtureRequest) -> str:
    """How the test comes to its data: by a connection of its own, or through a Supabase project's REST interface."""
    return getattr(request, "param", "direct")


@pytest.fixture
def rest(route: str, request: pytest.FixtureRequest) -> Project | None:
    """The project, where the route leads through one."""
    return request.getfixturevalue("rest_project") if route == "rest" else None


@pytest.fixture
def database_url(rest: Project | None, postgres_server: str, template: str) -> Iterator[str]:
    """A migrated database of the test's own."""
    if rest is not None:
        yield rest.owner_url
        return
    with services.database(postgres_server, template) as url:
        yield url


@pytest.fixture
async def gateway(rest: Project | None, database_url: str) -> AsyncIterator[Gateway]:
    opened: Gateway
    if rest is not None:
        opened = await connect(rest.url, rest.key)
    else:
        direct = opened = PostgresGateway(database_url, 8)
        await direct.open()
    yield opened
    await opened.aclose()


@pytest.fixture
def commits(gateway: Gateway) -> Commits:
    return Commits(gateway)


@pytest.fixture
def leases(gateway: Gateway) -> Leases:
    return Leases(gateway, "worker-1", TTL, ["1"])


@pytest.fixture
def others(gateway: Gateway) -> Leases:
    return Leases(gateway, "worker-2", TTL, ["1"])


@pytest.fixture
def reads(gateway: Gateway) -> Reads:
    return Reads(gateway)


@pytest.fixture
def outbox(gateway: Gateway) -> Outbox:
    return Outbox(gateway)
