"""The checkpointer against LangGraph's own conformance suite, on both PostgreSQL versions that users meet first."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import UUID

import pytest
from langgraph.checkpoint.conformance import checkpointer_test, validate
from langgraph.checkpoint.conformance.capabilities import ALL_CAPABILITIES, DetectedCapabilities

from tests.support import services
from ticketflow.db.checkpoints import CheckpointSaver
from ticketflow.db.migrate import migrate
from ticketflow.db.postgres import PostgresGateway
from ticketflow.db.serde import ValueCodec
from ticketflow.domain.errors import Poison


@pytest.mark.parametrize("server", ["postgres_server", "embedded_server"])
async def test_passes_every_capability_of_the_conformance_suite(server: str, request: pytest.FixtureRequest) -> None:
    with services.database(request.getfixturevalue(server)) as url:
        await migrate(url)

        @checkpointer_test(name="ticketflow")
        async def saver() -> AsyncIterator[CheckpointSaver]:
            gateway = PostgresGateway(url, 4)
            await gateway.open()
            yield CheckpointSaver(gateway)
            await gateway.aclose()

        report = await validate(saver)

    assert report.passed_all(), report.to_dict()
    assert report.passed_all_base()
    assert set(report.results) == {capability.value for capability in ALL_CAPABILITIES}


async def test_declares_all_capabilities(gateway: PostgresGateway) -> None:
    assert DetectedCapabilities.from_instance(CheckpointSaver(gateway)).missing == frozenset()


@pytest.mark.parametrize(
    "stored",
    [
        {"t": "pickle", "b": "gASVBQAAAAAAAABLAS4="},
        {"t": "msgpack", "b": "not base64!"},
        {"t": "msgpack", "b": "wQ=="},
        {"t": "nonsense", "b": ""},
        {},
        None,
        [],
        "text",
    ],
)
def test_a_value_that_we_cannot_have_written_is_refused(stored: object) -> None:
    with pytest.raises(Poison):
        ValueCodec().decode(stored)


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        0,
        -7,
        2**60,
        1.5,
        "text",
        "nul \x00 inside",
        [1, [2]],
        {"a": {"b": None}},
        b"\x00",
        {3, 4},
        UUID(int=5),
        {1: 2},
    ],
)
def test_every_value_comes_back_as_it_was(value: object) -> None:
    codec = ValueCodec()
    assert codec.decode(codec.encode(value)) == value
