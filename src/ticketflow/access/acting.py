"""`X-Act-As`: less than one may do, never more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ticketflow.access.subjects import is_subject
from ticketflow.domain.errors import FieldProblem, Forbidden, Invalid
from ticketflow.domain.roles import Principal, Role

HEADER = "X-Act-As"

_NARROWER: Mapping[Role, frozenset[Role]] = {
    Role.CUSTOMER: frozenset({Role.CUSTOMER}),
    Role.AGENT: frozenset({Role.AGENT}),
    Role.SUPERVISOR: frozenset({Role.AGENT, Role.SUPERVISOR}),
    Role.ADMIN: frozenset(Role),
}
"""The roles of which a role may do everything; an admin may reply and reopen on a customer's behalf."""


def narrowed(caller: Principal, wishes: Sequence[str], *, local: bool) -> Principal:
    """The caller in another role: ``role``, or with ``local`` (nothing is configured) also ``role:subject``.

    Raises ``Forbidden`` for more than the caller may do, ``Invalid`` for what names nobody.
    """
    if len(wishes) != 1:
        raise _invalid("must be sent once")
    name, named, subject = wishes[0].partition(":")
    if name not in list(Role):
        raise _invalid(f"must begin with one of {', '.join(Role)}")
    role = Role(name)
    if role not in _NARROWER[caller.role]:
        raise _forbidden(f"{caller.role} may not act as {role}")
    if not local:
        if named:
            raise _forbidden("a token acts for its own subject only: name a role alone")
        return replace(caller, role=role)
    if named and not is_subject(subject):
        raise _invalid("the subject must be 1 to 100 printable characters and no name of Ticketflow's own")
    if role is Role.CUSTOMER and not named:
        raise _invalid("a customer needs a subject: customer:CUSTOMER_ID")
    return replace(caller, role=role, subject=subject if named else caller.subject)


def _invalid(message: str) -> Invalid:
    return Invalid(f"{HEADER}: {message}", [FieldProblem(HEADER, message)])


def _forbidden(message: str) -> Forbidden:
    return Forbidden(f"{HEADER}: {message}", [FieldProblem(HEADER, message)])
