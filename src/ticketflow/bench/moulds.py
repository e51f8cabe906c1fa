"""Tickets of every kind, brought there by the real code: what ``filling`` makes copies of.

Whatever a release writes about a ticket, its copies have too, so that a filled database passes ``ticketflow verify``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import timedelta
from enum import StrEnum
from uuid import UUID

from ticketflow import wiring
from ticketflow.api.models import NewTicketBody
from ticketflow.api.routes.tickets import new_ticket
from ticketflow.db.leases import Lease
from ticketflow.db.outbox import DueTimer
from ticketflow.domain.change import TimerKind
from ticketflow.domain.delivery import FailPermanently, RetryLater
from ticketflow.domain.errors import TicketflowError
from ticketflow.domain.lifecycle import Place
from ticketflow.domain.tickets import Status, Ticket
from ticketflow.llm.offline import OfflineModel
from ticketflow.samples import articles, tickets
from ticketflow.services.caller import Caller
from ticketflow.services.wake import fire
from ticketflow.wiring import Application
from ticketflow.worker.run import TicketRun
from ticketflow.worker.service import working

PERSON = "agent-0"
"""Who has the moulds that a person has."""

RARE_TAG = "recall"
WITHOUT_NUMBER = "Where is my order? It has not arrived."
"""The pipeline asks which one."""

LONG = timedelta(days=30)
PATIENCE_SECONDS = 120.0
_UNDER_WAY = (Status.PENDING, Status.PROCESSING)


class Kind(StrEnum):
    """How a ticket stands."""

    CLOSED = "closed"
    TAGGED = "tagged"
    """Closed, and one of the few with ``RARE_TAG``."""
    RESOLVED = "resolved"
    ESCALATED = "escalated"
    ASKED = "asked"
    PERSONAL = "personal"
    """With a person, and a suggestion of the pipeline beside it."""
    CANCELLED = "cancelled"
    FAILED = "failed"
    PENDING = "pending"
    PROCESSING = "processing"
    RETRYING = "retrying"


async def made(app: Application) -> Mapping[Kind, Sequence[UUID]]:
    """Take the sample shop's tickets in, work on them with the offline rules, and leave some at every stage."""
    await app.library.add(articles())
    shop = range(len(tickets()))
    answered = [await _sample(app, number, "answer") for number in shop]
    closing = [await _sample(app, number, "close") for number in shop]
    tagged = [await _sample(app, number, "tag", tags=[RARE_TAG]) for number in shop]
    asked = [await _sample(app, number, "ask", body=WITHOUT_NUMBER) for number in range(3)]
    personal = [await _sample(app, number, "keep", assignee=PERSON) for number in range(5)]
    await _work(app, [*answered, *closing, *tagged, *asked, *personal])
    return {
        Kind.RESOLVED: await _standing(app, answered, Place.RESOLVED),
        Kind.ESCALATED: await _standing(app, answered, Place.ESCALATED),
        Kind.ASKED: await _standing(app, asked, Place.PENDING_CUSTOMER),
        Kind.PERSONAL: await _standing(app, personal, Place.ASSIGNED),
        Kind.CLOSED: await _closed(app, closing),
        Kind.TAGGED: await _closed(app, tagged),
        Kind.CANCELLED: [await _cancelled(app, number) for number in range(3)],
        Kind.FAILED: [await _failed(app, number) for number in range(3)],
        Kind.RETRYING: [await _put_aside(app, number) for number in range(3)],
        Kind.PROCESSING: [(await _claimed(app, number, "claim")).ticket.id for number in range(3)],
        Kind.PENDING: [await _sample(app, number, "leave") for number in range(10)],
    }


async def _work(app: Application, taken: Sequence[UUID]) -> None:
    """Until the pipeline has ended with all of them."""
    async with working(app, lambda _: OfflineModel()) as work:
        running = asyncio.create_task(work.worker.run(0))
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                for ticket_id in taken:
                    # A ticket does not announce its end, so it is asked.
                    while (await _ticket(app, ticket_id)).status in _UNDER_WAY:  # noqa: ASYNC110
                        await asyncio.sleep(0.02)
        finally:
            work.worker.stop()
            await running


async def _sample(app: Application, number: int, purpose: str, *, tags: Sequence[str] = (), **given: str) -> UUID:
    """Take one of the shop's tickets in, with these fields in the place of its own."""
    shop = tickets()
    shown = shop[number % len(shop)]
    body = NewTicketBody.model_validate({**shown, "tags": [*shown.get("tags", []), *tags], **given})
    name = f"{purpose}-{number}"
    return (await app.intake.take_in(new_ticket(body, name), Caller(name))).ticket_id


async def _standing(app: Application, taken: Sequence[UUID], place: Place) -> list[UUID]:
    found = [ticket_id for ticket_id in taken if (await _ticket(app, ticket_id)).lifecycle is place]
    if not found:
        raise TicketflowError(f"none of the benchmark's own tickets is {place}")
    return found


async def _closed(app: Application, taken: Sequence[UUID]) -> list[UUID]:
    """Those that were answered, closed as if nobody had objected for long enough."""
    answered = await _standing(app, taken, Place.RESOLVED)
    for ticket in [await _ticket(app, ticket_id) for ticket_id in answered]:
        await fire(DueTimer(ticket.id, TimerKind.CLOSE, ticket, ticket.updated_at), app.commits, app.outbox)
    return answered


async def _cancelled(app: Application, number: int) -> UUID:
    ticket_id = await _sample(app, number, "cancel")
    return (await app.steer.cancel(ticket_id, Caller("cancel"))).id


async def _failed(app: Application, number: int) -> UUID:
    run = TicketRun(await _claimed(app, number, "fail"), app.commits)
    run.begin("classify")
    await run.give_up(FailPermanently("model_refused"), "the model refused the request")
    return run.lease.ticket.id


async def _put_aside(app: Application, number: int) -> UUID:
    run = TicketRun(await _claimed(app, number, "retry"), app.commits)
    run.begin("classify")
    await run.put_aside(RetryLater(LONG, "model_timeout"), "the model did not answer in time")
    return run.lease.ticket.id


async def _claimed(app: Application, number: int, purpose: str) -> Lease:
    leases = wiring.leases(app, wiring.flows(app))
    lease = await leases.claim(await _sample(app, number, purpose), takeover=False)
    if not isinstance(lease, Lease):
        raise TicketflowError(f"a ticket of the benchmark's own was not to be had: {lease}")
    return lease


async def _ticket(app: Application, ticket_id: UUID) -> Ticket:
    ticket = await app.reads.ticket(ticket_id)
    if ticket is None:
        raise TicketflowError("a ticket of the benchmark's own is gone")
    return ticket
