"""What can be wrong with a Supabase project's key, as far as the key itself tells."""

from __future__ import annotations

import re
import time
from contextlib import suppress
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

import jwt

from ticketflow.domain.errors import ConfigurationError

_WHICH = "take the secret key (sb_secret_...), or the legacy service_role key, of the project's API settings"
_KEY = re.compile(r"[A-Za-z0-9_.~+/=-]+")
_HOSTED = re.compile(r"([a-z0-9]{20})\.supabase\.(?:co|in|red)")


def check_key(url: str, key: str) -> None:
    """Raises ``ConfigurationError`` in one line for a key that cannot be this project's service key; the line holds
    nothing of the key."""
    if _KEY.fullmatch(key) is None or "..." in key:
        raise ConfigurationError(f"SUPABASE_KEY has characters that no key has: {_WHICH}")
    if key.startswith("sb_publishable_"):
        raise ConfigurationError(f"SUPABASE_KEY is the publishable key, which everybody may know: {_WHICH}")
    claims = _claims(key)
    role = claims.get("role", "service_role")
    if role in ("anon", "authenticated"):
        raise ConfigurationError(f"SUPABASE_KEY is a key of the role {role}, which may do nothing here: {_WHICH}")
    host = urlsplit(url).hostname or ""
    hosted, reference = _HOSTED.fullmatch(host), claims.get("ref")
    if hosted and isinstance(reference, str) and reference != hosted[1]:
        raise ConfigurationError(f"SUPABASE_KEY belongs to another project than SUPABASE_URL ({host})")
    expires = claims.get("exp")
    if isinstance(expires, int | float) and expires < time.time():
        raise ConfigurationError(f"SUPABASE_KEY has expired: {_WHICH}")


def in_clear_text(url: str) -> bool:
    """Whether the key and everything else would pass through a network unencrypted."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    with suppress(ValueError):
        return parts.scheme == "http" and not ip_address(host).is_loopback
    return parts.scheme == "http" and host != "localhost"


def _claims(key: str) -> dict[str, Any]:
    """What a legacy key says of itself, true or not; keys of the newer kind say nothing."""
    try:
        claims: dict[str, Any] = jwt.decode(key, options={"verify_signature": False})
    except jwt.PyJWTError:
        return {}
    return claims
