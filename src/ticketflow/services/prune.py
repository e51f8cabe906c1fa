"""Prune: closed tickets of long ago give up their checkpoints, or go altogether."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from datetime import UTC, datetime, timedelta

from ticketflow.db.retention import Pruned, Retention
from ticketflow.domain.errors import Invalid
from ticketflow.domain.ids import DEDUPE_WINDOW


async def prune(
    retention: Retention, older_than: timedelta, *, whole: bool, batch: int, dry_run: bool
) -> AsyncGenerator[Pruned, None]:
    """Prune tickets that ended longer ago than that, and say after each batch what it removed.

    Raises ``Invalid`` for a time that cannot be meant: none at all, one before all time, or with ``whole`` one within
    which a request that is repeated must still find its ticket.
    """
    if older_than <= timedelta():
        raise Invalid("tickets are pruned some time after their end: more than no time at all")
    if whole and older_than < DEDUPE_WINDOW:
        hours = DEDUPE_WINDOW // timedelta(hours=1)
        raise Invalid(f"tickets stay for at least {hours}h, so that a request that is repeated finds its ticket")
    try:
        before = datetime.now(UTC) - older_than
    except OverflowError:
        raise Invalid("that is longer ago than there is time") from None
    async for pruned in retention.prune(before, whole=whole, batch=batch, dry_run=dry_run):
        yield pruned
