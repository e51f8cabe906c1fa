"""A Supabase project's keys, and whom a request acts as.

Imitated: Supabase's guide "Understanding API keys" (https://supabase.com/docs/guides/api/api-keys): legacy keys are
JWTs of the project's secret, new ones (``sb_publishable_``, ``sb_secret_``) are opaque; the gateway wants one of them
in ``apikey`` (header or URL parameter), and lets an opaque one pass in ``Authorization`` only where it equals
``apikey``; a secret key in a browser gets 401. Who signed in sends the user's JWT in ``Authorization``.

PostgREST's reference, "Authentication": HS256, 30 seconds of clock skew, signatures cached, claims checked each time,
``role`` says who to be; PGRST301 for a token that cannot be verified, PGRST303 for claims that do not hold. Not
imitated: asymmetric signing keys, ``aud``.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import jwt

from tests.support.postgrest.errors import Refused, gateway_refused, invalid_token

ANONYMOUS = "anon"
_SKEW_SECONDS = 30
_TEN_YEARS = 315_360_000
_SIGNATURE_ONLY: Any = {f"verify_{claim}": False for claim in ("exp", "nbf", "iat", "aud", "iss", "sub", "jti")}
_NO_KEY = ("No API key found in request", "No `apikey` request header or url param was found.")
_UNKNOWN_KEY = ("Invalid API key", "Double check your Supabase `anon` or `service_role` API key.")
_IN_BROWSER = (
    "Forbidden use of secret API key in browser",
    "Secret API keys can only be used in a protected environment and should be deleted immediately if leaked.",
)


@dataclass(frozen=True, slots=True)
class Caller:
    role: str
    claims: Mapping[str, Any]


class Keys:
    """The keys of one project. ``revoke`` and ``restore`` may be called from any thread."""

    def __init__(self) -> None:
        self.jwt_secret = secrets.token_urlsafe(32)
        self.ref = "".join(secrets.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(20))
        now = int(time.time())
        issued = {"iss": "supabase", "ref": self.ref, "iat": now, "exp": now + _TEN_YEARS}
        self.anon_key = self.token({**issued, "role": "anon"})
        self.service_key = self.token({**issued, "role": "service_role"})
        self.publishable_key = f"sb_publishable_{secrets.token_urlsafe(16)}_{secrets.token_hex(4)}"
        self.secret_key = f"sb_secret_{secrets.token_urlsafe(16)}_{secrets.token_hex(4)}"
        self._verified = lru_cache(maxsize=1000)(self._verify)
        self.restore()

    def restore(self) -> None:
        """All keys hold again."""
        self._roles = {
            self.anon_key: "anon",
            self.publishable_key: "anon",
            self.service_key: "service_role",
            self.secret_key: "service_role",
        }

    def revoke(self, key: str) -> None:
        """From now on the gateway does not know it."""
        self._roles.pop(key, None)

    def token(self, claims: Mapping[str, Any], secret: str | None = None) -> str:
        """A JWT, signed with the project's secret unless another is given."""
        return jwt.encode(dict(claims), secret or self.jwt_secret, "HS256")

    def caller(self, apikey: str | None, authorization: str | None, user_agent: str) -> Caller:
        """Whom a request acts as. Raises ``Refused``."""
        if not apikey:
            raise gateway_refused(401, *_NO_KEY)
        role = self._roles.get(apikey)
        if role is None:
            raise gateway_refused(401, *_UNKNOWN_KEY)
        if apikey.startswith("sb_secret_") and user_agent.startswith("Mozilla/"):
            raise gateway_refused(401, *_IN_BROWSER)
        opaque = apikey.startswith("sb_")
        if authorization is None:
            return Caller(role, {"role": role}) if opaque else self._bearer(apikey)
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer":
            return Caller(ANONYMOUS, {"role": ANONYMOUS})
        if opaque and token == apikey:
            return Caller(role, {"role": role})
        return self._bearer(token.strip())

    def _bearer(self, token: str) -> Caller:
        verified = self._verified(token)
        if isinstance(verified, Refused):
            raise Refused(verified.reply)
        now = time.time()
        for claim, too_early, message in (
            ("exp", False, "JWT expired"),
            ("nbf", True, "JWT not yet valid"),
            ("iat", True, "JWT issued at future"),
        ):
            moment = verified.get(claim)
            if moment is None:
                continue
            if not isinstance(moment, int | float):
                raise invalid_token("PGRST303", f"The JWT '{claim}' claim must be a number")
            if (moment > now + _SKEW_SECONDS) if too_early else (moment < now - _SKEW_SECONDS):
                raise invalid_token("PGRST303", message)
        role = str(verified.get("role", ANONYMOUS))
        return Caller(role, {**verified, "role": role})

    def _verify(self, token: str) -> dict[str, Any] | Refused:
        """The claims as they were signed, held or not."""
        if not token:
            return invalid_token("PGRST301", "Empty JWT is sent in Authorization header")
        if (parts := token.count(".") + 1) != 3:
            return invalid_token("PGRST301", f"Expected 3 parts in JWT; got {parts}")
        try:
            claims: dict[str, Any] = jwt.decode(token, self.jwt_secret, ["HS256"], options=_SIGNATURE_ONLY)
        except jwt.InvalidAlgorithmError:
            return invalid_token("PGRST301", "Wrong or unsupported encoding algorithm")
        except jwt.InvalidTokenError:
            details = "None of the keys was able to decode the JWT"
            return invalid_token("PGRST301", "No suitable key or wrong key type", details)
        return claims
