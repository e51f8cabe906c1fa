"""What the model may have been asked: what the trail says was done, and once more for each interruption."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Sequence

from tests.support.deployment import ASKED, Deployment, Posted
from tests.support.model import Model

Entry = tuple[str, str | None, str | None]
"""An event's type, step and reason."""

MAY_ASK = (*ASKED, "extract")

LOST = ("takeover", "handover")
"""Why a ticket is tried again whose worker was in the middle of something."""


def assert_explained(deployment: Deployment, model: Model, tickets: Collection[Posted], tries: int = 1) -> None:
    """No ticket's model calls are more than its trail explains: ``tries`` for each step that was committed, and again
    for the one that was under way each time that a worker was lost, handed the ticket over or failed."""
    asked = model.stats()["markers"]
    trails: defaultdict[str, list[Entry]] = defaultdict(list)
    query = """
        select ticket_id::text, event_type, step_name, payload->>'reason' from events
        where ticket_id = any(%s::uuid[]) order by ticket_id, seq
    """
    for ticket_id, *entry in deployment.sql(query, [ticket.id for ticket in tickets]):
        trails[ticket_id].append((entry[0], entry[1], entry[2]))
    unexplained = [
        (ticket, asked[ticket.marker], trails[ticket.id])
        for ticket in tickets
        if any(
            asked.get(ticket.marker, {}).get(task, 0) > tries * most
            for task, most in explained(trails[ticket.id]).items()
        )
    ]
    assert unexplained == []


def explained(trail: Sequence[Entry]) -> Counter[str]:
    """How often each step that asks the model was begun at most."""
    begun = Counter(dict.fromkeys(MAY_ASK, 0))
    interruptions, anywhere = 0, 0
    for kind, step, reason in trail:
        if kind in ("error", "cancelled") or (kind == "retry" and reason in LOST):
            interruptions += 1
        if kind == "replayed" and reason == "customer_reply":
            # Begun again from the first step, whichever it was that was under way.
            anywhere, interruptions = anywhere + interruptions + 1, 0
        if kind == "step_complete":
            begun[str(step)] += 1 + interruptions
            interruptions = 0
    for step in MAY_ASK:
        # The step that was never committed: whichever it was.
        begun[step] += interruptions + anywhere
    return begun
