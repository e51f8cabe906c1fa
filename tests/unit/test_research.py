"""Research: what it hands over to the steps that write and judge."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from ticketflow.workflow.state import RunContext, State
from ticketflow.workflow.steps.research import research


class Search:
    passages = 0

    async def search(self, query: str, limit: int = 5, passages: int = 3) -> list[Any]:
        self.passages = passages
        return []


class History:
    async def history(self, customer_id: str, except_ticket: Any, limit: int = 5) -> list[Any]:
        return []


async def test_research_hands_over_enough_of_each_article() -> None:
    search = Search()
    ticket = SimpleNamespace(subject="Locked out", body="Help", customer_id="cus_1", id="1")
    context = SimpleNamespace(tools=SimpleNamespace(search=search, history=History()), ticket=ticket)
    await research(cast(State, {"extract": {"product": None, "issue_type": None}}), cast(RunContext, context))
    assert search.passages >= 5, "some sample articles have five sections, and each may be the one that is asked for"
