"""Who people are to Ticketflow, and what each may do: pure tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    CUSTOMER = "customer"
    AGENT = "agent"
    SUPERVISOR = "supervisor"
    ADMIN = "admin"


_INHERITS: Mapping[Role, Role | None] = {
    Role.CUSTOMER: None,
    Role.AGENT: None,
    Role.SUPERVISOR: Role.AGENT,
    Role.ADMIN: Role.SUPERVISOR,
}


def held(role: Role) -> frozenset[Role]:
    """The role and all that it inherits. An admin is no customer: where admins may do what customers do, it says so."""
    roles = {role}
    above = _INHERITS[role]
    while above is not None:
        roles.add(above)
        above = _INHERITS[above]
    return frozenset(roles)


class Scope(StrEnum):
    """What a token is good for, whatever its holder's role allows."""

    INTAKE = "intake"
    """Take in tickets, and nothing else."""
    READ = "read"
    """Look at what the role may see."""
    WRITE = "write"
    """Everything that changes something, but for the intake."""
    METRICS = "metrics"
    """Read ``/metrics``."""


ALL_SCOPES = frozenset(Scope)

PIPELINE = "pipeline"
SYSTEM = "system"
RESERVED_SUBJECTS = frozenset({PIPELINE, SYSTEM})
"""Names that no person may carry: in events and as assignee they mean Ticketflow itself."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is calling, or the pipeline. A customer's ``subject`` is the ``customer_id`` of their tickets."""

    subject: str
    role: Role
    scopes: frozenset[Scope] = ALL_SCOPES
    token_id: str | None = None

    @property
    def actor(self) -> str:
        """As the trail names them, such as ``agent:mia``; the pipeline and the system by their names alone."""
        return self.subject if self.subject in RESERVED_SUBJECTS else f"{self.role}:{self.subject}"

    @property
    def is_customer(self) -> bool:
        return self.role is Role.CUSTOMER

    def has(self, role: Role) -> bool:
        return role in held(self.role)

    def may_see(self, customer_id: str) -> bool:
        """Whether tickets of this customer exist for the caller at all."""
        return not self.is_customer or self.subject == customer_id


THE_PIPELINE = Principal(PIPELINE, Role.AGENT)
"""One more agent, who moves tickets by the same rules as all others."""

THE_SYSTEM = Principal(SYSTEM, Role.AGENT)
"""What happens by itself, such as closing a ticket that was resolved long ago."""

LOCAL_ADMIN = Principal("local", Role.ADMIN)
"""Whoever sits at this machine, while nothing is configured."""
