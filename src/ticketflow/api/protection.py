"""Headers that tell browsers what not to do with an answer."""

from __future__ import annotations

from collections.abc import Iterable

Header = tuple[bytes, bytes]

DOCS_PATH = "/docs"

_ALWAYS: tuple[Header, ...] = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"x-frame-options", b"DENY"),
)
_NOTHING = b"default-src 'none'; frame-ancestors 'none'"
_SWAGGER_UI = (
    b"default-src 'none'; frame-ancestors 'none'; connect-src 'self'; "
    b"script-src 'unsafe-inline' https://cdn.jsdelivr.net; style-src 'unsafe-inline' https://cdn.jsdelivr.net; "
    b"img-src data: https://fastapi.tiangolo.com"
)
"""The page of the documentation is a script from a CDN with a few lines that start it."""


def protective(path: str, given: Iterable[Header]) -> list[Header]:
    """What to add to the headers of an answer. It may be cached only where its route said so."""
    headers = [*_ALWAYS, (b"content-security-policy", _SWAGGER_UI if path == DOCS_PATH else _NOTHING)]
    if not any(name.lower() == b"cache-control" for name, _ in given):
        headers.append((b"cache-control", b"no-store"))
    return headers
