"""What was said about a ticket since it came in, as the steps use it: bounded, and each message with its speaker."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ticketflow.domain.conversation import Message
from ticketflow.domain.roles import PIPELINE

MAX_MESSAGES = 20
MAX_TEXT = 5_000
"""Characters of one message. Who writes more, or more often, is understood by the newest and by the beginnings."""


def conversation_material(conversation: Sequence[Message]) -> dict[str, Any]:
    """``{"conversation": [{"from": "customer"|"support", "text"}]}``, oldest first; nothing where nothing was said.

    ``messages_left_out`` and, in a message, ``characters_left_out`` stand where something was cut.
    """
    if not conversation:
        return {}
    recent = conversation[-MAX_MESSAGES:]
    material: dict[str, Any] = {"conversation": [_said(message) for message in recent]}
    if left_out := len(conversation) - len(recent):
        material["messages_left_out"] = left_out
    return material


def _said(message: Message) -> dict[str, Any]:
    said: dict[str, Any] = {
        "from": "customer" if message.by_customer else "support",
        "text": message.body[:MAX_TEXT],
    }
    if len(message.body) > MAX_TEXT:
        said["characters_left_out"] = len(message.body) - MAX_TEXT
    return said


def customer_texts(conversation: Sequence[Message]) -> list[str]:
    """What the customer wrote after the ticket's own text, newest first."""
    return [message.body for message in reversed(conversation) if message.by_customer]


def support_texts(conversation: Sequence[Message]) -> list[str]:
    """What the customer was told, by people and by the pipeline."""
    return [message.body for message in conversation if not message.by_customer]


def told_by_pipeline(conversation: Sequence[Message]) -> int:
    """How many messages the pipeline has sent. Each is a used-up chance to ask: questions and answers look alike."""
    return sum(message.author == PIPELINE for message in conversation)
