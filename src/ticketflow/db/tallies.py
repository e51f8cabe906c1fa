"""Tallies: what ended long enough ago is summed up once, so that statistics need not go through it."""

from __future__ import annotations

from datetime import timedelta

from ticketflow.db.gateway import Gateway

SETTLE = timedelta(minutes=1)
"""How long ago a ticket must have ended: by so much may the database's clock be set back without one being missed."""


class Tallies:
    def __init__(self, gateway: Gateway, settle: timedelta = SETTLE) -> None:
        self._gateway = gateway
        self._settle = settle

    async def take_next(self, batch: int) -> tuple[int, bool]:
        """Take the next tickets that have ended into the tallies, about ``batch`` of them; how many, and whether there
        is more to do. Each run sees to what had ended by the one before, once nothing that ran then runs any more. One
        process at a time; to others it seems that there is nothing. Raises ``StoreUnavailable``."""
        args = {"limit": batch, "settle_ms": self._settle / timedelta(milliseconds=1)}
        row = await self._gateway.call("ticketflow_tally_next", args)
        return row["tickets"], row["more"]
