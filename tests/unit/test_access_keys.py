"""An issuer's keys: fetched over real HTTP, kept, and never asked for more often than is decent."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from tests.support.clock import Clock
from tests.support.issuer import JWKS_PATH, Issuer, Key, running_issuer
from ticketflow.access.key_set import KeySet
from ticketflow.domain.errors import ConfigurationError, KeysUnavailable
from ticketflow.settings import Settings
from ticketflow.wiring import check_users_keys

ONE, TWO = Key("ES256", "one"), Key("RS256", "two")


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with running_issuer() as issuer:
        issuer.keys = [ONE.jwk]
        yield issuer


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def keys(issuer: Issuer, clock: Clock) -> AsyncIterator[KeySet]:
    keys = KeySet(issuer.url + JWKS_PATH, clock)
    yield keys
    await keys.aclose()


async def test_requests_that_come_together_fetch_once_and_later_ones_not_at_all(
    keys: KeySet, issuer: Issuer, clock: Clock
) -> None:
    found = await asyncio.gather(*(keys.key("one") for _ in range(50)))
    assert all(key is not None and key.algorithm_name == "ES256" for key in found)
    clock.advance(599)
    await keys.key("one")
    assert issuer.fetches == 1
    clock.advance(1)
    await keys.key("one")
    assert issuer.fetches == 2


async def test_a_key_that_is_new_is_found_and_one_that_is_gone_is_not(
    keys: KeySet, issuer: Issuer, clock: Clock
) -> None:
    assert await keys.key("one") is not None
    issuer.keys = [TWO.jwk]
    clock.advance(10)
    assert await keys.key("two") is not None
    assert await keys.key("one") is None


async def test_a_flood_of_unknown_key_ids_fetches_at_most_once_in_ten_seconds(
    keys: KeySet, issuer: Issuer, clock: Clock
) -> None:
    for second in range(30):
        found = await asyncio.gather(*(keys.key(f"{second}-{number}") for number in range(20)))
        assert found == [None] * 20
        assert await keys.key("one") is not None
        clock.advance(1)
    assert issuer.fetches == 3


async def test_known_keys_stay_good_while_the_issuer_is_away(keys: KeySet, issuer: Issuer, clock: Clock) -> None:
    assert await keys.key("one") is not None
    issuer.status = 503
    for _ in range(10):
        clock.advance(1000)
        assert await keys.key("one") is not None
    # Whether there is another is not known now; and it is not asked more often for that.
    fetches = issuer.fetches
    for _ in range(5):
        with pytest.raises(KeysUnavailable):
            await keys.key("two")
    assert issuer.fetches == fetches
    issuer.status, issuer.keys = 200, [ONE.jwk, TWO.jwk]
    clock.advance(10)
    assert await keys.key("two") is not None


@pytest.mark.parametrize("answer", [b"", b"<html>", b"[]", b'{"keys": 1}', b'{"keys": [' + b"1," * 200_000 + b"1]}"])
async def test_an_answer_that_is_no_key_set_counts_as_none(keys: KeySet, issuer: Issuer, answer: bytes) -> None:
    issuer.answer = answer
    with pytest.raises(KeysUnavailable):
        await keys.key("one")


@pytest.mark.parametrize(
    "odd",
    [{"kty": "EC", "crv": ["P-256"]}, {"kty": ["EC"]}, {"kty": {}, "crv": 1}, {"kty": "EC", "crv": "P-256", "x": 7}],
)
async def test_an_odd_key_beside_good_ones_hurts_none_of_them(
    keys: KeySet, issuer: Issuer, odd: dict[str, Any]
) -> None:
    issuer.keys = [odd | {"kid": "odd"}, ONE.jwk]
    assert await keys.key("one") is not None
    assert await keys.key("odd") is None


async def test_an_issuer_that_does_not_answer_at_all_is_unavailable(clock: Clock) -> None:
    keys = KeySet("http://127.0.0.1:1" + JWKS_PATH, clock)
    with pytest.raises(KeysUnavailable):
        await keys.key("one")
    await keys.aclose()


async def test_only_keys_that_can_be_used_safely_are_taken(keys: KeySet, issuer: Issuer) -> None:
    weak = Key("RS256", "weak", bits=1024)
    issuer.keys = [
        TWO.jwk,
        Key("EdDSA", "edwards").jwk,
        weak.jwk,
        ONE.jwk | {"kid": "alg", "alg": "RS256"},
        TWO.jwk | {"kid": "hmac-alg", "alg": "HS256"},
        ONE.jwk | {"kid": "use", "use": "enc"},
        ONE.jwk | {"kid": "curve", "crv": "P-384"},
        ONE.jwk | {"kid": "broken", "x": "AA"},
        {"kty": "oct", "kid": "shared", "k": "c2VjcmV0" * 8, "alg": "HS256"},
        {name: value for name, value in ONE.jwk.items() if name != "kid"},
        json.loads("[1]"),
    ]
    assert await keys.key("two") is not None
    assert await keys.key("edwards") is not None
    for refused in ("weak", "alg", "hmac-alg", "use", "curve", "broken", "shared", ""):
        assert await keys.key(refused) is None, refused


async def test_whether_users_can_be_told_is_known_before_any_comes(issuer: Issuer) -> None:
    values = {"SUPABASE_URL": issuer.url, "SUPABASE_KEY": "sb_secret_1"}
    await check_users_keys(settings_of(**values))
    issuer.keys = []
    with pytest.raises(ConfigurationError, match=r"no public keys.*: set SUPABASE_JWT_SECRET"):
        await check_users_keys(settings_of(**values))
    issuer.status = 500
    with pytest.raises(KeysUnavailable):
        await check_users_keys(settings_of(**values))
    await check_users_keys(settings_of(**values, SUPABASE_JWT_SECRET="s" * 32))
    assert issuer.fetches == 3


def settings_of(**values: str) -> Settings:
    return Settings(_env_file=None, **values)  # type: ignore[arg-type]
