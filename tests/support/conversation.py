"""Conversations for tests: who said what, in order."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

from ticketflow.domain.conversation import Message, MessageKind

START = datetime(2026, 1, 1, tzinfo=UTC)
AUTHORS = {"customer": "customer:cus_1", "support": "agent:anna", "pipeline": "pipeline"}


def talk(*said: tuple[str, str]) -> list[Message]:
    """Public messages from ``(who, text)``: ``customer``, ``support`` (a person) or ``pipeline``."""
    return [
        Message(
            id=UUID(int=place),
            ticket_id=UUID(int=0),
            seq=place,
            kind=MessageKind.REPLY,
            author=AUTHORS[who],
            body=text,
            created_at=START + timedelta(minutes=place),
        )
        for place, (who, text) in enumerate(said, start=1)
    ]
