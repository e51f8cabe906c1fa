"""What the tests share: real servers, a database and a virtual host for each test, and a ban on what must not happen.

| thing              | real or not                                                        |
|--------------------|--------------------------------------------------------------------|
| PostgreSQL         | real: the server at hand, and the embedded one                     |
| Supabase's roles   | real roles and default grants, on a server of the tests' own       |
| Supabase's API     | ``support.postgrest`` over real HTTP, or a real project            |
| RabbitMQ           | real, a virtual host a test                                        |
| API, workers       | real processes in acceptance and chaos, real objects elsewhere     |
| model provider     | ``support.openai_server`` over real HTTP, or the offline rules     |
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.support import services
from tests.support.deployment import Deployment, deployed
from tests.support.gate import Gate
from tests.support.model import Model, model_server
from tests.support.nursery import Nursery, open_nursery
from tests.support.project import Project, RealProject, stand_in
from tests.support.supabase import Supabase, supabase
from ticketflow.db.migrate import migrate
from ticketflow.db.postgres import PostgresGateway

# Settings of whoever runs the tests must not reach the code under test; the servers to use were read before.
_FOREIGN = ("TICKETFLOW_", "OPENAI_", "SUPABASE_", "LANGSMITH_", "LANGCHAIN_")


@pytest.fixture(scope="session", autouse=True)
def _no_foreign_settings() -> None:
    for name in list(os.environ):
        if name.startswith(_FOREIGN):
            del os.environ[name]


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    with services.postgres() as url:
        yield url


@pytest.fixture(scope="session")
def embedded_server() -> Iterator[str]:
    with services.embedded_postgres() as url:
        yield url


@pytest.fixture(scope="session")
def template(postgres_server: str) -> Iterator[str]:
    """The name of a migrated database that each test's own is cloned from."""
    with services.database(postgres_server) as url:
        asyncio.run(migrate(url))
        yield url.rsplit("/", 1)[1].split("?")[0]


@pytest.fixture
def database_url(postgres_server: str, template: str) -> Iterator[str]:
    """A migrated database of the test's own."""
    with services.database(postgres_server, template) as url:
        yield url


@pytest.fixture
def empty_database_url(postgres_server: str) -> Iterator[str]:
    """A database of the test's own with nothing in it."""
    with services.database(postgres_server) as url:
        yield url


@pytest.fixture
async def gateway(database_url: str) -> AsyncIterator[PostgresGateway]:
    opened = PostgresGateway(database_url, 8)
    await opened.open()
    yield opened
    await opened.aclose()


@pytest.fixture(scope="session")
def project_server() -> Iterator[Supabase]:
    with supabase() as started:
        yield started


@pytest.fixture
def project(project_server: Supabase) -> Iterator[str]:
    """A migrated Supabase project of the test's own; the owner's connection string."""
    with project_server.project() as url:
        yield url


@pytest.fixture(scope="session")
def _real_project() -> RealProject | None:
    return RealProject() if RealProject.named else None


@pytest.fixture
def rest_project(request: pytest.FixtureRequest, _real_project: RealProject | None) -> Iterator[Project]:
    """A migrated Supabase project of the test's own, by its address and key."""
    opened = _real_project.emptied() if _real_project else stand_in(request.getfixturevalue("project_server"))
    with opened as made:
        yield made


@pytest.fixture(scope="session")
def rabbitmq_server() -> str:
    try:
        return services.rabbitmq()
    except services.ServiceMissing as missing:
        pytest.exit(str(missing), returncode=1)


@pytest.fixture(scope="session")
def _virtual_host(rabbitmq_server: str) -> Iterator[str]:
    """One for the session: making one takes seconds, emptying it does not."""
    with services.virtual_host(rabbitmq_server) as url:
        yield url


@pytest.fixture
def rabbitmq_url(_virtual_host: str) -> Iterator[str]:
    """A virtual host of the session's own, empty for each test."""
    yield _virtual_host
    asyncio.run(services.empty(_virtual_host))


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    """Where processes come from when a test is not about how they start."""
    with open_nursery() as opened:
        yield opened


@pytest.fixture(scope="session")
def _model() -> Iterator[Model]:
    with model_server() as served:
        yield served


@pytest.fixture
def model(_model: Model) -> Iterator[Model]:
    """The model provider, without faults at the start of each test."""
    # Tests that never look at it use it as well.
    _model.reset()
    yield _model
    _model.reset()


@pytest.fixture
def deployment(
    tmp_path: Path, database_url: str, rabbitmq_url: str, _model: Model, nursery: Nursery
) -> Iterator[Deployment]:
    """A deployment of the test's own."""
    with deployed(tmp_path, database_url, rabbitmq_url, _model.url, nursery.running) as own:
        yield own


@pytest.fixture
def gate(deployment: Deployment) -> Iterator[Gate]:
    """A gate in the database of the test's own deployment."""
    with closing(Gate(deployment.database_url)) as made:
        yield made
