"""Ticketflow's own tokens: issued by `ticketflow token`, signed with its secret, revocable."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import jwt

from ticketflow.access.claims import Claims, subject, verified
from ticketflow.access.revocations import Revocations
from ticketflow.db.tokens import IssuedToken
from ticketflow.domain.errors import Unauthenticated
from ticketflow.domain.roles import Principal, Role, Scope

ISSUER = AUDIENCE = "ticketflow"
_ALGORITHM = "HS256"


def issue(
    secret: bytes, role: Role, subject_: str, scopes: Collection[Scope], valid_for: timedelta, issued_by: str
) -> tuple[str, IssuedToken]:
    """A new token, and what is to be recorded of it before it is handed out."""
    issued_at = datetime.now(UTC).replace(microsecond=0)
    scope = " ".join(sorted(scopes))
    record = IssuedToken(uuid4(), subject_, role, scope, issued_at, issued_at + valid_for, issued_by)
    claims = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": record.subject,
        "role": record.role,
        "scope": record.scope,
        "jti": str(record.id),
        "iat": record.issued_at,
        "exp": record.expires_at,
    }
    return jwt.encode(claims, secret, algorithm=_ALGORITHM), record


class OwnTokens:
    """Verifies them."""

    def __init__(self, secret: bytes, revocations: Revocations) -> None:
        self._secret = secret
        self._revocations = revocations

    async def principal(self, token: str) -> Principal:
        """Whose token it is. Raises ``Unauthenticated``, or ``StoreUnavailable`` while nobody knows what is revoked."""
        claims = verified(token, self._secret, algorithm=_ALGORITHM, issuer=ISSUER, audience=AUDIENCE)
        token_id = _token_id(claims)
        found = Principal(subject(claims["sub"]), _role(claims), _scopes(claims), str(token_id))
        if await self._revocations.revoked(token_id):
            raise Unauthenticated("revoked")
        return found


def _token_id(claims: Claims) -> UUID:
    try:
        return UUID(claims["jti"])
    except (KeyError, ValueError):
        raise Unauthenticated("token_id") from None


def _role(claims: Claims) -> Role:
    try:
        return Role(claims["role"])
    except (KeyError, ValueError):
        raise Unauthenticated("role") from None


def _scopes(claims: Claims) -> frozenset[Scope]:
    try:
        return frozenset(Scope(name) for name in claims["scope"].split())
    except (KeyError, ValueError, AttributeError):
        raise Unauthenticated("scope") from None
