"""What the integration tests share: the served API, and the bench for the model adapter."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import langsmith
import pytest
import pytest_asyncio

from tests.support import services
from tests.support.api import Api, served, settings_for
from tests.support.cli import Cli
from tests.support.model_bench import KEY, Bench
from tests.support.openai_server import running_server
from tests.support.trails import TTL
from ticketflow.db.leases import Leases


@pytest.fixture(autouse=True)
def _tracing_as_it_was() -> Iterator[None]:
    """A worker switches LangSmith off for its whole process, which here is that of all tests."""
    yield
    langsmith.configure(enabled=None)


@pytest.fixture
async def api(database_url: str) -> AsyncIterator[Api]:
    """The API on a database of the test's own."""
    async with served(settings_for(database_url)) as serving:
        yield serving


@pytest.fixture
def leases(api: Api) -> Leases:
    """Leases in the name of a worker that the test plays."""
    return Leases(api.app.gateway, "worker-1", TTL, ["1"])


@pytest.fixture
def cli(tmp_path: Path, database_url: str) -> Cli:
    return Cli(tmp_path, database_url)


@pytest.fixture(scope="module")
def bare_database_url(postgres_server: str, template: str) -> Iterator[str]:
    with services.database(postgres_server, template) as url:
        yield url


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bare_api(bare_database_url: str) -> AsyncIterator[Api]:
    """One API for all tests of a module that store nothing; they run in the module's loop."""
    async with served(settings_for(bare_database_url)) as serving:
        yield serving


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    """The model adapter against a test server that accepts ``KEY``."""
    async with running_server(api_key=KEY) as server:
        bench = Bench(server)
        yield bench
        for model in bench.models:
            await model.aclose()
