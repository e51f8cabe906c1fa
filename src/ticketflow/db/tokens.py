"""Tokens as rows: what was issued, and what was taken back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from ticketflow.db.gateway import Gateway


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """What is known of a token, which is all but the token itself. ``scope`` is as in its claim, space separated."""

    id: UUID
    subject: str
    role: str
    scope: str
    issued_at: datetime
    expires_at: datetime
    issued_by: str
    revoked_at: datetime | None = None
    revoked_by: str | None = None


class Tokens:
    """Every method raises ``StoreUnavailable`` when the database does not answer."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def record(self, token: IssuedToken) -> None:
        """Remember a token before it is handed out."""
        fields = asdict(token)
        del fields["revoked_at"], fields["revoked_by"]
        await self._gateway.call("ticketflow_token_record", fields)

    async def newest(self, limit: int) -> list[IssuedToken]:
        return [_token(row) for row in await self._gateway.call("ticketflow_tokens", {"limit": limit})]

    async def revoke(self, id_: UUID, by: str) -> IssuedToken | None:
        """Take a token back for good. None for an unknown one."""
        row = await self._gateway.call("ticketflow_token_revoke", {"id": id_, "by": by})
        return None if row is None else _token(row)

    async def revoked(self, expired_after: datetime) -> frozenset[UUID]:
        """The revoked ones that expire after that time."""
        found = await self._gateway.call("ticketflow_tokens_revoked", {"expired_after": expired_after})
        return frozenset(UUID(id_) for id_ in found)


def _token(row: Mapping[str, Any]) -> IssuedToken:
    return IssuedToken(
        id=UUID(row["id"]),
        subject=row["subject"],
        role=row["role"],
        scope=row["scope"],
        issued_at=datetime.fromisoformat(row["issued_at"]),
        expires_at=datetime.fromisoformat(row["expires_at"]),
        issued_by=row["issued_by"],
        revoked_at=datetime.fromisoformat(row["revoked_at"]) if row["revoked_at"] else None,
        revoked_by=row["revoked_by"],
    )
