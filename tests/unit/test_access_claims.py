"""A verifier checks every claim itself, whoever chose it."""

from __future__ import annotations

import pytest

from tests.support.access import SECRET, own_claims, signed
from ticketflow.access.claims import verified
from ticketflow.domain.errors import Unauthenticated


def reason(token: str) -> str:
    with pytest.raises(Unauthenticated) as refused:
        verified(token, SECRET.encode(), algorithm="HS256", issuer="ticketflow", audience="ticketflow")
    assert token not in str(refused.value)
    return refused.value.reason


def test_the_issuer_is_checked_again_with_the_signature() -> None:
    assert reason(signed(own_claims(iss="somebody"))) == "issuer"
    assert reason(signed(own_claims(iss=None))) == "claim_missing"


def test_a_good_token_keeps_all_its_claims() -> None:
    claims = own_claims(extra={"a": [1]})
    token = signed(claims)
    assert verified(token, SECRET.encode(), algorithm="HS256", issuer="ticketflow", audience="ticketflow") == claims
