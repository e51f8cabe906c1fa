"""A database with everything that works on it, for tests that go one operation at a time and look after each."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar
from uuid import UUID

import orjson
import psycopg

from ticketflow.db.checkpoints import CheckpointSaver
from ticketflow.db.codec import event_from
from ticketflow.db.commits import Commits
from ticketflow.db.gateway import Gateway
from ticketflow.db.leases import Leases
from ticketflow.db.outbox import Outbox
from ticketflow.db.postgres import PostgresGateway
from ticketflow.db.reads import Reads
from ticketflow.domain.replay import lineage
from ticketflow.domain.tickets import Status
from ticketflow.services.again import Again
from ticketflow.services.conversation import Conversation
from ticketflow.services.intake import Intake
from ticketflow.services.steer import Steer
from ticketflow.services.transitions import Transitions

T = TypeVar("T")
Rows = dict[str, list[dict[str, Any]]]
LONG = timedelta(hours=1)
WORKERS: Mapping[str, Sequence[str]] = {"w-1": ["1"], "w-2": ["1"], "w-next": ["2", "1"], "w-old": ["1"]}
"""The workers and the flows that they know; one is of a release that starts tickets on a new one, and the last of one
that knew no lifecycle."""
OLD = "w-old"

_LOOKS = {
    "tickets": ("*", "id"),
    "events": ("*", "id"),
    "leases": ("*, expires_at <= clock_timestamp() as expired", "ticket_id"),
    "outbox": ("*, available_at <= clock_timestamp() as available", "id"),
    "timers": ("*, due_at <= clock_timestamp() as due, taken_until > clock_timestamp() as taken", "ticket_id, kind"),
    "intake_keys": ("*", "key"),
    "wake_ups": ("*", "ticket_id"),
    "messages": ("*", "id"),
    "dead_letters": ("*", "id"),
    "checkpoints": ("*", "position"),
    "checkpoint_writes": ("*", "thread_id, checkpoint_ns, checkpoint_id, task_id, idx"),
}
"""What is looked at of each table, and in which order."""
_SNAPSHOT = "select json_build_object({})::text".format(
    ", ".join(
        f"'{name}', (select json_agg(r) from (select {look} from {name} order by {order}) r)"
        for name, (look, order) in _LOOKS.items()
    )
)


@dataclass(frozen=True)
class Call:
    function: str
    args: Any
    answer: Any

    def pairs(self) -> list[tuple[Any, Any]]:
        return list(zip(self.args, self.answer, strict=True))


class Wire:
    """A gateway that remembers what went over it, so that it can be sent again after a lost answer."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self.sent: list[Call] = []

    async def call(self, function: str, args: Any) -> Any:
        answer = await self._gateway.call(function, args)
        if function in ("ticketflow_commit", "ticketflow_claim"):
            self.sent.append(Call(function, args, answer))
        return answer

    async def again(self, function: str, args: Any) -> Any:
        return await self._gateway.call(function, args)

    async def ping(self) -> None:
        await self._gateway.ping()

    async def aclose(self) -> None:
        await self._gateway.aclose()


class NoTakeUp:
    """The gateway of a worker from before the lifecycle, whose claims make nobody the assignee."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    async def call(self, function: str, args: Any) -> Any:
        return await self._wire.call(
            function, {name: given for name, given in args.items() if name not in ("take_up", "messages")}
        )

    async def ping(self) -> None:
        await self._wire.ping()

    async def aclose(self) -> None:
        await self._wire.aclose()


class Unwatched:
    """Whoever counts."""

    def created(self, channel: Any) -> None: ...

    def processed(self, status: Status, seconds: float) -> None: ...


@dataclass
class Site:
    runner: asyncio.Runner
    wire: Wire
    sql: psycopg.Connection[Any]

    def __post_init__(self) -> None:
        self.workers = [
            Leases(NoTakeUp(self.wire) if name == OLD else self.wire, name, LONG, flows)
            for name, flows in WORKERS.items()
        ]
        self.processes = [(Commits(self.wire), Outbox(self.wire)) for _ in range(2)]
        """Two that do the same at the same time, where that matters."""
        self.commits, self.outbox = self.processes[0]
        self.reads = Reads(self.wire)
        self.checkpoints = CheckpointSaver(self.wire)
        self.intake = Intake(self.commits, Unwatched())
        self.steer = Steer(self.commits, self.reads, Unwatched())
        # People come by another process than the workers.
        again, theirs = Again(self.reads, timedelta()), self.processes[1][0]
        self.transitions = Transitions(theirs, self.reads, again, LONG)
        self.conversation = Conversation(theirs, self.reads, again)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    def snapshot(self) -> Rows:
        """Every row of every table that belongs to a ticket."""
        row = self.sql.execute(_SNAPSHOT).fetchone()
        assert row
        return {table: rows or [] for table, rows in orjson.loads(row[0]).items()}

    def clear(self) -> None:
        """Back to an empty database. Truncating costs the server much more than deleting these few rows."""
        self.sql.execute(
            "set session_replication_role = replica;"
            + "".join(f"delete from {table};" for table in _LOOKS)
            + "set session_replication_role = default"
        )
        self.wire.sent.clear()

    # Time passes, or a process dies: what no function does ---------------------------------------------------------

    def expire_lease(self, ticket_id: UUID) -> None:
        self._past("leases", "expires_at", ticket_id)

    def timer_due(self, ticket_id: UUID) -> None:
        self._past("timers", "due_at", ticket_id)
        self._past("timers", "taken_until", ticket_id)

    def flow_wait_over(self, ticket_id: UUID) -> None:
        self._past(
            "outbox", "available_at", ticket_id, "and reason = 'other_flow' and available_at < now() + '1 minute'"
        )

    def outbox_hold_over(self, ticket_id: UUID) -> None:
        self._past("outbox", "available_at", ticket_id)

    def _past(self, table: str, column: str, ticket_id: UUID, also: str = "") -> None:
        self.sql.execute(
            f"update {table} set {column} = clock_timestamp() - interval '1 second'"
            f" where ticket_id = %s and {column} > clock_timestamp() {also}",
            (ticket_id,),
        )


@contextmanager
def open_site(database_url: str) -> Iterator[Site]:
    """Open a migrated database, with an event loop of its own."""
    with asyncio.Runner() as runner, psycopg.connect(database_url, autocommit=True) as sql:
        # What is tested is logic, not what a power cut leaves: no need for thousands of commits to wait for the disk.
        sql.execute("set synchronous_commit = off")
        sql.execute(f"alter database {sql.info.dbname} set synchronous_commit = off")
        gateway = PostgresGateway(database_url, 4)
        runner.run(gateway.open())
        try:
            yield Site(runner, Wire(gateway), sql)
        finally:
            runner.run(gateway.aclose())


def seen(rows: Rows, ticket_id: UUID) -> dict[str, Any]:
    """One ticket in a snapshot, in the terms of the model."""
    key = str(ticket_id)
    of = {table: [row for row in found if row.get("ticket_id") == key] for table, found in rows.items()}
    [ticket] = [row for row in rows["tickets"] if row["id"] == key]
    events = [event_from(row) for row in sorted(of["events"], key=lambda row: row["seq"])]
    steps = lineage(events)
    copied = (
        "status",
        "waiting_for",
        "version",
        "attempt",
        "excused_attempts",
        "flow_version",
        "lifecycle",
        "assignee",
    )
    said = sorted(of["messages"], key=lambda row: row["seq"])
    return {
        **{column: ticket[column] for column in (*copied, "category", "priority", "team", "tags")},
        "result": ticket["result"] is not None,
        "error": ticket["error"] is not None,
        "events": len(events),
        "steps": [(step.step_name, step.payload["round"], step.payload["output"]["mark"]) for step in steps],
        "checkpoints": sum(row["thread_id"] == key for row in rows["checkpoints"]),
        "lease": next(
            ((row["token"], row["worker"], row["takeovers"], row["expired"], row["released"]) for row in of["leases"]),
            None,
        ),
        "timers": sorted((row["kind"], row["due"], row["taken"]) for row in of["timers"]),
        "messages": [(row["kind"], row["author"]) for row in said],
        "outbox": (len(of["outbox"]), sum(row["available"] for row in of["outbox"])),
        "open_dead_letters": sum(row["redriven_at"] is None for row in of["dead_letters"]),
    }
