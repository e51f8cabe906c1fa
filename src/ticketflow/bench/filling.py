"""A database filled with as many tickets as a desk has after two years: copies of moulds, set-wise.

Each copy has an id, a customer, a text and a time of its own; everything else about it, trail and conversation
included, is as the real code wrote it about its mould. About fourteen events come with a ticket.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg
from psycopg import sql
from pydantic import SecretStr

from ticketflow import wiring
from ticketflow.bench.moulds import PERSON, Kind, made
from ticketflow.db.connecting import connect
from ticketflow.samples import tickets as samples
from ticketflow.settings import Settings

BATCH = 5_000
"""Copies made in one transaction."""

PER_PERSON = 1000
"""Tickets of a desk for each of its agents, who have one in twenty of them."""

UNDER_WAY = 0.003
RECENT = 0.004
"""By age, newest first: the share of tickets that the pipeline has not ended with, and of those whose customers may
still object. The second is what two years have of the 72 hours after which a resolved ticket closes."""

WITH_CHECKPOINTS = 0.04
"""The share whose checkpoints retention has not removed yet: 30 days of two years."""

WITHIN_A_DAY = 1 / 730

_OF_OLD = {Kind.PERSONAL: 50, Kind.ESCALATED: 60, Kind.CANCELLED: 10, Kind.FAILED: 2, Kind.ASKED: 3, Kind.TAGGED: 1}
"""What became of a thousand tickets of long ago; the rest is closed."""

TABLES = (
    "tickets",
    "events",
    "messages",
    "checkpoints",
    "leases",
    "timers",
    "outbox",
    "dead_letters",
)
"""What has rows about tickets, tickets first."""


@dataclass(frozen=True, slots=True)
class Filled:
    """``rows`` by table; ``bytes`` of the whole database."""

    rows: Mapping[str, int]
    bytes: int


async def fill(
    url: str, settings: Settings, copies: int, told: Callable[[str], None] = lambda line: None, seed: int = 1
) -> Filled:
    """Fill the database, empty or migrated but without tickets, with so many copies.

    Indexes are dropped before and made again behind, which takes a fraction of the time that keeping them would. Raises
    ``StoreUnavailable``.
    """
    given = settings.model_copy(
        update={"database_url": SecretStr(url), "rabbitmq_url": None, "openai_api_key": None, "openai_base_url": None}
    )
    async with wiring.connected(given, auto_migrate=True) as app:
        moulds = await made(app)
    async with await connect(url) as database:
        await _prepare(database, moulds, seed)
        async with _without_indexes(database):
            for first in range(1, copies + 1, BATCH):
                async with database.transaction():
                    await _copy(database, first, min(first + BATCH - 1, copies), copies)
                told(f"{min(first + BATCH - 1, copies):,} of {copies:,} tickets")
        await database.execute(_UNTALLIED)
        await database.execute("vacuum (analyze)")
        return await _look(database)


async def _prepare(database: psycopg.AsyncConnection[Any], moulds: Mapping[Kind, Sequence[UUID]], seed: int) -> None:
    """The moulds' rows by themselves, and what texts are made of, both gone with the connection."""
    await database.execute("set work_mem = '128MB'; set maintenance_work_mem = '512MB'; set synchronous_commit = off")
    await database.execute("create temporary table moulds (kind text primary key, ids uuid[] not null)")
    for kind, ids in moulds.items():
        await database.execute("insert into moulds values (%s, %s)", (kind, list(ids)))
    for table in TABLES:
        query = "create temporary table {} as select * from {} m where {} = any (select unnest(ids) from moulds)"
        key = sql.SQL(_KEY.get(table, "m.ticket_id"))
        own = sql.SQL(query).format(sql.Identifier(f"mould_{table}"), sql.Identifier(table), key)
        await database.execute(own)
        await database.execute(sql.SQL("analyze {}").format(sql.Identifier(f"mould_{table}")))
    await database.execute("create temporary table phrases (subjects text[] not null, sentences text[] not null)")
    await database.execute("insert into phrases values (%s, %s)", _phrases(seed))


def _phrases(seed: int) -> tuple[list[str], list[str]]:
    """Subjects and sentences of the sample shop's tickets, in an order of their own."""
    shop = samples()
    subjects = [ticket["subject"] for ticket in shop]
    lines = [line for ticket in shop for line in ticket["body"].replace("? ", "?\n").replace(". ", ".\n").splitlines()]
    sentences = [line.strip() for line in lines if len(line.strip()) > 20]
    random.Random(seed).shuffle(sentences)
    return subjects, sentences


@asynccontextmanager
async def _without_indexes(database: psycopg.AsyncConnection[Any]) -> AsyncIterator[None]:
    """Primary keys included. Their names and definitions afterwards are those from before."""
    cursor = await database.execute(
        """select i.indrelid::regclass::text, i.indexrelid::regclass::text, c.conname, pg_get_constraintdef(c.oid),
                  pg_get_indexdef(i.indexrelid)
           from pg_index i left join pg_constraint c on c.conindid = i.indexrelid
           where i.indrelid = any (%s::regclass[]) order by i.indexrelid""",
        ([*TABLES, "intake_keys"],),
    )
    indexes = await cursor.fetchall()
    for table, index, constraint, _, _ in indexes:
        dropped = f"alter table {table} drop constraint {constraint}" if constraint else f"drop index {index}"
        await database.execute(dropped.encode())
    yield
    for table, _, constraint, key, definition in indexes:
        again = f"alter table {table} add constraint {constraint} {key}" if constraint else definition
        await database.execute(again.encode())


_COPIES = """
create temporary table copies on commit drop as
with numbered as (
  select n, n::float8 / %(copies)s as age, hashint8(n) & 2147483647 as dice from generate_series(%(first)s, %(last)s) n
), kinds as (
  select *, case when age <= %(under_way)s then (array['pending', 'processing', 'retrying'])[1 + n %% 3]
                 when age <= %(recent)s then 'resolved' else (%(of_old)s::text[])[1 + dice %% 1000] end as kind
  from numbered)
select n, kind, age, n %% greatest(%(copies)s / %(per_person)s, 1) as person,
  md5('copy ' || n)::uuid as id, m.ids[1 + dice / 1000 %% cardinality(m.ids)] as mould,
  now() - age * interval '730 days' - interval '1 minute' as created_at,
  'cus_' || (power(dice / 2147483647.0, 3) * greatest(%(copies)s / 10, 1))::integer as customer_id,
  left(subjects[1 + dice %% cardinality(subjects)], 60) || ' CL-' || n as subject,
  (select string_agg(sentences[1 + (hashint8(n * 31 + i) & 2147483647) %% cardinality(sentences)], ' ' order by i)
   from generate_series(1, 3 + dice %% 7) i) || ' My order is CL-' || n || '.' as body
from kinds join moulds m using (kind), phrases
"""

_COPY_ROWS = """
insert into {table} ({columns})
select {values}
from copies c join mould_tickets t on t.id = c.mould join mould_{table} m on {key} = c.mould
where {only} {order}
"""
_UNTALLIED = "delete from marks where name = 'tallies'; delete from tallies; delete from tally_corrections"
"""Copies ended before the mark that the moulds' worker may have left: tallies begin anew."""

_KEY = {"tickets": "m.id", "checkpoints": "m.thread_id::uuid"}

_MESSAGE = "md5(c.n || {}::text)::uuid"
_OWN: Mapping[str, Mapping[str, str]] = {
    "tickets": {
        "id": "c.id",
        "customer_id": "c.customer_id",
        "customer_email": "c.customer_id || '@example.com'",
        "subject": "c.subject",
        "body": "c.body",
        "fingerprint": "md5(c.subject) || md5(c.body)",
        "assignee": f"case m.assignee when '{PERSON}' then 'agent-' || c.person else m.assignee end",
    },
    "events": {
        "changes": f"""case
            when m.seq = 1 then m.changes || jsonb_build_object(
              'customer_id', c.customer_id, 'customer_email', c.customer_id || '@example.com', 'subject', c.subject,
              'body', c.body, 'fingerprint', md5(c.subject) || md5(c.body))
            when m.changes->>'assignee' = '{PERSON}' then
              m.changes || jsonb_build_object('assignee', 'agent-' || c.person)
            else m.changes end""",
        "payload": f"""case when m.event_type = 'message' then
            m.payload || jsonb_build_object('message_id', {_MESSAGE.format("(m.payload->>'message_id')")})
            else m.payload end""",
    },
    "messages": {"id": _MESSAGE.format("m.id")},
    "checkpoints": {"thread_id": "c.id::text"},
    # Kept by a worker that lives as long as the benchmark, and not due before its end.
    "leases": {"expires_at": "now() + interval '1 day'"},
    "timers": {"due_at": "greatest(m.due_at + (c.created_at - t.created_at), now() + interval '1 hour')"},
    "outbox": {},
    "dead_letters": {"id": "md5('letter ' || c.n)::uuid"},
}
"""By table, the columns in which a copy differs from its mould. Times do by as much as it is older."""

_MOMENTS = frozenset(
    {"created_at", "started_at", "completed_at", "updated_at", "due_at", "available_at", "expires_at", "redriven_at"}
)
_ONLY = {
    "checkpoints": f"(c.age <= {WITH_CHECKPOINTS} or t.status <> 'completed')",
    # The others' messages are with a broker, or settled.
    "outbox": f"c.kind = '{Kind.PENDING}'",
}
_ORDER = {"checkpoints": "order by c.n, m.position"}
"""Where rows are told apart by the order in which they were written."""


async def _copy(database: psycopg.AsyncConnection[Any], first: int, last: int, copies: int) -> None:
    of_old = [kind for kind, count in _OF_OLD.items() for _ in range(count)]
    # A utility statement takes no parameters from the server, so the client puts them in.
    await psycopg.AsyncClientCursor(database).execute(
        _COPIES,
        {
            "first": first,
            "last": last,
            "copies": copies,
            "per_person": PER_PERSON,
            "under_way": UNDER_WAY,
            "recent": RECENT,
            "of_old": of_old + [Kind.CLOSED] * (1000 - len(of_old)),
        },
    )
    await database.execute("analyze copies")
    for table in TABLES:
        columns = await _columns(database, table)
        own = {"ticket_id": "c.id", **{moment: _later(moment) for moment in _MOMENTS}, **_OWN[table]}
        values = [own.get(name, f"m.{name}") for name in columns]
        # Names and expressions are this module's own and the catalogue's.
        statement = _COPY_ROWS.format(
            table=table,
            columns=", ".join(columns),
            values=", ".join(values),
            key=_KEY.get(table, "m.ticket_id"),
            only=_ONLY.get(table, "true"),
            order=_ORDER.get(table, ""),
        )
        await database.execute(statement.encode())
    await database.execute(
        "insert into intake_keys select md5('key ' || n)::uuid, id, created_at from copies where age <= %s",
        (WITHIN_A_DAY,),
    )


async def _columns(database: psycopg.AsyncConnection[Any], table: str) -> list[str]:
    """Those that can be written, whatever the release has added."""
    cursor = await database.execute(
        """select attname from pg_attribute where attrelid = %s::regclass and attnum > 0 and not attisdropped
           and attidentity = '' and attgenerated = '' order by attnum""",
        (table,),
    )
    return [name for (name,) in await cursor.fetchall()]


def _later(column: str) -> str:
    return f"m.{column} + (c.created_at - t.created_at)"


async def _look(database: psycopg.AsyncConnection[Any]) -> Filled:
    rows = {}
    for table in TABLES:
        cursor = await database.execute(sql.SQL("select count(*) from {}").format(sql.Identifier(table)))
        row = await cursor.fetchone()
        rows[table] = row[0] if row else 0
    cursor = await database.execute("select pg_database_size(current_database())")
    size = await cursor.fetchone()
    return Filled(rows, size[0] if size else 0)
