"""Research: what it hands over to the steps that write and judge."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from tests.support.conversation import talk
from ticketflow.domain.conversation import Message
from ticketflow.workflow.state import RunContext, State
from ticketflow.workflow.steps.research import research


class Search:
    passages = 0
    query = ""

    async def search(self, query: str, limit: int = 5, passages: int = 3) -> list[Any]:
        self.passages, self.query = passages, query
        return []


class History:
    async def history(self, customer_id: str, except_ticket: Any, limit: int = 5) -> list[Any]:
        return []


def looking_for(search: Search, *conversation: Message) -> RunContext:
    ticket = SimpleNamespace(subject="Locked out", body="Help", customer_id="cus_1", id="1")
    tools = SimpleNamespace(search=search, history=History())
    return cast(RunContext, SimpleNamespace(tools=tools, ticket=ticket, conversation=conversation))


async def test_research_looks_first_for_what_the_customer_said_last() -> None:
    search = Search()
    said = talk(("customer", "The keypad is dark"), ("support", "Which lock is it?"), ("customer", "The Badger"))
    await research(cast(State, {"extract": {"product": "Badger", "issue_type": None}}), looking_for(search, *said))
    assert search.query.splitlines() == ["The Badger", "The keypad is dark", "Locked out", "Badger", "Help"]


async def test_research_hands_over_enough_of_each_article() -> None:
    search = Search()
    await research(cast(State, {"extract": {"product": None, "issue_type": None}}), looking_for(search))
    assert search.passages >= 5, "some sample articles have five sections, and each may be the one that is asked for"
