"""A revoked token stops working within seconds, and nobody's request waits for the database to say so."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from tests.support.clock import Clock
from tests.support.proxy import behind
from ticketflow.access.own_tokens import OwnTokens, issue
from ticketflow.access.revocations import Revocations
from ticketflow.db.postgres import PostgresGateway
from ticketflow.db.tokens import IssuedToken, Tokens
from ticketflow.domain.errors import StoreUnavailable, Unauthenticated
from ticketflow.domain.roles import Principal, Role, Scope

SECRET = b"a secret of the tests, long enough to sign with"


class Counted:
    """The gateway, how often it is asked, and how long that takes by the test's clock."""

    def __init__(self, gateway: PostgresGateway, clock: Clock, seconds: float = 0) -> None:
        self._gateway = gateway
        self._clock = clock
        self.seconds = seconds
        self.calls = 0

    async def call(self, function: str, args: Any) -> Any:
        self.calls += 1
        self._clock.advance(self.seconds)
        return await self._gateway.call(function, args)

    async def ping(self) -> None:
        await self._gateway.ping()

    async def aclose(self) -> None:
        await self._gateway.aclose()


async def issued(tokens: Tokens, valid_for: timedelta = timedelta(hours=1)) -> tuple[str, IssuedToken]:
    token, record = issue(SECRET, Role.AGENT, "mia", {Scope.READ}, valid_for, "admin:local")
    await tokens.record(record)
    return token, record


async def test_a_token_is_its_holder_until_it_is_revoked(gateway: PostgresGateway) -> None:
    tokens, clock = Tokens(gateway), Clock()
    verifier = OwnTokens(SECRET, Revocations(tokens, clock))
    token, record = await issued(tokens)
    other, _ = await issued(tokens)
    assert await verifier.principal(token) == Principal("mia", Role.AGENT, frozenset({Scope.READ}), str(record.id))
    assert await tokens.revoke(record.id, "admin:local") is not None
    clock.advance(2)
    with pytest.raises(Unauthenticated) as refused:
        await verifier.principal(token)
    assert refused.value.reason == "revoked"
    assert (await verifier.principal(other)).subject == "mia"


async def test_however_many_requests_come_the_list_is_read_once_in_two_seconds(gateway: PostgresGateway) -> None:
    clock = Clock()
    counted = Counted(gateway, clock)
    revocations = Revocations(Tokens(counted), clock)
    for _ in range(3):
        assert await asyncio.gather(*(revocations.revoked(uuid4()) for _ in range(50))) == [False] * 50
        clock.advance(1.9)
        assert not await revocations.revoked(uuid4())
        clock.advance(0.1)
    assert counted.calls == 3


async def test_while_the_database_is_away_the_last_list_serves_for_a_minute(database_url: str) -> None:
    clock = Clock()
    async with behind(database_url) as (url, wire):
        gateway = PostgresGateway(url, 2)
        await gateway.open()
        tokens = Tokens(gateway)
        _, revoked = await issued(tokens)
        await tokens.revoke(revoked.id, "admin:local")
        revocations = Revocations(tokens, clock)
        assert await revocations.revoked(revoked.id)
        await wire.cut()
        for _ in range(2):
            clock.advance(30)
            assert await revocations.revoked(revoked.id)
            assert not await revocations.revoked(uuid4())
        clock.advance(1)
        with pytest.raises(StoreUnavailable):
            await revocations.revoked(uuid4())
        await wire.restore()
        clock.advance(2)
        assert await revocations.revoked(revoked.id)
        await gateway.aclose()


async def test_a_database_that_hangs_keeps_one_round_of_requests_waiting_and_not_all_of_them(
    database_url: str,
) -> None:
    clock = Clock()
    async with behind(database_url) as (url, wire):
        gateway = PostgresGateway(url, 2)
        await gateway.open()
        counted = Counted(gateway, clock)
        revocations = Revocations(Tokens(counted), clock)
        await revocations.revoked(uuid4())
        wire.stall()
        clock.advance(3)
        counted.seconds = 2
        for _ in range(20):
            assert not await revocations.revoked(uuid4())
        assert counted.calls == 2
        wire.flow()
        await gateway.aclose()


async def test_before_the_first_list_nobody_is_let_in(database_url: str) -> None:
    async with behind(database_url) as (url, wire):
        gateway = PostgresGateway(url, 2)
        await gateway.open()
        await wire.cut()
        with pytest.raises(StoreUnavailable):
            await Revocations(Tokens(gateway), Clock()).revoked(uuid4())
        await gateway.aclose()


async def test_the_list_holds_what_would_still_be_let_in_and_no_more(gateway: PostgresGateway) -> None:
    tokens = Tokens(gateway)
    revoked: dict[int, UUID] = {}
    for seconds in (-3600, -5, 3600):
        _, record = await issued(tokens, timedelta(seconds=seconds))
        await tokens.revoke(record.id, "admin:local")
        revoked[seconds] = record.id
    await issued(tokens)
    revocations = Revocations(tokens, Clock())
    # One that expired within the leeway is still let in.
    assert [await revocations.revoked(revoked[seconds]) for seconds in (-3600, -5, 3600)] == [False, True, True]


async def test_what_was_issued_is_remembered_without_the_token(gateway: PostgresGateway) -> None:
    tokens = Tokens(gateway)
    records = [(await issued(tokens))[1] for _ in range(3)]
    assert {each.id for each in await tokens.newest(10)} == {each.id for each in records}
    assert len(await tokens.newest(2)) == 2
    assert await tokens.revoke(uuid4(), "admin:local") is None
    first = await tokens.revoke(records[0].id, "admin:local")
    again = await tokens.revoke(records[0].id, "admin:mia")
    assert first is not None
    assert first == again
    assert (first.revoked_by, first.subject, first.expires_at) == ("admin:local", "mia", records[0].expires_at)
    assert first.revoked_at is not None
    assert first.revoked_at <= datetime.now(UTC) + timedelta(minutes=1)
