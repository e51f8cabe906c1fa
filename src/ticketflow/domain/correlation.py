"""What ties together everything that one request led to: its id, and the W3C trace context it came with.

Both come from outside, so both count only in their agreed form.
"""

from __future__ import annotations

import re

_REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


def request_id(text: str | None) -> str | None:
    """The text when it can serve as a request id, else None."""
    return text if text and _REQUEST_ID.fullmatch(text) else None


def traceparent(text: str | None) -> str | None:
    """The text when it is a ``traceparent`` header of W3C Trace Context, else None."""
    return text if text and _TRACEPARENT.fullmatch(text) else None
