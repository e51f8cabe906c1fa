"""Deployments for the acceptance tests: one for a test that breaks it, or one for all tests of a module."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.acceptance.deployment import Deployment, deployed
from tests.acceptance.gate import Gate
from tests.acceptance.laptop import Laptop, own_laptop
from tests.acceptance.model import Model, model_server
from tests.acceptance.rabbit_node import PROGRAM
from tests.support import services

# A node of one's own can be killed where the program is installed; a RabbitMQ in a container is not ours to kill.
collect_ignore = [] if PROGRAM else ["test_broker_killed.py"]


@pytest.fixture(scope="session")
def _model() -> Iterator[Model]:
    with model_server() as served:
        yield served


@pytest.fixture
def model(_model: Model) -> Iterator[Model]:
    """The model provider, without faults at the start of each test."""
    yield _model
    _model.reset()


@pytest.fixture
def deployment(tmp_path: Path, database_url: str, rabbitmq_url: str, _model: Model) -> Iterator[Deployment]:
    """A deployment of the test's own."""
    with deployed(tmp_path, database_url, rabbitmq_url, _model.url) as own:
        yield own


@pytest.fixture
def gate(deployment: Deployment) -> Iterator[Gate]:
    """A gate in the database of the test's own deployment."""
    with closing(Gate(deployment.database_url)) as made:
        yield made


@pytest.fixture(scope="module")
def shared(
    tmp_path_factory: pytest.TempPathFactory, postgres_server: str, template: str, _virtual_host: str, _model: Model
) -> Iterator[Deployment]:
    """A deployment that all tests of the module use."""
    with services.database(postgres_server, template) as url:
        with deployed(tmp_path_factory.mktemp("shared"), url, _virtual_host, _model.url) as common:
            yield common
        asyncio.run(services.empty(_virtual_host))


@pytest.fixture
def laptop() -> Iterator[Laptop]:
    with own_laptop() as own:
        yield own
