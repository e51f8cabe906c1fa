"""The adapters under test, each on the test's own database."""

from __future__ import annotations

import pytest

from tests.support.trails import TTL
from ticketflow.db.commits import Commits
from ticketflow.db.leases import Leases
from ticketflow.db.outbox import Outbox
from ticketflow.db.postgres import PostgresGateway
from ticketflow.db.reads import Reads


@pytest.fixture
def commits(gateway: PostgresGateway) -> Commits:
    return Commits(gateway)


@pytest.fixture
def leases(gateway: PostgresGateway) -> Leases:
    return Leases(gateway, "worker-1", TTL, ["1"])


@pytest.fixture
def others(gateway: PostgresGateway) -> Leases:
    return Leases(gateway, "worker-2", TTL, ["1"])


@pytest.fixture
def reads(gateway: PostgresGateway) -> Reads:
    return Reads(gateway)


@pytest.fixture
def outbox(gateway: PostgresGateway) -> Outbox:
    return Outbox(gateway)
