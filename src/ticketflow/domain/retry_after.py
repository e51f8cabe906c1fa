"""How long an HTTP answer asks its reader to wait."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime


def retry_after(headers: Mapping[str, str], now: datetime) -> timedelta | None:
    """The wait that an answer asks for: ``retry-after-ms``, else ``Retry-After`` (RFC 9110, 10.2.3); None where neither
    can be read."""
    for name, unit in (("retry-after-ms", timedelta(milliseconds=1)), ("retry-after", timedelta(seconds=1))):
        text = headers.get(name, "").strip()
        if not text:
            continue
        try:
            return max(timedelta(0), float(text) * unit)
        except (ValueError, OverflowError):
            pass
        try:
            due = parsedate_to_datetime(text)
        except (ValueError, OverflowError):
            continue
        return max(timedelta(0), (due if due.tzinfo else due.replace(tzinfo=UTC)) - now)
    return None
