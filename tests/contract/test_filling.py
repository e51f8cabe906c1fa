"""The benchmark's filled database: everything in it is as the real code would have left it."""

from __future__ import annotations

import psycopg
import pytest

from ticketflow.bench.filling import TABLES, fill
from ticketflow.bench.moulds import Kind
from ticketflow.db.postgres import PostgresGateway
from ticketflow.db.reads import Reads
from ticketflow.services.verify import verify
from ticketflow.settings import Settings

COPIES = 2000


@pytest.mark.thorough
async def test_a_filled_database_passes_the_audit_and_has_all_that_belongs_to_one(
    database_url: str, gateway: PostgresGateway
) -> None:
    with psycopg.connect(database_url) as before:
        indexes = before.execute("select indexname, indexdef from pg_indexes order by 1").fetchall()
    filled = await fill(database_url, Settings(), COPIES)
    verdict = await verify(Reads(gateway))
    assert verdict.violations == ()
    assert (verdict.tickets, verdict.events) == (filled.rows["tickets"], filled.rows["events"])
    with psycopg.connect(database_url) as after:
        assert after.execute("select indexname, indexdef from pg_indexes order by 1").fetchall() == indexes
        copies = after.execute("select count(*) from tickets where subject like '% CL-%' and body like '% CL-%.'")
        assert (copies.fetchone() or (0,))[0] >= COPIES
        places = after.execute("select lifecycle, status, count(*) from tickets group by 1, 2").fetchall()
        skew = after.execute("select count(*) from tickets group by customer_id order by 1 desc limit 1").fetchone()
    assert len({(place, status) for place, status, _ in places}) >= len(Kind) - 1
    assert skew is not None
    assert skew[0] > COPIES / 100  # The mean is ten.
    assert all(filled.rows[table] for table in TABLES)
    assert filled.rows["events"] > 10 * COPIES
