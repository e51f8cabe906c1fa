"""The same message many times: harmless, however it comes."""

from __future__ import annotations

import asyncio
import dataclasses
from datetime import UTC, datetime

import pytest

from tests.support.api import served, settings_for
from ticketflow.broker.messages import Message
from ticketflow.domain.routing import Lane
from ticketflow.services.verify import verify
from ticketflow.worker.service import working

COPIES = 8


@pytest.mark.parametrize("redelivered", [True, False])
async def test_copies_of_a_message_at_one_worker_are_one_piece_of_work(
    database_url: str, rabbitmq_url: str, redelivered: bool
) -> None:
    async with served(settings_for(database_url, RABBITMQ_URL=rabbitmq_url)) as api:
        ticket_id = await api.ticket()
        wake_up = Message(Lane.NORMAL, ticket_id, "created", datetime.now(UTC))
        if redelivered:
            wake_up = dataclasses.replace(wake_up, headers={"x-delivery-count": "1"})
        await api.app.broker.publish([wake_up] * COPIES)
        async with working(api.app) as work:
            running = asyncio.create_task(work.worker.run(5))
            async with asyncio.timeout(30), api.http.stream("GET", f"/tickets/{ticket_id}/events/stream") as stream:
                async for line in stream.aiter_lines():
                    if '"completed"' in line:
                        break
            work.worker.stop()
            await running
        trail = (await api.http.get(f"/tickets/{ticket_id}/events")).json()["items"]
        assert [event["payload"] for event in trail if event["event_type"] in ("retry", "error")] == []
        assert not (await verify(api.app.reads)).violations
