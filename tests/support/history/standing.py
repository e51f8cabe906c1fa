"""Where a ticket stands among people, as it should: who may move it where, who has it afterwards, and what was said."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ticketflow.domain.roles import PIPELINE
from ticketflow.domain.tickets import Disposition

OURS = ("agent", "supervisor", "admin")
THEIRS = ("customer", "admin")
WAYS: Mapping[str, tuple[str, str, tuple[str, ...]]] = {
    "assign": ("new", "assigned", OURS),
    "start_work": ("assigned", "in_progress", OURS),
    "escalate": ("in_progress", "escalated", OURS),
    "request_info": ("in_progress", "pending_customer", OURS),
    "customer_reply": ("pending_customer", "in_progress", THEIRS),
    "resolve": ("in_progress", "resolved", OURS),
    "resolve_escalated": ("escalated", "resolved", ("supervisor", "admin")),
    "close": ("resolved", "closed", OURS),
    "reopen": ("closed", "new", THEIRS),
}
"""By transition: where from, where to, and who may."""


@dataclass(kw_only=True)
class Standing:
    """What changes the standing says by how many events it did."""

    place: str = "new"
    assignee: str | None = None
    said: list[tuple[str, str]] = field(default_factory=list)
    """Kind and author of each message."""
    keys: dict[tuple[str, str], tuple[str, str]] = field(default_factory=dict)
    """By author and idempotency key: kind and text of the message that was kept."""

    @property
    def with_pipeline(self) -> bool:
        return self.place in ("in_progress", "pending_customer") and self.assignee == PIPELINE

    def open_to(self, role: str) -> list[str]:
        """The transitions that somebody in this role can fire now."""
        return [move for move, (from_, _, roles) in WAYS.items() if from_ == self.place and role in roles]

    def move(self, move: str, subject: str, assignee: str | None = None) -> None:
        from_, self.place, _ = WAYS[move]
        assert from_ != self.place
        if move == "assign":
            self.assignee = assignee or subject
        elif move in ("start_work", "resolve_escalated"):
            self.assignee = subject
        elif move in ("escalate", "reopen"):
            self.assignee = None
        elif move in ("request_info", "resolve") and self.assignee == PIPELINE:
            self.assignee = subject

    def hear(self, kind: str, author: str) -> None:
        self.said.append((kind, author))

    def take_up(self) -> int:
        """The pipeline makes a new ticket its own."""
        if self.place != "new":
            return 0
        self.place, self.assignee = "in_progress", PIPELINE
        return 2

    def take_on(self, subject: str) -> int:
        """A person of ours has answered the customer."""
        if self.with_pipeline or (self.place, self.assignee) == ("escalated", None):
            self.assignee = subject
        elif self.place == "new":
            self.place, self.assignee = "in_progress", subject
            return 2
        elif (self.place, self.assignee) == ("assigned", subject):
            self.place = "in_progress"
            return 1
        return 0

    def suggest(self) -> int:
        self.hear("suggestion", PIPELINE)
        return 1

    def answer(self, ends: Disposition) -> int:
        """The pipeline says something to the customer, and moves the ticket by it."""
        self.hear("reply", PIPELINE)
        move = {
            Disposition.ANSWERED: "resolve",
            Disposition.ESCALATED: "escalate",
            Disposition.ASKED: "request_info",
        }[ends]
        self.move(move, PIPELINE)
        return 2
