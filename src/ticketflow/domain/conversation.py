"""What people and the pipeline say to each other about a ticket."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from uuid import UUID, uuid4


class MessageKind(StrEnum):
    REPLY = "reply"
    """Public: the customer reads it, or wrote it."""
    NOTE = "note"
    """Internal: for those who work on the ticket."""
    SUGGESTION = "suggestion"
    """Internal: what the pipeline would have answered, had a person not taken the ticket on."""


PUBLIC = frozenset({MessageKind.REPLY})


@dataclass(frozen=True, slots=True)
class NewMessage:
    """A message about to be kept. ``author`` as in ``Principal.actor``, or ``pipeline``."""

    kind: MessageKind
    author: str
    body: str
    id: UUID = field(default_factory=uuid4)


@dataclass(frozen=True, slots=True)
class Message:
    """A message as stored; ``seq`` is that of its event in the ticket's trail."""

    id: UUID
    ticket_id: UUID
    seq: int
    kind: MessageKind
    author: str
    body: str
    created_at: datetime

    @property
    def by_customer(self) -> bool:
        return self.author.startswith("customer:")


def up_to_customer(messages: Sequence[Message]) -> tuple[Message, ...]:
    """What an answer is to: all up to the customer's last words. What support has said after them is an answer itself,
    and a run that is repeated would take its own for something to go on from."""
    last = max((number for number, message in enumerate(messages, 1) if message.by_customer), default=0)
    return tuple(messages[:last])
