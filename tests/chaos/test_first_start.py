"""The first processes of a new deployment, all at once."""

from __future__ import annotations

import asyncio
from pathlib import Path

import psycopg
import pytest

from tests.support.deployment import audited
from tests.support.model import Model
from tests.support.nursery import Nursery
from tests.support.processes import clean_environment, http, until
from ticketflow.db.migrate import pending, shipped

pytestmark = pytest.mark.chaos


def test_processes_started_together_on_an_empty_database_make_the_schema_once_and_work(
    tmp_path: Path, empty_database_url: str, rabbitmq_url: str, model: Model, nursery: Nursery
) -> None:
    environment = clean_environment(
        DATABASE_URL=empty_database_url,
        RABBITMQ_URL=rabbitmq_url,
        OPENAI_API_KEY="sk-test",
        OPENAI_BASE_URL=model.url,
    )
    worker = ("worker", "--metrics-port", "0")
    with (
        nursery.running(worker, environment, tmp_path) as one,
        nursery.running(worker, environment, tmp_path) as other,
        nursery.running(("api", "--port", "0"), environment, tmp_path) as api,
    ):
        for process in (one, other):
            process.wait_for_event("broker.consuming")
        address = api.wait_for_event("ticketflow.up")["url"]
        applied = [record["name"] for process in (one, other, api) for record in process.events("migration.applied")]
        assert sorted(applied) == [migration.name for migration in shipped()]
        assert asyncio.run(pending(empty_database_url)) == []
        body = {"subject": "First", "body": "Is anybody there?", "customer_id": "cus_1"}
        assert http("POST", f"{address}/tickets", body)[0] == 201
        with psycopg.connect(empty_database_url, autocommit=True) as database:
            done = "select count(*) from tickets where status = 'completed'"
            until(lambda: database.execute(done).fetchone() == (1,), 30, "the first ticket to complete")
    assert asyncio.run(audited(empty_database_url)).violations == ()
