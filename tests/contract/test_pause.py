"""What a worker commits for a ticket that a person has paused meanwhile."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from uuid import UUID

import pytest

from tests.support.trails import RESULT, applied, at_version, claimed, event, everything, new_ticket
from ticketflow.db.commits import Commits
from ticketflow.db.leases import Lease, Leases
from ticketflow.db.reads import Reads
from ticketflow.domain.change import CheckpointRow
from ticketflow.domain.delivery import FailPermanently, RetryLater
from ticketflow.domain.errors import LeaseLost, Paused
from ticketflow.domain.events import EventType
from ticketflow.services.verify import verify
from ticketflow.worker.run import TicketRun
from ticketflow.workflow.state import StepName, StepReport


async def step(run: TicketRun, name: StepName, result: bool = False) -> None:
    run.begin(name)
    run.record(StepReport(name, {}, duration_ms=1, round=1, result=dict(RESULT) if result else None))
    await run.commit_step(CheckpointRow(str(run.lease.ticket.id), "", f"after {name}", None, {"v": 1}, {}, {}))


async def pause(commits: Commits, lease: Lease) -> None:
    paused = event(EventType.PAUSED, status="waiting", waiting_for="paused")
    await applied(commits, at_version(lease.ticket.id, lease.ticket.version, paused))


@pytest.fixture
async def paused(commits: Commits, leases: Leases) -> TicketRun:
    """The run of a ticket that was paused under it."""
    lease = await claimed(leases, await new_ticket(commits))
    await pause(commits, lease)
    return TicketRun(lease, commits)


TAKEN = ["created", "status_change", "lifecycle", "lifecycle"]
"""The trail up to where a worker has the ticket."""


async def trail(reads: Reads, ticket_id: UUID) -> list[str]:
    return [each.step_name or each.event_type for each in await reads.events(ticket_id) or ()]


async def assert_still_paused(reads: Reads, run: TicketRun) -> None:
    ticket = await reads.ticket(run.lease.ticket.id)
    assert (ticket.status, ticket.waiting_for, ticket.result, ticket.error) == ("waiting", "paused", None, None)
    assert not (await verify(reads)).violations
    assert await reads.dead_letters(limit=1) == []


async def test_a_step_is_kept_and_the_lease_returned(paused: TicketRun, reads: Reads) -> None:
    with pytest.raises(Paused):
        await step(paused, StepName.CLASSIFY)
    assert await trail(reads, paused.lease.ticket.id) == [*TAKEN, "paused", "classify"]
    assert (await reads.wakers(paused.lease.ticket.id))["lease"] is None
    await assert_still_paused(reads, paused)


async def test_a_last_step_is_not_kept_because_it_would_give_a_result(
    paused: TicketRun, reads: Reads, database_url: str
) -> None:
    before = everything(database_url)
    with pytest.raises(Paused):
        await step(paused, StepName.FINALIZE, result=True)
    assert everything(database_url) == before
    await assert_still_paused(reads, paused)


@pytest.mark.parametrize(
    "fail",
    [
        lambda run: run.put_aside(RetryLater(timedelta(seconds=5), "model_timeout"), "no answer"),
        lambda run: run.give_up(FailPermanently("model_refused"), "no"),
    ],
    ids=["put aside", "given up"],
)
async def test_a_failure_is_recorded_and_changes_nothing_else(
    paused: TicketRun, reads: Reads, fail: Callable[[TicketRun], Awaitable[None]]
) -> None:
    paused.begin(StepName.CLASSIFY)
    with pytest.raises(Paused):
        await fail(paused)
    assert await trail(reads, paused.lease.ticket.id) == [*TAKEN, "paused", "classify"]
    assert (await reads.wakers(paused.lease.ticket.id))["timers"] == []
    await assert_still_paused(reads, paused)


async def test_a_step_that_comes_after_the_ticket_was_resumed_is_refused(
    paused: TicketRun, commits: Commits, reads: Reads, database_url: str
) -> None:
    resumed = event(EventType.RESUMED, status="pending", waiting_for=None)
    await applied(
        commits, at_version(paused.lease.ticket.id, paused.lease.ticket.version + 1, resumed, revoke_lease=True)
    )
    before = everything(database_url)
    with pytest.raises(LeaseLost):
        await step(paused, StepName.CLASSIFY)
    assert everything(database_url) == before
