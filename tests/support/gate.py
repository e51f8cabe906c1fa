"""A gate inside the database: a step's commit waits there until the test lets it through.

A trigger takes a shared advisory lock before the event is written; the test holds the exclusive one. So a process can
be caught at an exact point of a ticket's way, without any timing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg

from tests.support.processes import until

_TRIGGER = """
create function gate() returns trigger language plpgsql as $$
begin
  perform pg_advisory_xact_lock_shared(1, hashtext(new.step_name));
  return new;
end $$;
create trigger gate before insert on events for each row
  when (new.event_type = 'step_complete') execute function gate();
"""


class Gate:
    """``closed`` holds a step; the other methods act on the server's side of whoever waits there."""

    def __init__(self, database_url: str) -> None:
        self._database: psycopg.Connection[Any] = psycopg.connect(database_url, autocommit=True)
        self._database.execute(_TRIGGER)

    def close(self) -> None:
        self._database.close()

    @contextmanager
    def closed(self, step: str) -> Iterator[None]:
        self._database.execute("select pg_advisory_lock(1, hashtext(%s))", (step,))
        try:
            yield
        finally:
            self._database.execute("select pg_advisory_unlock(1, hashtext(%s))", (step,))

    def waiting(self) -> list[int]:
        """The server processes that wait at the gate."""
        rows = self._database.execute(
            "select pid from pg_locks where locktype = 'advisory' and classid = 1 and not granted "
            "and database = (select oid from pg_database where datname = current_database())"
        )
        return [pid for (pid,) in rows]

    def caught(self) -> int:
        """The first that arrived, once one has."""
        first: int = until(self.waiting, 30, "a commit to reach the gate")[0]
        return first

    def done(self, step: str) -> int:
        """How many tickets have this step behind them."""
        query = "select count(*) from events where event_type = 'step_complete' and step_name = %s"
        return int(self._scalar(query, step))

    def wait_for_claim_behind(self, pid: int) -> None:
        """Until another worker wants to claim the ticket that this server process has locked."""
        blocked = (
            "select count(*) > 0 from pg_stat_activity where datname = current_database() "
            "and query like '%%ticketflow_claim%%' and %s = any(pg_blocking_pids(pid))"
        )
        until(lambda: self._scalar(blocked, pid), 30, "the next claim")

    def _scalar(self, query: str, *parameters: Any) -> Any:
        row = self._database.execute(query, parameters).fetchone()
        return row and row[0]
