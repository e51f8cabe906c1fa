"""From the headers of a request to who is calling."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from ticketflow.access import own_tokens, supabase
from ticketflow.access.acting import narrowed
from ticketflow.access.claims import unverified_issuer
from ticketflow.access.own_tokens import OwnTokens
from ticketflow.access.rates import IntakeLimits
from ticketflow.access.revocations import Revocations
from ticketflow.access.secret import configured_secret
from ticketflow.access.supabase import SupabaseTokens
from ticketflow.db.gateway import Gateway
from ticketflow.db.tokens import Tokens
from ticketflow.domain.errors import Unauthenticated
from ticketflow.domain.roles import LOCAL_ADMIN, Principal
from ticketflow.settings import Settings


class Verifier(Protocol):
    async def principal(self, token: str) -> Principal:
        """Whose token it is. Raises ``Unauthenticated`` for one that is not good, ``Transient`` when nobody can say."""
        ...


@dataclass(frozen=True, slots=True)
class Access:
    """Says who is calling, and holds callers to their rate."""

    local: bool
    """Nothing is configured: whoever calls is the local admin, with or without a token."""
    refuses_tokens: bool
    """Where nothing is configured: not behind a proxy that tells callers apart itself, and hands their tokens on."""
    verifiers: Mapping[str, Verifier]
    """By the issuer whose tokens each checks."""
    limits: IntakeLimits

    async def caller(self, authorization: Sequence[str], act_as: Sequence[str]) -> Principal:
        """Who sent these ``Authorization`` and ``X-Act-As`` headers.

        Raises ``Unauthenticated``; ``Forbidden`` or ``Invalid`` for a role that cannot be taken; ``Transient``.
        """
        if self.local and self.refuses_tokens and any(each.lower().startswith("bearer ") for each in authorization):
            # Its sender believes to be told apart from others, and would be the admin.
            raise Unauthenticated("not_configured")
        principal = LOCAL_ADMIN if self.local else await self._bearer(authorization)
        return narrowed(principal, act_as, local=self.local) if act_as else principal

    async def _bearer(self, authorization: Sequence[str]) -> Principal:
        if len(authorization) > 1:
            # A proxy in front may have looked at the other one.
            raise Unauthenticated("sent_twice")
        scheme, _, token = (authorization[0] if authorization else "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise Unauthenticated("no_token", sent=False)
        verifier = self.verifiers.get(unverified_issuer(token.strip()))
        if verifier is None:
            raise Unauthenticated("issuer")
        return await verifier.principal(token.strip())


@contextlib.asynccontextmanager
async def configured(settings: Settings, gateway: Gateway) -> AsyncIterator[Access]:
    """Access as the settings have it. Raises ``ConfigurationError`` for a secret that cannot be used."""
    verifiers: dict[str, Verifier] = {}
    limits = IntakeLimits(settings.customer_intake_per_minute, settings.staff_intake_per_minute)
    async with contextlib.AsyncExitStack() as stack:
        secret = configured_secret(settings)
        if secret is not None:
            verifiers[own_tokens.ISSUER] = OwnTokens(secret, Revocations(Tokens(gateway)))
        if settings.supabase_url is not None:
            issuer = supabase.issuer(settings.supabase_url)
            keys = supabase.public_keys(settings.supabase_url)
            stack.push_async_callback(keys.aclose)
            shared = settings.supabase_jwt_secret
            verifiers[issuer] = SupabaseTokens(issuer, keys, shared.get_secret_value().encode() if shared else None)
        yield Access(not settings.authenticates, not settings.allow_anonymous, verifiers, limits)
