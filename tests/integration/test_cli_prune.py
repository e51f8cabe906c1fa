"""``prune`` as an operator runs it: what went, what would go, and what cannot be meant."""

from __future__ import annotations

import json
from uuid import UUID

import psycopg
import pytest
import typer

from tests.support.cli import Cli, assert_one_line
from tests.support.trails import RESULT, TTL, applied, claimed, event, new_ticket, step_done, under
from ticketflow.cli.options import age
from ticketflow.db.commits import Commits
from ticketflow.db.leases import Leases
from ticketflow.db.postgres import PostgresGateway
from ticketflow.db.reads import Reads
from ticketflow.domain.change import CheckpointRow
from ticketflow.services.verify import verify


async def completed_days_ago(gateway: PostgresGateway, database_url: str, days: int) -> UUID:
    """A completed ticket with one checkpoint whose whole story lies so far back."""
    commits = Commits(gateway)
    ticket_id = await new_ticket(commits)
    lease = await claimed(Leases(gateway, "worker-1", TTL, ["1"]), ticket_id)
    done = [step_done("finalize"), event(status="completed", result=dict(RESULT))]
    row = CheckpointRow(str(ticket_id), "", "c1", None, {"v": 1}, {}, {})
    await applied(commits, under(lease, *done, release=True, checkpoint=row))
    moments = ", ".join(
        f"{column} = {column} - interval '{days} days'"
        for column in ("created_at", "started_at", "completed_at", "updated_at")
    )
    with psycopg.connect(database_url) as connection:
        # Triggers are off for this session alone: time is the one thing that a test cannot wait for.
        connection.execute("set session_replication_role = replica")
        connection.execute(f"update tickets set {moments} where id = %s", (ticket_id,))  # type: ignore[arg-type]
        connection.execute(
            "update events set created_at = created_at - %s * interval '1 day' where ticket_id = %s", (days, ticket_id)
        )
    return ticket_id


async def test_prune_removes_what_is_old_and_says_how_much(
    cli: Cli, gateway: PostgresGateway, database_url: str
) -> None:
    old = [await completed_days_ago(gateway, database_url, 100) for _ in range(3)]
    recent = await completed_days_ago(gateway, database_url, 3)
    would = cli("prune", "--older-than", "90d", "--dry-run", "--batch", "2")
    assert (would.stdout, would.stderr) == ("would remove 3 checkpoints of 3 tickets\n", "")
    assert cli("prune", "--older-than", "90d").stdout == "removed 3 checkpoints of 3 tickets\n"
    whole = cli.json("prune", "--older-than", "13w", "--tickets", "--batch", "2", "--json")
    assert whole == {
        "tickets": 3, "checkpoints": 0, "events": 18, "kept": 0, "busy": 0, "whole": True, "dry_run": False,
    }  # fmt: skip
    reads = Reads(gateway)
    assert [ticket.id for ticket in await reads.tickets({}, sort="created_at", limit=9)] == [recent]
    assert await reads.ticket(old[0]) is None
    assert not (await verify(reads)).violations
    gone = cli("tickets", "show", str(old[0]))
    assert "no ticket has this id" in assert_one_line(gone)
    last = cli("prune", "--older-than", "48h", "--tickets")
    assert last.stdout == "removed 1 ticket with 6 events and 1 checkpoint\n"


@pytest.mark.parametrize("text", ["0d", "-3d", "90", "d", "1.5h", "9999999w", "90 d", "\u0663d", "90D", ""])
def test_an_age_that_is_none_is_a_usage_error(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="12h, 90d or 8w"):
        age(text)


def test_prune_needs_to_be_told_how_old_and_keeps_what_a_repeated_request_must_find(cli: Cli) -> None:
    untold, nonsense, early, eternal, empty = cli.at_once(
        ("prune",),
        ("prune", "--older-than=-3d"),
        ("prune", "--older-than", "23h", "--tickets"),
        ("prune", "--older-than", "999999w"),
        ("prune", "--older-than", "1h", "--json"),
    )
    assert (untold.returncode, "--older-than" in untold.stderr) == (2, True)
    assert (nonsense.returncode, "12h, 90d or 8w" in nonsense.stderr) == (2, True)
    assert "at least 24h" in assert_one_line(early)
    assert "longer ago" in assert_one_line(eternal)
    assert json.loads(empty.stdout)["tickets"] == 0
