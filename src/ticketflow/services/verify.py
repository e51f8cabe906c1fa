"""Verify: the consistency audit over every ticket there is."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from ticketflow.db.reads import Reads
from ticketflow.domain.audit import violations
from ticketflow.domain.audit_rules import Rule, Violation

PAGE = 200


@dataclass(frozen=True, slots=True)
class Verdict:
    tickets: int
    events: int
    violations: tuple[Violation, ...]


async def verify(reads: Reads) -> Verdict:
    """Check all tickets, a page at a time. Raises ``StoreUnavailable``."""
    found: list[Violation] = []
    tickets = events = 0
    after: UUID | None = None
    while page := await reads.audit(after, PAGE):
        for record in page:
            tickets += 1
            events += len(record["events"])
            found += violations(record)
        after = UUID(page[-1]["ticket"]["id"])
    found += [Violation(ticket_id, Rule.STRAY, f"in {table}") for table, ticket_id in await reads.strays()]
    return Verdict(tickets, events, tuple(found))
