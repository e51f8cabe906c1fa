"""Logs: one JSON object a line on stderr, or readable lines on a terminal. Secrets are struck out on the way."""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Callable, MutableMapping
from typing import Any

import structlog

_URL_PASSWORD = re.compile(r"(\b[a-z][a-z0-9+.-]*://[^\s:/@]*):[^\s/]+@", re.IGNORECASE)
_PASSWORD = re.compile(r"(\bpassword=)[^\s&]+", re.IGNORECASE)
_KEYS = re.compile(r"\b(sk-|sb_secret_)[A-Za-z0-9_-]{8,}|\bBearer\s+[A-Za-z0-9._~+/=-]{8,}", re.IGNORECASE)
# A JSON Web Token: both of its first parts begin with {" in base64.
_TOKEN = re.compile(r"\beyJ[A-Za-z0-9_-]+\.eyJ[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]*)?")
# What each of them needs: nearly every text in a log has none of it, and there are several in every line.
_SUSPECT = re.compile(r"://|password=|sk-|sb_secret_|bearer|eyj", re.IGNORECASE)


def redacted(text: str) -> str:
    """The text without passwords in URLs and connection strings, API keys and tokens."""
    if _SUSPECT.search(text) is None:
        return text
    without_passwords = _PASSWORD.sub(r"\1[redacted]", _URL_PASSWORD.sub(r"\1:[redacted]@", text))
    return _TOKEN.sub("[redacted]", _KEYS.sub("[redacted]", without_passwords))


def _redact(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for key, value in event.items():
        event[key] = _redacted(value)
    return event


def _redacted(value: Any) -> Any:
    match value:
        case str():
            return redacted(value)
        case dict():
            return {key: _redacted(item) for key, item in value.items()}
        case list() | tuple():
            return [_redacted(item) for item in value]
    return value


def configure(level: str = "INFO", json_lines: bool | None = None) -> None:
    """Set up logging for the process. ``json_lines`` None means JSON unless stderr is a terminal."""
    as_json = not sys.stderr.isatty() if json_lines is None else json_lines
    shared: list[Callable[..., Any]] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        _redact,
    ]
    # A plain traceback: a pretty one would print local variables, and customers' text and passwords with them.
    plain = structlog.dev.plain_traceback
    # no-color.org: any value but an empty one. It belongs to the terminal, not to the settings.
    colors = sys.stderr.isatty() and not os.environ.get("NO_COLOR")
    renderer: Any = (
        structlog.processors.JSONRenderer()
        if as_json
        else structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=plain)
    )
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    # Libraries that log or warn for themselves come through the same door.
    logging.captureWarnings(True)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(logging.WARNING, logging.getLevelNamesMapping()[level.upper()]))
    # They report connection losses as errors with tracebacks; the adapters say the same in one line.
    for noisy in ("aio_pika", "aiormq", "aiormq.connection", "psycopg", "httpx", "openai"):
        logging.getLogger(noisy).setLevel(logging.CRITICAL)
