"""Which tokens were taken back: a list in memory that is never older than a few seconds."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import UUID

import structlog

from ticketflow.access.claims import LEEWAY_SECONDS
from ticketflow.db.tokens import Tokens
from ticketflow.domain.errors import StoreUnavailable

log = structlog.get_logger()

FRESH_SECONDS = 2.0
USABLE_SECONDS = 60.0
"""How old a list may become while the database does not answer."""

_PATIENCE_SECONDS = 2.0


class Revocations:
    """The revoked tokens that have not expired, read again when a request finds the list older than two seconds."""

    def __init__(self, tokens: Tokens, clock: Callable[[], float] = time.monotonic) -> None:
        self._tokens = tokens
        self._clock = clock
        self._ids: frozenset[UUID] = frozenset()
        self._as_of: float | None = None
        self._asked_at = float("-inf")
        self._asking: asyncio.Task[None] | None = None

    async def revoked(self, id_: UUID) -> bool:
        """Whether the token is revoked. Raises ``StoreUnavailable`` when no list of the last minute can be had."""
        if self._clock() - self._asked_at >= FRESH_SECONDS or self._asking is not None:
            asking = self._asked()
            # Whoever stops waiting leaves the question on its way: a slow answer is better than none, again and again.
            left = self._asked_at + _PATIENCE_SECONDS - self._clock()
            await asyncio.wait((asking,), timeout=max(left, 0))
        if self._as_of is None or self._clock() - self._as_of > USABLE_SECONDS:
            raise StoreUnavailable("which tokens are revoked is not known")
        return id_ in self._ids

    def _asked(self) -> asyncio.Task[None]:
        """The one question to the database that is under way, for everyone who waits for its answer."""
        if self._asking is None:
            self._asked_at = self._clock()
            self._asking = asyncio.create_task(self._ask(self._asked_at))
        return self._asking

    async def _ask(self, at: float) -> None:
        # A token that has just expired is let through for the leeway, so it must stand on the list for as long.
        expired_after = datetime.now(UTC) - timedelta(seconds=2 * LEEWAY_SECONDS)
        try:
            self._ids = await self._tokens.revoked(expired_after)
            self._as_of = at
        except StoreUnavailable as error:
            # Not again at once: each question takes all the patience that there is.
            self._asked_at = self._clock()
            log.warning("access.revocations_unknown", reason=str(error))
        finally:
            self._asking = None
