"""Deterministic ticket ids, so that the same request asked twice names the same ticket."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from json import JSONEncoder
from uuid import UUID, uuid5

NAMESPACE = UUID("6f1f6c0e-5d0b-5c55-9d3a-0f6b7a5f9b0e")
"""Ticketflow's own UUIDv5 name space; changing it would turn every repeated request into a new ticket."""

DEDUPE_WINDOW = timedelta(hours=24)


# Made once: json.dumps makes a new one each time that it is asked for anything but its defaults.
_COMPACT = JSONEncoder(ensure_ascii=True, separators=(",", ":"))
_CANONICAL = JSONEncoder(ensure_ascii=True, separators=(",", ":"), sort_keys=True)


def joined(parts: Sequence[str]) -> str:
    """Join so that no two different sequences give the same text: ("ab", "c") is not ("a", "bc")."""
    return _COMPACT.encode(list(parts))


@dataclass(frozen=True, slots=True)
class Identity:
    """A ticket's id, and the key under which identical texts count as one within the dedupe window."""

    ticket_id: UUID
    window_key: UUID | None


def identify(
    customer_id: str,
    subject: str,
    body: str,
    idempotency_key: str | None,
    now: datetime,
    window: timedelta = DEDUPE_WINDOW,
) -> Identity:
    """The id of the ticket that this request means.

    With an idempotency key the id follows from key and customer, for ever. Without one it follows from customer,
    subject, body and the current window; the store then also compares ``window_key`` so that two posts on either side
    of a window's edge are still one ticket.
    """
    if idempotency_key is not None:
        return Identity(uuid5(NAMESPACE, joined(["key", customer_id, idempotency_key])), None)
    content = joined(["content", customer_id, subject, body])
    bucket = int(now.timestamp() // window.total_seconds())
    return Identity(uuid5(NAMESPACE, f"{content}@{bucket}"), uuid5(NAMESPACE, content))


def fingerprint(fields: dict[str, object]) -> str:
    """SHA-256 over the canonical JSON of everything the caller sent, to tell a repeat from a reused key."""
    return hashlib.sha256(_CANONICAL.encode(fields).encode()).hexdigest()
