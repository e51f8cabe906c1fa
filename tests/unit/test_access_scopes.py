"""What a token must be good for, by method and path; and which headers protect an answer."""

from __future__ import annotations

import pytest

from ticketflow.api.authentication import needed_scope
from ticketflow.api.protection import protective
from ticketflow.domain.roles import Scope


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("POST", "/tickets", Scope.INTAKE),
        ("POST", "/tickets/batch", Scope.INTAKE),
        ("POST", "/tickets/", Scope.WRITE),
        ("PUT", "/tickets", Scope.WRITE),
        ("GET", "/tickets", Scope.READ),
        ("HEAD", "/tickets/1", Scope.READ),
        ("GET", "/nowhere", Scope.READ),
        ("GET", "/metrics", Scope.METRICS),
        ("POST", "/metrics", Scope.METRICS),
        ("POST", "/tickets/1/pause", Scope.WRITE),
        ("POST", "/dead-letters/redrive", Scope.WRITE),
        ("DELETE", "/tickets/1", Scope.WRITE),
        ("BREW", "/tickets", Scope.WRITE),
    ],
)
def test_what_a_request_takes(method: str, path: str, scope: Scope) -> None:
    assert needed_scope(method, path) is scope


def test_an_answer_may_be_cached_only_where_its_route_says_so() -> None:
    assert (b"cache-control", b"no-store") in protective("/tickets", [])
    assert "cache-control" not in str(protective("/tickets", [(b"Cache-Control", b"max-age=60")]))


def test_only_the_page_of_the_documentation_may_run_scripts() -> None:
    policies = {
        path: dict(protective(path, []))[b"content-security-policy"] for path in ("/docs", "/tickets", "/docs/")
    }
    assert policies["/tickets"] == policies["/docs/"] == b"default-src 'none'; frame-ancestors 'none'"
    assert b"script-src" in policies["/docs"]
