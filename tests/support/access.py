"""Tokens of Ticketflow's own, good ones and forged ones, and an API that asks for them."""

from __future__ import annotations

import time
from collections.abc import Collection
from datetime import timedelta
from typing import Any
from uuid import uuid4

import jwt

from tests.support.api import settings_for
from ticketflow.access.own_tokens import issue
from ticketflow.domain.roles import ALL_SCOPES, Role, Scope
from ticketflow.settings import Settings

SECRET = "a secret of the tests, long enough to sign with"
OTHER_SECRET = "another secret of the tests, long enough as well"
SHARED_SECRET = "the shared secret of a Supabase project, of the legacy kind"


def guarded_settings(database_url: str, issuer_url: str | None = None, **given: Any) -> Settings:
    """Settings with authentication: own tokens, and with ``issuer_url`` those of a Supabase project too."""
    project = {"SUPABASE_URL": issuer_url, "SUPABASE_KEY": "k", "SUPABASE_JWT_SECRET": SHARED_SECRET}
    return settings_for(database_url, token_secret=SECRET, **(project if issuer_url else {}), **given)


def own_claims(**given: Any) -> dict[str, Any]:
    """The claims of a good token; None takes one away."""
    now = int(time.time())
    claims = {
        "iss": "ticketflow",
        "aud": "ticketflow",
        "sub": "mia",
        "role": "admin",
        "scope": "intake metrics read write",
        "jti": str(uuid4()),
        "iat": now,
        "exp": now + 3600,
        **given,
    }
    return {name: value for name, value in claims.items() if value is not None}


def signed(claims: dict[str, Any], secret: str = SECRET, algorithm: str = "HS256", **header: Any) -> str:
    return jwt.encode(claims, secret, algorithm, header or None)


def bearer(role: Role, subject: str = "mia", scopes: Collection[Scope] = ALL_SCOPES) -> dict[str, str]:
    """The header of a caller with a good token."""
    token, _ = issue(SECRET.encode(), role, subject, scopes, timedelta(hours=1), "admin:local")
    return {"Authorization": f"Bearer {token}"}
