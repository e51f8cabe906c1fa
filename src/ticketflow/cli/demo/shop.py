"""The sample shop's tickets, as many as the demo wants, and how they are taken in."""

from __future__ import annotations

from functools import cache
from typing import Any
from uuid import UUID, uuid4

from ticketflow.api.models import NewTicketBody
from ticketflow.api.routes.tickets import new_ticket
from ticketflow.samples import tickets
from ticketflow.services.caller import Caller
from ticketflow.services.intake import NewTicket
from ticketflow.wiring import Application


@cache
def _tickets() -> list[dict[str, Any]]:
    return tickets()


def sample(number: int) -> NewTicket:
    """The ticket with this number, from 0 on; after the last one they come again as other tickets."""
    shop = _tickets()
    return new_ticket(NewTicketBody.model_validate(shop[number % len(shop)]), f"demo-{number}")


async def take_in(app: Application, count: int) -> list[UUID]:
    """Take in the first ``count`` tickets; their ids in order."""
    return [(await app.intake.take_in(sample(number), Caller(uuid4().hex))).ticket_id for number in range(count)]
