"""The row that measures a Supabase project over REST: what it counts, and which projects it leaves alone."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx
import psycopg
import pytest
from psycopg import sql

from tests.support.api import settings_for
from tests.support.cli import Cli
from tests.support.project import Project
from tests.support.supabase import Supabase, as_service
from ticketflow import wiring
from ticketflow.bench import rest
from ticketflow.bench.counting_gate import CountingGate
from ticketflow.bench.frame import Bench, LeftOut, Plan
from ticketflow.bench.lent_project import lent_project
from ticketflow.bench.stand_ins import TEXT
from ticketflow.cli.throwaway import throwaway_database
from ticketflow.db.leases import Lease, Leases
from ticketflow.domain.delivery import FailPermanently
from ticketflow.domain.errors import ConfigurationError, TicketflowError
from ticketflow.services.caller import Caller
from ticketflow.services.intake import NewTicket
from ticketflow.settings import Settings
from ticketflow.wiring import Application
from ticketflow.worker.run import TicketRun

SMALL = rest.Load(tickets=6, in_flight=6, alone=1, round_trip_seconds=0.1, idle_seconds=0.5)


def configured(project: Project, database_url: str | None = None) -> Settings:
    return settings_for(database_url or project.owner_url, SUPABASE_URL=project.url, SUPABASE_KEY=project.key)


def rows_in(project: Project) -> dict[str, int]:
    """Of each table that has any, but for the record of migrations."""
    with psycopg.connect(project.owner_url) as connection:
        tables = [str(name) for (name,) in connection.execute("select unnest(ticketflow_tables())")]
        counts = {}
        for table in tables:
            row = connection.execute(sql.SQL("select count(*) from {}").format(sql.Identifier(table))).fetchone()
            counts[table] = row[0] if row else 0
    return {table: count for table, count in counts.items() if count and table != "schema_migrations"}


@contextlib.asynccontextmanager
async def directly(project: Project) -> AsyncIterator[Application]:
    async with wiring.connected(settings_for(project.owner_url), auto_migrate=False) as app:
        yield app


async def take_in(app: Application, text: str) -> Any:
    return (await app.intake.take_in(NewTicket("cus_1", "Help", text, idempotency_key=text), Caller("req_1"))).ticket_id


async def test_calls_and_bytes_are_counted_and_both_ways_timed(rest_project: Project) -> None:
    settings = configured(rest_project)
    place = Bench(lambda: throwaway_database(rest_project.owner_url, "bench"), Plan(rounds=1), settings)
    measured = await rest.measure(place, SMALL)
    assert all(0 < figure.min <= figure.median <= figure.max for figure in measured.figures.values())
    details = measured.details["embedded"]
    alone = details["calls_alone"]
    wanted = {"commit": 7, "claim": 1, "search_all": 1, "history_all": 1, "queue_put": 1}
    assert {name: alone[f"ticketflow_{name}"] for name in wanted} == wanted
    assert alone["ticketflow_outbox_take"] >= 2
    assert alone["ticketflow_queue_take"] >= 2
    figures = {name: figure.median for name, figure in measured.figures.items()}
    assert figures["embedded_calls_alone"] >= 15 > figures["embedded_calls_in_flight"]
    assert "ticketflow_commit" not in details["idle_calls_a_minute"]
    assert rows_in(rest_project) == {}


async def test_a_project_with_tickets_is_left_alone(rest_project: Project) -> None:
    async with directly(rest_project) as app:
        ticket_id = await take_in(app, TEXT)
        before = rows_in(rest_project)
        with pytest.raises(LeftOut, match="has tickets"):
            async with lent_project(configured(rest_project)):
                pytest.fail("it was taken for an empty one")
        assert rows_in(rest_project) == before
        ticket = await app.reads.ticket(ticket_id)
        assert ticket is not None
        assert ticket.version == 1


async def test_a_project_that_is_being_prepared_is_left_alone(rest_project: Project) -> None:
    with psycopg.connect(rest_project.owner_url) as connection:
        connection.execute("insert into articles (id, title, body) values ('returns', 'Returns', 'Within 30 days')")
    with pytest.raises(LeftOut, match="something in articles: it needs SUPABASE_URL"):
        async with lent_project(configured(rest_project)):
            pytest.fail("it was taken for an empty one")
    assert rows_in(rest_project)["articles"] == 1


async def test_address_and_connection_must_lead_to_the_same_project(
    rest_project: Project, project_server: Supabase
) -> None:
    with project_server.project() as other:
        with pytest.raises(ConfigurationError, match="not of the same project"):
            async with lent_project(configured(rest_project, other)):
                pytest.fail("they were taken for one")
        assert rows_in(Project("", "", other)) == {}
        async with directly(rest_project) as app:
            await take_in(app, TEXT)
        with pytest.raises(LeftOut, match="SUPABASE_URL has tickets"):
            async with lent_project(configured(rest_project, other)):
                pytest.fail("its tickets are not those of the other")


async def test_somebody_who_would_not_see_all_rows_is_refused(rest_project: Project) -> None:
    if rest_project.api is None:
        pytest.skip("who may log in as whom is the stand-in's")
    with pytest.raises(ConfigurationError, match="DATABASE_URL must be that of the owner"):
        async with lent_project(configured(rest_project, as_service(rest_project.owner_url))):
            pytest.fail("it was taken for the owner")


async def test_tickets_are_removed_wherever_they_stand(rest_project: Project) -> None:
    async with lent_project(configured(rest_project)), directly(rest_project) as app:
        leases = Leases(app.gateway, "worker-1", timedelta(seconds=30), ["1"])
        await app.intake.take_in(NewTicket("cus_1", "Pending", TEXT), Caller("req_1"))
        held, failed = [
            await leases.claim(
                (await app.intake.take_in(NewTicket("cus_1", name, TEXT), Caller("req_1"))).ticket_id, takeover=False
            )
            for name in ("Held", "Failed")
        ]
        assert isinstance(held, Lease)
        assert isinstance(failed, Lease)
        run = TicketRun(failed, app.commits)
        run.begin("classify")
        await run.give_up(FailPermanently("model_refused"), "the model refused")
        assert {"tickets": 3, "dead_letters": 1, "leases": 1}.items() <= rows_in(rest_project).items()
    assert rows_in(rest_project) == {}


async def test_nothing_is_removed_once_there_are_tickets_of_others(rest_project: Project) -> None:
    async def with_company() -> None:
        async with lent_project(configured(rest_project)), directly(rest_project) as app:
            await take_in(app, TEXT)
            await take_in(app, "Where is my parcel?")

    with pytest.raises(TicketflowError, match=r"1 of its tickets are not the benchmark's.*nothing was removed"):
        await with_company()
    assert rows_in(rest_project)["tickets"] == 2


_TWICE = """
import sys
from ticketflow.cli import bench, main

bench.ROWS = {"rest": bench.ROWS["rest"]}
for arguments in (["bench"], ["bench", "rest"]):
    sys.argv[1:] = arguments
    try:
        main.main()
    except SystemExit as end:
        print("exit", end.code, file=sys.stderr)
    print("---")
"""


def test_without_a_project_the_row_is_left_out_unless_it_is_named(cli: Cli) -> None:
    (cli.folder / "twice.py").write_text(_TWICE)
    done = cli.shell("$PYTHON twice.py")
    everything, named = (json.loads(told)["rows"] for told in done.stdout.split("---")[:2])
    why = (
        "it needs SUPABASE_URL and SUPABASE_KEY of a project without tickets, and its owner's DATABASE_URL; "
        "SUPABASE_URL is not set"
    )
    assert everything == [{"row": "rest", "left_out": why}]
    assert named == [{"row": "rest", "error": why}]
    begun = "rest: 5 rounds ..."
    left_out, failed = [begun, f"rest: left out: {why}", "exit 0"], [begun, f"ticketflow: rest: {why}", "exit 1"]
    assert done.stderr.splitlines() == left_out + failed


async def test_the_gate_counts_what_reaches_the_project_and_changes_nothing_of_it() -> None:
    seen: list[bytes] = []
    packed = gzip.compress(b'{"version":1}')

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        seen.append(head + await reader.readexactly(len(b'{"args":{}}')))
        head = b"HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Encoding: gzip\r\nContent-Length: %d"
        writer.write(head % len(packed) + b"\r\n\r\n" + packed)
        await writer.drain()
        writer.close()

    project = await asyncio.start_server(answer, "127.0.0.1", 0)
    gate = CountingGate(f"http://127.0.0.1:{project.sockets[0].getsockname()[1]}/")
    async with gate.served(), httpx.AsyncClient(trust_env=False) as client:
        address = f"{gate.url}/rest/v1/rpc/ticketflow_schema?select=version&limit=1"
        passed = await client.post(address, content=b'{"args":{}}', headers={"apikey": "secret"})
        project.close()
        await project.wait_closed()
        lost = await client.post(address, content=b'{"args":{}}', headers={"apikey": "secret"})
        traffic = gate.taken()
    assert (passed.status_code, passed.json()) == (201, {"version": 1})
    assert seen[0].startswith(b"POST /rest/v1/rpc/ticketflow_schema?select=version&limit=1 HTTP/1.1\r\n")
    assert b"apikey: secret\r\n" in seen[0]
    assert traffic.calls == {"ticketflow_schema": 2}
    assert lost.status_code == 502
    assert traffic.received == len(packed)
    assert traffic.sent == 2 * len(seen[0])
