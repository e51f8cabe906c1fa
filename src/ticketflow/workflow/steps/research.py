"""Research: which articles may answer this, and what has this customer asked before?"""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Any

from ticketflow.workflow.conversation import customer_texts
from ticketflow.workflow.state import RunContext, State
from ticketflow.workflow.steps.frame import Outcome

PASSAGES = 5
"""Of each article: most are no longer, and a shorter choice left out the very section that a ticket asked for."""


async def research(state: State, context: RunContext) -> Outcome:
    """The best articles with their best passages, and the customer's latest other tickets."""
    ticket, facts = context.ticket, state["extract"]
    known = [value for value in (facts.get("product"), facts.get("issue_type")) if isinstance(value, str)]
    query = "\n".join([*customer_texts(context.conversation), ticket.subject, *known, ticket.body])
    hits, past = await asyncio.gather(
        context.tools.search.search(query, passages=PASSAGES),
        context.tools.history.history(ticket.customer_id, ticket.id),
    )
    output: dict[str, Any] = {
        "articles": [{"id": hit.id, "title": hit.title, "score": hit.score, "snippet": hit.snippet} for hit in hits],
        "history": [asdict(earlier) for earlier in past],
    }
    passages = {
        hit.id: [{"heading": passage.heading, "text": passage.body} for passage in hit.passages] for hit in hits
    }
    return Outcome(output=output, update={"passages": passages})
