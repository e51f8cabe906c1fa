"""The list of revoked tokens, where the database takes longer for it than a caller waits."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import cast
from uuid import UUID

import pytest

from tests.support.pipeline import reached
from ticketflow.access import revocations
from ticketflow.access.revocations import Revocations
from ticketflow.db.tokens import Tokens
from ticketflow.domain.errors import StoreUnavailable

REVOKED, GOOD = UUID(int=1), UUID(int=2)


class Slow:
    """Answers when it is told to, and counts the questions."""

    def __init__(self) -> None:
        self.asked = 0
        self.answer = asyncio.Event()

    async def revoked(self, after: datetime) -> frozenset[UUID]:
        self.asked += 1
        await self.answer.wait()
        return frozenset({REVOKED})


async def test_an_answer_that_comes_too_late_for_one_caller_serves_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(revocations, "_PATIENCE_SECONDS", 0.01)
    slow = Slow()
    listed = Revocations(cast(Tokens, slow))
    for _ in range(3):
        with pytest.raises(StoreUnavailable, match="is not known"):
            await listed.revoked(GOOD)
    assert slow.asked == 1
    slow.answer.set()
    await reached(lambda: listed._as_of is not None)
    assert (await listed.revoked(REVOKED), await listed.revoked(GOOD)) == (True, False)
