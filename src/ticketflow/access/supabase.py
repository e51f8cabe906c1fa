"""Tokens of a Supabase project's users."""

from __future__ import annotations

import jwt

from ticketflow.access.claims import Claims, subject, unverified_header, verified
from ticketflow.access.key_set import KeySet
from ticketflow.domain.errors import Unauthenticated
from ticketflow.domain.roles import Principal, Role

_AUDIENCE = "authenticated"
_SHARED_KEY_ALGORITHM = "HS256"


def issuer(supabase_url: str) -> str:
    return f"{supabase_url.rstrip('/')}/auth/v1"


def public_keys(supabase_url: str) -> KeySet:
    return KeySet(f"{issuer(supabase_url)}/.well-known/jwks.json")


class SupabaseTokens:
    """Verifies them, by the project's public keys, and by its legacy shared secret where one is configured."""

    def __init__(self, issuer: str, keys: KeySet, secret: bytes | None) -> None:
        self._issuer = issuer
        self._keys = keys
        self._secret = secret

    async def principal(self, token: str) -> Principal:
        """Whose token it is. Raises ``Unauthenticated``, or ``KeysUnavailable`` while the keys cannot be had."""
        header = unverified_header(token)
        if header.get("alg") == _SHARED_KEY_ALGORITHM and self._secret is not None:
            return _principal(self._claims(token, self._secret, _SHARED_KEY_ALGORITHM))
        # The secret is never tried with another algorithm, nor a public key with this one: each has its own.
        if header.get("alg") not in ("RS256", "ES256", "EdDSA"):
            raise Unauthenticated("algorithm")
        key_id = header.get("kid")
        key = await self._keys.key(key_id) if isinstance(key_id, str) else None
        if key is None:
            raise Unauthenticated("key_unknown")
        return _principal(self._claims(token, key, key.algorithm_name))

    def _claims(self, token: str, key: jwt.PyJWK | bytes, algorithm: str) -> Claims:
        return verified(token, key, algorithm=algorithm, issuer=self._issuer, audience=_AUDIENCE)


def _principal(claims: Claims) -> Principal:
    """Role and customer come from ``app_metadata``, which only the project's administrators write. ``user_metadata`` is
    the user's own to change, and the ``role`` claim is a role of the database."""
    metadata = claims.get("app_metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    named = metadata.get("role")
    role = Role(named) if named in list(Role) else Role.CUSTOMER
    customer_id = metadata.get("customer_id")
    if role is Role.CUSTOMER and isinstance(customer_id, str) and customer_id:
        return Principal(subject(customer_id), role)
    return Principal(subject(claims["sub"]), role)
