"""The hot statements go through their indexes: what PostgreSQL counted while the real functions ran says so."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from tests.support import services
from tests.support.trails import TTL, at_version, creation, event, under
from ticketflow.db.commits import Commits
from ticketflow.db.leases import Lease, Leases
from ticketflow.db.outbox import Outbox
from ticketflow.db.reads import After, Reads
from ticketflow.db.retention import Retention
from ticketflow.db.tallies import Tallies
from ticketflow.domain.change import Create
from ticketflow.domain.conversation import MessageKind

RUNS = 7
"""PostgreSQL keeps a plan for all arguments from the sixth run of a statement on."""

FILL = """
create temporary table made as select gen_random_uuid() as id, n,
    case when n <= 200 then 'processing' when n <= 400 then 'pending' when n % 1000 = 5 then 'failed_permanent'
         else 'completed' end as status
  from generate_series(1, 100000) n;
insert into tickets (id, customer_id, subject, body, channel, status, fingerprint, version, flow_version, created_at,
                     updated_at, completed_at, assignee, tags)
  select id, 'cus_' || n % 5000, 'My lock CL-' || n, 'What now?', 'api', status, 'f', 2, '1',
    now() - n * interval '1 minute', now(), case when n > 400 then now() - n * interval '1 minute' end,
    case n % 1000 when 7 then 'agent-7' else 'pipeline' end, case n % 1000 when 9 then '{recall}'::text[] else '{}' end
  from made;
insert into events (ticket_id, seq, event_type, actor, change_id)
  select id, seq, 'status_change', 'pipeline', gen_random_uuid() from made, generate_series(1, 2) seq;
insert into checkpoints (thread_id, checkpoint_ns, checkpoint_id, checkpoint, metadata, channels)
  select id::text, '', 'c' || step, '{"channel_versions": {}}', '{}', '{}' from made, generate_series(1, 1) step;
insert into leases (ticket_id, token, worker, expires_at)
  select id, gen_random_uuid(), 'worker-0', now() + interval '1 hour' from made where status <> 'pending';
insert into timers (ticket_id, kind, due_at)
  select gen_random_uuid(), 'retry', now() + (n - 200) * interval '1 minute' from generate_series(1, 100000) n;
insert into outbox (ticket_id, lane, reason, available_at)
  select gen_random_uuid(), 'normal', 'created', now() + (n - 200) * interval '1 minute'
  from generate_series(1, 100000) n;
insert into dead_letters (kind, ticket_id, reason, detail, created_at, redriven_at)
  select 'ticket', id, 'poison', 'no', now() - n * interval '1 minute',
    case when n between 2000 and 99000 then now() end
  from made;
insert into messages (id, ticket_id, seq, kind, author, body, created_at)
  select gen_random_uuid(), id, 2, 'reply', 'pipeline', 'Hold the button.', now() from made;
insert into intake_keys (key, ticket_id) select gen_random_uuid(), id from made;
insert into queue_messages (lane, body, consumer)
  select 'normal', 'x', case when n % 2 = 0 then gen_random_uuid() end from made;
"""
BIG = (
    "tickets",
    "events",
    "messages",
    "leases",
    "timers",
    "outbox",
    "dead_letters",
    "checkpoints",
    "queue_messages",
)


class Counting:
    """A gateway on one connection, which knows what that connection scanned."""

    def __init__(self, connection: psycopg.AsyncConnection[Any]) -> None:
        self._connection = connection

    async def call(self, function: str, args: Any) -> Any:
        cursor = await self._connection.execute(f"select {function}(%s::jsonb)", (json.dumps(args, default=str),))
        row = await cursor.fetchone()
        return row and row[0]

    async def ping(self) -> None: ...

    async def aclose(self) -> None: ...

    async def scans(self) -> tuple[dict[str, int], dict[str, int]]:
        """Sequential scans by table, and scans by index, as counted up to now."""
        await self._connection.execute("select pg_stat_force_next_flush()")
        tables = await self._connection.execute("select relname, seq_scan from pg_stat_user_tables")
        indexes = await self._connection.execute("select indexrelname, idx_scan from pg_stat_user_indexes")
        return dict(await tables.fetchall()), dict(await indexes.fetchall())

    async def run(self, statement: str, *parameters: Any) -> None:
        await self._connection.execute(statement, parameters or None)  # type: ignore[arg-type]

    async def read_from(self, index: str) -> int:
        """Entries read from this index, as counted up to now."""
        await self._connection.execute("select pg_stat_force_next_flush()")
        query = "select idx_tup_read from pg_stat_user_indexes where indexrelname = %s"
        row = await (await self._connection.execute(query, (index,))).fetchone()
        return int(row[0]) if row else 0


@dataclass
class Filled:
    """A database with enough rows in every table that a wrong plan would scan. The ids of some tickets by status, and
    some leases, were read beforehand."""

    gateway: Counting
    tickets: dict[str, list[UUID]]
    leases: list[dict[str, str]]


@pytest.fixture(scope="module")
def full(postgres_server: str, template: str) -> Iterator[tuple[str, dict[str, list[UUID]], list[dict[str, str]]]]:
    with services.database(postgres_server, template) as url:
        with psycopg.connect(url, autocommit=True) as database:
            database.execute(FILL)
            database.execute("vacuum analyze")
            tickets = database.execute("select status, array_agg(id order by n) from made group by 1").fetchall()
            leases = database.execute("select ticket_id, token from leases order by ticket_id desc limit 50").fetchall()
        yield url, dict(tickets), [{"ticket_id": str(ticket), "token": str(token)} for ticket, token in leases]


@pytest.fixture
async def filled(full: tuple[str, dict[str, list[UUID]], list[dict[str, str]]]) -> AsyncIterator[Filled]:
    url, tickets, leases = full
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        yield Filled(Counting(connection), tickets, leases)


Statement = Callable[[Filled], Awaitable[Any]]


async def claims(filled: Filled) -> None:
    leases = Leases(filled.gateway, "worker-1", TTL, ["1"])
    for ticket_id in filled.tickets["pending"][:RUNS]:
        assert isinstance(await leases.claim(ticket_id, takeover=False), Lease)


async def commits_of_steps(filled: Filled) -> None:
    leases, commits = Leases(filled.gateway, "worker-1", TTL, ["1"]), Commits(filled.gateway)
    for ticket_id in filled.tickets["processing"][:RUNS]:
        lease = await leases.claim(ticket_id, takeover=True)
        assert isinstance(lease, Lease)
        await commits.apply(under(lease, event(category="billing")))


async def commits_of_people(filled: Filled) -> None:
    commits = Commits(filled.gateway)
    for ticket_id in filled.tickets["completed"][10 : 10 + RUNS]:
        await commits.apply(at_version(ticket_id, 2, redrive="operator"))


async def intake(filled: Filled) -> None:
    await Commits(filled.gateway).apply_all([creation(guard=Create(uuid4(), timedelta(days=1))) for _ in range(RUNS)])


async def heartbeats(filled: Filled) -> None:
    for _ in range(RUNS):
        assert await filled.gateway.call("ticketflow_keep_leases", {"ttl_ms": 1000, "leases": filled.leases}) == []


async def relay(filled: Filled) -> None:
    outbox = Outbox(filled.gateway)
    sent: list[int] = []
    for _ in range(RUNS):
        sent = [row.id for row in await outbox.take(10, TTL, sent)]
        assert len(sent) == 10


async def timers(filled: Filled) -> None:
    for _ in range(RUNS):
        assert len(await Outbox(filled.gateway).due_timers(10, TTL)) == 10


async def sweeps(filled: Filled) -> None:
    for _ in range(RUNS):
        assert await Outbox(filled.gateway).sweep(timedelta(hours=1)) == []


async def pages(filled: Filled) -> None:
    for sort in ("created_at", "-created_at"):
        for _ in range(RUNS):
            after = After(datetime.now(UTC) - timedelta(days=5), uuid4())
            assert len(await Reads(filled.gateway).tickets({}, sort=sort, limit=50, after=after)) == 50


def listed(rows: int, **filters: Any) -> Statement:
    async def lists(filled: Filled) -> None:
        for _ in range(RUNS):
            assert len(await Reads(filled.gateway).tickets(filters, sort="-created_at", limit=20)) == rows

    return lists


async def prunes(filled: Filled) -> None:
    for _ in range(RUNS):
        assert (await Retention(filled.gateway).prune_next(datetime.now(UTC) - timedelta(days=1), 5))[0].kept == 5


async def views(filled: Filled) -> None:
    reads = Reads(filled.gateway)
    for ticket_id in filled.tickets["completed"][20 : 20 + RUNS]:
        assert await reads.ticket(ticket_id)
        assert len(await reads.events(ticket_id) or ()) == 2
        await reads.events_of({ticket_id: 1})
        assert len(await reads.messages(ticket_id, [MessageKind.REPLY], limit=5)) == 1
        await reads.wakers(ticket_id)


async def histories(filled: Filled) -> None:
    for number in range(RUNS):
        assert len(await Reads(filled.gateway).history(f"cus_{number}", uuid4())) == 5


async def letters(filled: Filled) -> None:
    for _ in range(RUNS):
        assert len(await Reads(filled.gateway).dead_letters(limit=50)) == 50


async def audits(filled: Filled) -> None:
    for ticket_id in filled.tickets["completed"][30 : 30 + RUNS]:
        assert await Reads(filled.gateway).audit(ticket_id, 20)


async def stats(filled: Filled) -> None:
    """Of a day and a half, as if nobody had tallied since."""
    await filled.gateway.run("delete from marks where name = 'tallies'")
    await filled.gateway.run(
        """insert into marks (name, completed_at, id)
           values ('tallies', now() - interval '2000 minutes', '00000000-0000-0000-0000-000000000000')"""
    )
    for _ in range(RUNS):
        assert (await Reads(filled.gateway).stats())["total"] in range(1900, 2000 + RUNS)


async def tallies(filled: Filled) -> None:
    await filled.gateway.run("delete from marks where name = 'tallies'")
    taking = Tallies(filled.gateway)
    async with asyncio.timeout(60):
        # Nothing is taken before every transaction on this server is over that ran when it was first asked for.
        while await taking.take_next(100) == (0, False):  # noqa: ASYNC110 - others' transactions tell nobody
            await asyncio.sleep(0.02)
    taken = [await taking.take_next(100) for _ in range(RUNS)]
    assert taken == [(100, True)] * RUNS


async def queue(filled: Filled) -> None:
    me = str(uuid4())
    done: list[int] = []
    for _ in range(RUNS):
        taken = await filled.gateway.call(
            "ticketflow_queue_take", {"consumer": me, "done": done, "lanes": {"high": 5, "normal": 5}}
        )
        done = [row["id"] for row in taken]
        assert len(done) == 5


@pytest.mark.parametrize(
    ("statement", "indexes"),
    [
        (claims, {"tickets_pkey", "leases_pkey", "events_pkey", "checkpoints_pkey"}),
        (commits_of_steps, {"tickets_pkey", "leases_pkey", "events_pkey"}),
        (commits_of_people, {"tickets_pkey", "dead_letters_by_ticket"}),
        (intake, {"intake_keys_pkey"}),
        (heartbeats, {"leases_pkey"}),
        (relay, {"outbox_by_availability", "outbox_pkey"}),
        (timers, {"timers_by_due", "timers_pkey", "tickets_pkey"}),
        (sweeps, {"tickets_open", "intake_keys_by_age"}),
        (pages, {"tickets_by_creation"}),
        (listed(20, customer_id=["cus_7"]), {"tickets_by_customer"}),
        (listed(20, customer_id=["cus_7", "cus_8"]), {"tickets_by_customer"}),
        (listed(20, status=["failed_permanent"]), {"tickets_open"}),
        (listed(20, status=["pending", "waiting"]), {"tickets_open"}),
        (listed(20, status=["completed"]), {"tickets_by_creation"}),
        (listed(20, assignee=["agent-7"]), {"tickets_of_people"}),
        (listed(20, tag="recall"), {"tickets_by_tag"}),
        (listed(1, q="CL-77777"), {"ticket_words_words"}),
        (listed(20, q="lock"), {"tickets_pkey", "ticket_words_pkey"}),
        (prunes, {"tickets_by_end", "dead_letters_by_ticket"}),
        (
            views,
            {"tickets_pkey", "events_pkey", "messages_by_ticket", "leases_pkey", "timers_pkey", "outbox_by_ticket"},
        ),
        (histories, {"tickets_by_customer"}),
        (letters, {"dead_letters_open"}),
        (audits, {"tickets_pkey", "events_pkey", "dead_letters_by_ticket", "outbox_by_ticket"}),
        (stats, {"tickets_by_end", "tickets_open", "events_pkey", "events_of_failure", "dead_letters_open"}),
        (tallies, {"tickets_by_end", "events_pkey", "events_of_failure"}),
        (queue, {"queue_messages_ready", "queue_messages_pkey"}),
    ],
    ids=lambda each: each.__name__ if callable(each) else "-".join(sorted(each)),
)
async def test_a_hot_statement_uses_its_indexes_and_scans_no_table(
    filled: Filled, statement: Statement, indexes: Collection[str]
) -> None:
    tables_before, indexes_before = await filled.gateway.scans()
    await statement(filled)
    tables, used = await filled.gateway.scans()
    assert {table: tables[table] - tables_before[table] for table in BIG if tables[table] > tables_before[table]} == {}
    assert {name for name in indexes if used[name] == indexes_before[name]} == set()


@pytest.mark.parametrize("index", ["outbox_by_availability", "timers_by_due"])
async def test_a_look_at_what_is_due_does_not_read_what_is_not(filled: Filled, index: str) -> None:
    outbox = Outbox(filled.gateway)
    look = {
        "outbox_by_availability": lambda: outbox.take(1000, timedelta(hours=1)),
        "timers_by_due": lambda: outbox.due_timers(1000, timedelta(hours=1)),
    }[index]
    while await look():
        pass
    before = await filled.gateway.read_from(index)
    for _ in range(RUNS):
        assert await look() == []
    assert await filled.gateway.read_from(index) - before < 2_000 * RUNS
