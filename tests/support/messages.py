"""Messages that no process of ours published."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import uuid4

import aio_pika

from ticketflow.broker.rabbitmq import EXCHANGE, queue_name
from ticketflow.domain.routing import Lane

NOBODY = str(uuid4())


def wake_up(**fields: Any) -> bytes:
    """A message as Ticketflow writes it, apart from ``fields``."""
    plain = {"v": 1, "ticket_id": NOBODY, "reason": "created", "enqueued_at": "2026-01-01T00:00:00+00:00"}
    return json.dumps({**plain, **fields}).encode()


async def publish(
    url: str,
    bodies: Sequence[bytes],
    lanes: Sequence[Lane] = (Lane.NORMAL,),
    headers: Sequence[Mapping[str, Any]] = ({},),
    types: Sequence[str | None] = ("application/json",),
) -> None:
    """Into the lanes in turn, with headers and content types in turn."""
    async with await aio_pika.connect(url) as connection:
        exchange = await (await connection.channel()).get_exchange(EXCHANGE)
        for number, body in enumerate(bodies):
            message = aio_pika.Message(
                body, content_type=types[number % len(types)], headers=dict(headers[number % len(headers)])
            )
            await exchange.publish(message, queue_name(lanes[number % len(lanes)]), mandatory=True)
