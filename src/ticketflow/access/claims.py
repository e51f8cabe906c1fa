"""What a JSON Web Token says, once its signature and its standard claims were checked (RFC 7519, RFC 8725)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jwt
import orjson
from jwt.exceptions import InvalidSubjectError
from jwt.utils import base64url_decode

from ticketflow.access.subjects import is_subject
from ticketflow.domain.errors import Unauthenticated

MAX_TOKEN_BYTES = 8192
LEEWAY_SECONDS = 10
"""How far the clocks of issuer and server may be apart."""

_REQUIRED = ["iss", "aud", "sub", "exp"]
_UNREADABLE = (jwt.PyJWTError, ValueError, TypeError, OverflowError)
_REASONS: tuple[tuple[type[Exception], str], ...] = (
    (jwt.ExpiredSignatureError, "expired"),
    (jwt.ImmatureSignatureError, "not_yet_valid"),
    (jwt.InvalidAudienceError, "audience"),
    (jwt.InvalidIssuerError, "issuer"),
    (jwt.InvalidAlgorithmError, "algorithm"),
    (jwt.InvalidSignatureError, "signature"),
    (jwt.MissingRequiredClaimError, "claim_missing"),
    (InvalidSubjectError, "subject"),
)

Claims = Mapping[str, Any]


def unverified_issuer(token: str) -> str:
    """Who the token says has issued it: good for choosing who checks it, and for nothing else."""
    if len(token) > MAX_TOKEN_BYTES:
        raise Unauthenticated("too_large")
    try:
        _, payload, _ = token.split(".")
        claims = orjson.loads(base64url_decode(payload))
    except (ValueError, UnicodeError):
        raise Unauthenticated("malformed") from None
    issuer = claims.get("iss") if isinstance(claims, dict) else None
    if not isinstance(issuer, str):
        raise Unauthenticated("issuer")
    return issuer


def unverified_header(token: str) -> Claims:
    """Algorithm and key id as the token has them: good for choosing among the keys that its verifier allows."""
    try:
        return jwt.get_unverified_header(token)
    except _UNREADABLE:
        raise Unauthenticated("malformed") from None


def verified(token: str, key: jwt.PyJWK | bytes, *, algorithm: str, issuer: str, audience: str) -> Claims:
    """The claims of a token that this key signed with this algorithm, for this audience, and that is valid now.

    Raises ``Unauthenticated`` with the reason for any other.
    """
    try:
        return jwt.decode(
            token,
            key,
            algorithms=[algorithm],
            issuer=issuer,
            audience=audience,
            leeway=LEEWAY_SECONDS,
            options={"require": _REQUIRED},
        )
    except _UNREADABLE as error:
        reason = next((reason for kind, reason in _REASONS if isinstance(error, kind)), "malformed")
        raise Unauthenticated(reason) from None


def subject(text: object) -> str:
    """The same text. Raises ``Unauthenticated`` when nobody may be called so."""
    if not is_subject(text):
        raise Unauthenticated("subject")
    return str(text)
