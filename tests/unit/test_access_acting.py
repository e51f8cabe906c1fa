"""X-Act-As narrows, and never widens."""

from __future__ import annotations

import pytest

from ticketflow.access.acting import narrowed
from ticketflow.domain.errors import Forbidden, Invalid
from ticketflow.domain.roles import LOCAL_ADMIN, Principal, Role, Scope

ALLOWED = {
    (Role.CUSTOMER, Role.CUSTOMER),
    (Role.AGENT, Role.AGENT),
    (Role.SUPERVISOR, Role.AGENT),
    (Role.SUPERVISOR, Role.SUPERVISOR),
    *((Role.ADMIN, role) for role in Role),
}


@pytest.mark.parametrize("wish", Role)
@pytest.mark.parametrize("role", Role)
def test_a_token_acts_in_roles_whose_every_right_it_has(role: Role, wish: Role) -> None:
    caller = Principal("mia", role, frozenset({Scope.READ}), "token-1")
    if (role, wish) in ALLOWED:
        assert narrowed(caller, [wish], local=False) == Principal("mia", wish, frozenset({Scope.READ}), "token-1")
    else:
        with pytest.raises(Forbidden, match="X-Act-As"):
            narrowed(caller, [wish], local=False)


def test_a_token_names_nobody_else() -> None:
    # Also not one whose holder is called as the local admin is.
    for subject in ("mia", "local"):
        with pytest.raises(Forbidden) as refused:
            narrowed(Principal(subject, Role.ADMIN), ["customer:cus_1"], local=False)
        assert [problem.field for problem in refused.value.problems] == ["X-Act-As"]


@pytest.mark.parametrize(
    ("wish", "subject", "role"),
    [
        ("customer:cus_1", "cus_1", Role.CUSTOMER),
        ("customer:a:b", "a:b", Role.CUSTOMER),
        ("customer:Mirela Ünal", "Mirela Ünal", Role.CUSTOMER),
        ("customer:" + "x" * 100, "x" * 100, Role.CUSTOMER),
        ("agent:mia", "mia", Role.AGENT),
        ("agent", "local", Role.AGENT),
        ("supervisor", "local", Role.SUPERVISOR),
        ("admin", "local", Role.ADMIN),
    ],
)
def test_whoever_sits_at_this_machine_may_be_anybody(wish: str, subject: str, role: Role) -> None:
    found = narrowed(LOCAL_ADMIN, [wish], local=True)
    assert (found.subject, found.role) == (subject, role)


@pytest.mark.parametrize(
    "wishes",
    [
        [""],
        ["root"],
        ["Admin"],
        [" agent"],
        ["agent,admin"],
        ["customer"],
        ["customer:"],
        ["agent:"],
        ["customer: "],
        ["customer:pipeline"],
        ["agent:system"],
        ["agent:Pipeline"],
        ["customer:" + "x" * 101],
        ["customer:a\x00b"],
        ["customer:a\tb"],
        ["customer:\u202ecus_1"],
        ["agent", "agent"],
    ],
)
def test_what_names_nobody_is_refused_with_the_header_named(wishes: list[str]) -> None:
    with pytest.raises(Invalid, match="X-Act-As") as refused:
        narrowed(LOCAL_ADMIN, wishes, local=True)
    assert [problem.field for problem in refused.value.problems] == ["X-Act-As"]
