"""The rules of the consistency audit, and what a violation of one looks like."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Rule(StrEnum):
    """Everything that is checked, in the words of a report."""

    SEQ = "seq has no gaps"
    BEGINNING = "a trail begins with created"
    CREATED_ONCE = "a ticket is created once"
    VERSION = "version is the last seq"
    FOLD = "row = fold of events"
    MOVE = "a status follows from the one before"
    TIMER_FIRES_ONCE = "a timer fires once"
    ATTEMPTS = "attempts count one by one"
    STEP_ONCE = "a committed step is not run again"
    STEP_IN_WORK = "a step completes while the ticket is in work"
    ONE_RESULT = "at most one final result"
    END = "nothing happens after the end"
    CHECKPOINT = "what was done has its checkpoint"
    CHECKPOINT_OWNER = "a checkpoint belongs to what was done"
    WAKER = "a waiting ticket has something that wakes it"
    TIMER_OWNER = "a timer belongs to a waiting ticket"
    LEASE = "a ticket in work has a lease"
    LEASE_RETURNED = "a lease is returned"
    DEAD_LETTER = "a failed ticket has one dead letter"
    DEAD_LETTER_OWNER = "a dead letter belongs to a failed ticket"
    LIFECYCLE = "a place follows from the one before"
    FIRED_BY = "whoever moves a ticket may"
    ONE_REPLY = "the pipeline answers a customer once"
    MESSAGE = "a message and its event belong together"
    STRAY = "whatever names a ticket has one"


@dataclass(frozen=True, slots=True)
class Violation:
    ticket_id: str
    rule: Rule
    found: str


Problem = tuple[Rule, str]
