"""What an error of the database means for whoever has a ticket in hand: the same on either way to it."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from ticketflow.db.gateway import Gateway
from ticketflow.domain.errors import Poison, StoreUnavailable, TicketflowError

_ANY_ERROR = """
    create or replace function ticketflow_queue_put(args jsonb) returns jsonb language plpgsql as $$
    begin
      raise exception 'as asked' using errcode = args->>'code';
    end $$
"""


@pytest.fixture
def any_error(database_url: str) -> Iterator[None]:
    """The database fails with the code that it is asked for, until the end: a real project stays for the next test."""
    with psycopg.connect(database_url, autocommit=True) as owner:
        row = owner.execute("select pg_get_functiondef('ticketflow_queue_put'::regproc)").fetchone()
        assert row is not None
        owner.execute(_ANY_ERROR)
        yield
        owner.execute(row[0].encode())


async def _meaning(gateway: Gateway, code: str) -> type[TicketflowError]:
    try:
        await gateway.call("ticketflow_queue_put", {"code": code})
    except TicketflowError as error:
        return type(error)
    raise AssertionError(f"{code} is an error")


@pytest.mark.usefixtures("any_error")
async def test_an_error_that_is_not_the_datas_fails_no_ticket(gateway: Gateway) -> None:
    # XX000 is how a pooler of Supabase says that it has no connection, or lost it.
    waits = [await _meaning(gateway, code) for code in ("XX000", "25P04", "0A000", "28000")]
    assert all(issubclass(meaning, StoreUnavailable) for meaning in waits), waits
    fails = [await _meaning(gateway, code) for code in ("21000", "22P05", "23514", "42804", "54000", "P0001")]
    assert fails == [Poison] * 6
