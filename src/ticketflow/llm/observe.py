"""Whoever wants to count model calls implements this; the metrics do."""

from __future__ import annotations

from typing import Literal, Protocol

from ticketflow.llm.port import Usage

Outcome = Literal["ok", "timeout", "rate_limited", "unavailable", "invalid_output", "refused"]


class ModelObserver(Protocol):
    def answered(self, model: str, outcome: Outcome, usage: Usage) -> None:
        """One HTTP attempt is over; ``usage`` is that attempt's alone, ``model`` the configured name."""
        ...
