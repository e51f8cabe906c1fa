"""How callers may be called."""

from __future__ import annotations

from ticketflow.domain.roles import RESERVED_SUBJECTS


def is_subject(text: object) -> bool:
    """Whether a person or a customer may be called so: 1 to 100 printable characters that arrived whole, and no
    name of Ticketflow's."""
    return (
        isinstance(text, str)
        and 1 <= len(text) <= 100
        and text.isprintable()
        and "\ufffd" not in text
        and text == text.strip()
        and text.casefold() not in RESERVED_SUBJECTS
    )
