"""Calls about the same tickets at the same time: what they lock, in which order, and that they act on nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

import psycopg
import pytest

from tests.support.processes import until
from tests.support.trails import at_version, claimed, creation, everything, new_ticket
from ticketflow.db.codec import change_json
from ticketflow.db.commits import Commits
from ticketflow.db.leases import Leases, Unknown
from ticketflow.db.postgres import PostgresGateway
from ticketflow.domain.change import Applied, Create, Outcome, Refusal, Refused

FIRST, SECOND = UUID(int=1), UUID(int=2)


async def waited_for(other: psycopg.Connection) -> None:
    """Until a call waits for this open transaction."""
    blocks = "select count(*) from pg_stat_activity where pg_backend_pid() = any(pg_blocking_pids(pid))"
    await asyncio.to_thread(until, lambda: other.execute(blocks).fetchone() != (0,), 10, "a call to wait")


@pytest.mark.parametrize("way", ["commit", "claim"])
async def test_a_ticket_that_appears_while_a_call_waits_is_not_there_for_it(
    commits: Commits, leases: Leases, gateway: PostgresGateway, database_url: str, way: str
) -> None:
    # It is no longer possible to lock it in its turn, and without a lock two would append to one trail.
    await new_ticket(commits, ticket_id=SECOND)
    ask: Callable[[UUID], asyncio.Future[object]] = {
        "commit": lambda ticket: asyncio.ensure_future(commits.apply(at_version(ticket, 1))),
        "claim": lambda ticket: asyncio.ensure_future(leases.claim(ticket, takeover=False)),
    }[way]
    with psycopg.connect(database_url) as other:
        other.execute("select from tickets where id = %s for update", (SECOND,))
        asked = [ask(FIRST), ask(SECOND)]
        await waited_for(other)
        await new_ticket(Commits(gateway), ticket_id=FIRST)
        other.commit()
        first, second = await asyncio.gather(*asked)
    assert first == (Unknown() if way == "claim" else Refused(Refusal.NOT_FOUND))
    assert not isinstance(second, Refused | Unknown)


async def test_what_is_taken_in_again_waits_for_nobody_who_changes_that_ticket(
    commits: Commits, database_url: str
) -> None:
    ticket_id = await new_ticket(commits)
    with psycopg.connect(database_url) as other:
        other.execute("update tickets set team = 'l2', updated_at = now() where id = %s", (ticket_id,))
        async with asyncio.timeout(5):
            outcome = await commits.apply(creation(ticket_id))
        assert isinstance(outcome, Refused)
        assert outcome.reason is Refusal.EXISTS


async def test_leases_are_kept_in_the_order_of_their_tickets_also_lost_ones(
    commits: Commits, leases: Leases, others: Leases, database_url: str
) -> None:
    for ticket_id in (FIRST, SECOND):
        await new_ticket(commits, ticket_id=ticket_id)
    lost, kept = await claimed(leases, FIRST), await claimed(leases, SECOND)
    await claimed(others, FIRST, takeover=True)
    with psycopg.connect(database_url) as other:
        other.execute("select from leases where ticket_id = %s for update", (FIRST,))
        keeping = asyncio.create_task(leases.extend([kept, lost]))
        await waited_for(other)
        other.execute("select from leases where ticket_id = %s for update nowait", (SECOND,))
        other.commit()
        assert set(await keeping) == {FIRST}


async def test_a_guard_without_a_token_holds_for_no_ticket(
    commits: Commits, gateway: PostgresGateway, database_url: str
) -> None:
    change = change_json(at_version(await new_ticket(commits), 1)) | {"guard": {"kind": "lease", "token": None}}
    before = everything(database_url)
    [outcome] = await gateway.call("ticketflow_commit", [change])
    assert outcome["reason"] == "lease"
    assert everything(database_url) == before


async def test_a_text_that_another_ticket_took_in_this_call_finds_that_ticket(commits: Commits) -> None:
    window = Create(UUID(int=9), timedelta(hours=1))
    outcomes: list[Outcome] = await commits.apply_all(
        [at_version(FIRST, 1), creation(FIRST, guard=window), creation(SECOND, guard=window)]
    )
    assert outcomes[:2] == [Refused(Refusal.NOT_FOUND), Applied(1)]
    assert isinstance(outcomes[2], Refused)
    assert outcomes[2].existing is not None
    assert outcomes[2].existing.id == FIRST
