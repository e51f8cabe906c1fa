"""Retention: removing what closed tickets leave behind, one bounded batch a call."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import datetime

from ticketflow.db.gateway import Gateway
from ticketflow.domain.moves import Move, allowed
from ticketflow.domain.tickets import TERMINAL

SETTLED = frozenset(status for status in TERMINAL if Move.RETRY not in allowed(status, None))
"""Nothing goes on from where a ticket in one of these stopped, so that its checkpoints may go before it does."""


@dataclass(frozen=True, slots=True)
class Pruned:
    """What one or more batches removed, or would.

    ``tickets`` lost their checkpoints, or went as a whole together with ``events``. ``kept`` have an open dead letter;
    ``busy`` were held by another transaction, and come along the next time.
    """

    tickets: int = 0
    checkpoints: int = 0
    events: int = 0
    kept: int = 0
    busy: int = 0

    def __add__(self, other: Pruned) -> Pruned:
        return Pruned(
            self.tickets + other.tickets,
            self.checkpoints + other.checkpoints,
            self.events + other.events,
            self.kept + other.kept,
            self.busy + other.busy,
        )


class Retention:
    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def prune(self, before: datetime, *, whole: bool, batch: int, dry_run: bool) -> AsyncGenerator[Pruned, None]:
        """Go through the tickets that ended before that time, oldest first; each batch of up to ``batch`` tickets is a
        transaction of its own. ``whole``: the tickets themselves as well. Raises ``StoreUnavailable``."""
        args = {
            "before": before.isoformat(),
            "statuses": sorted(TERMINAL if whole else SETTLED),
            "whole": whole,
            "dry_run": dry_run,
            "limit": batch,
        }
        while True:
            row = await self._gateway.call("ticketflow_prune", args)
            yield Pruned(row["tickets"], row["checkpoints"], row["events"], row["kept"], row["busy"])
            if row["next"] is None:
                return
            args["after"] = row["next"]

    async def prune_next(self, before: datetime, batch: int) -> tuple[Pruned, bool]:
        """Remove the checkpoints of the next tickets that ended before that time, from where the last process that did
        so stopped; and whether there is more to do. One process at a time; to others it seems that there is nothing.
        """
        args = {"before": before.isoformat(), "statuses": sorted(SETTLED), "limit": batch}
        row = await self._gateway.call("ticketflow_prune_next", args)
        return Pruned(row["tickets"], row["checkpoints"], 0, row["kept"], row["busy"]), row["more"]
