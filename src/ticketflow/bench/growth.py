"""Row: what each operation costs in a database of 10 thousand tickets, and of a million.

The databases are filled by ``filling`` and stand on the same server. Each round asks each of them in turn, operation by
operation, so that whatever else the machine does meets all alike. Statistics are fresh and caches warm: each operation
has run before on the same rows.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import cycle
from typing import Any
from uuid import uuid4

from ticketflow.bench.filling import Filled, fill
from ticketflow.bench.frame import Bench, Goal, Measurement, Plot, Spread
from ticketflow.bench.moulds import PERSON, RARE_TAG
from ticketflow.bench.stand_ins import TEXT
from ticketflow.db.commits import Commits
from ticketflow.db.connecting import connect
from ticketflow.db.leases import Lease, Leases
from ticketflow.db.outbox import Outbox
from ticketflow.db.postgres import PostgresGateway
from ticketflow.db.reads import After, Reads
from ticketflow.db.tallies import Tallies
from ticketflow.domain.change import Change, CheckpointRow, HoldsLease
from ticketflow.domain.errors import TicketflowError
from ticketflow.domain.events import EventType, NewEvent
from ticketflow.domain.roles import PIPELINE
from ticketflow.domain.tickets import Channel, Ticket
from ticketflow.services.caller import Caller
from ticketflow.services.intake import Intake, NewTicket
from ticketflow.workflow.state import FLOW_VERSION

STEPS = (100, 10, 1)
"""The sizes are the plan's number of tickets divided by these."""

CALLS = 20
"""Of one operation in a round, of which the median counts."""

BATCH = 100
TALLY_BATCH = 5_000
PAGE = 50
KNOWN = 400
"""Tickets that are asked for by id, by customer or by place in the list."""

LONG = timedelta(hours=1)
GOALS = ("intake", "intake_batched", "get", "list", "list_of_customer", "list_deep", "claim_and_step")

Operation = Callable[["Desk"], Awaitable[float]]
"""Does it once and returns the seconds that it took, without what had to be made ready for it."""


@dataclass
class Desk:
    """One filled database, and how it is asked."""

    tickets: int
    gateway: PostgresGateway
    known: Sequence[Ticket]
    filled: Filled
    sent: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.reads, self.outbox, self.commits = Reads(self.gateway), Outbox(self.gateway), Commits(self.gateway)
        self.intake = Intake(self.commits, _Uncounted())
        self.leases = Leases(self.gateway, "bench", LONG, [FLOW_VERSION])
        self._turn = cycle(self.known)

    def some(self) -> Ticket:
        return next(self._turn)


class _Uncounted:
    def created(self, channel: Channel) -> None:
        """Not measured here."""


async def measure(bench: Bench) -> Measurement:
    """Fill three databases, warm them, and ask them in turn."""
    plan = bench.plan
    async with AsyncExitStack() as stack:
        desks = []
        for tickets in [plan.growth_tickets // step for step in STEPS]:
            url = await stack.enter_async_context(bench.database())
            desks.append(await stack.enter_async_context(_desk(url, bench, tickets)))
        for desk in desks:
            for operation in OPERATIONS.values():
                for _ in range(CALLS):
                    await operation(desk)
        seconds: dict[str, list[list[float]]] = {name: [[] for _ in desks] for name in OPERATIONS}
        for _ in range(plan.rounds):
            for name, operation in OPERATIONS.items():
                for of_desk, costs in zip(seconds[name], await _turns(operation, desks), strict=True):
                    of_desk.append(statistics.median(costs))
        return _measurement(bench, desks, seconds)


async def _turns(operation: Operation, desks: Sequence[Desk]) -> list[list[float]]:
    """Call by call in turn."""
    costs: list[list[float]] = [[] for _ in desks]
    for _ in range(CALLS):
        for of_desk, desk in zip(costs, desks, strict=True):
            of_desk.append(await operation(desk))
    return costs


def _measurement(bench: Bench, desks: Sequence[Desk], seconds: Mapping[str, list[list[float]]]) -> Measurement:
    small, large = desks[0], desks[-1]
    figures = {name: Spread.of_ratios(each[-1], each[0]) for name, each in seconds.items()}
    for name, each in seconds.items():
        figures[f"{name}_ms_small"] = Spread.of([1000 * cost for cost in each[0]])
        figures[f"{name}_ms_large"] = Spread.of([1000 * cost for cost in each[-1]])
    lines = {
        name: [(desk.tickets, 1000 * statistics.median(costs)) for desk, costs in zip(desks, each, strict=True)]
        for name, each in seconds.items()
    }
    return Measurement(
        what=f"cost of an operation with {large.tickets:,} tickets, against {small.tickets:,}",
        setting={
            "tickets": [desk.tickets for desk in desks],
            "rounds": bench.plan.rounds,
            "calls_a_round": CALLS,
            "caches": "warm",
            "statistics": "fresh",
        },
        figures=figures,
        goals=[Goal(name, at_most=1.5) for name in GOALS],
        details={
            "rows": {str(desk.tickets): desk.filled.rows for desk in desks},
            "bytes": {str(desk.tickets): desk.filled.bytes for desk in desks},
        },
        plots=[Plot("growth", "Cost against table size", "tickets", "milliseconds", lines, log_x=True, log_y=True)],
    )


@asynccontextmanager
async def _desk(url: str, bench: Bench, tickets: int) -> AsyncIterator[Desk]:
    filled = await fill(url, bench.settings, tickets)
    await _tally(url)
    async with _opened(url, tickets, filled) as desk:
        yield desk


async def _tally(url: str) -> None:
    """As the workers of two years would have: all that has ended."""
    gateway = PostgresGateway(url, 1)
    await gateway.open()
    try:
        tallies, counted = Tallies(gateway, timedelta(0)), 0
        while counted == 0:
            more = True
            while more:
                taken, more = await tallies.take_next(TALLY_BATCH)
                counted += taken
    finally:
        await gateway.aclose()


@asynccontextmanager
async def _opened(url: str, tickets: int, filled: Filled) -> AsyncIterator[Desk]:
    # One connection: what a statement costs on its first runs, before its plan is kept, is no matter of size.
    gateway = PostgresGateway(url, 1)
    await gateway.open()
    try:
        async with await connect(url) as database:
            cursor = await database.execute(
                """select id from tickets tablesample bernoulli (least(100, 100.0 * %s * 3 / %s))
                   where lifecycle = 'closed' and version = 14 order by md5(id::text) limit %s""",
                (KNOWN, tickets, KNOWN),
            )
            ids = [row[0] for row in await cursor.fetchall()]
        known = [ticket for ticket in [await Reads(gateway).ticket(each) for each in ids] if ticket is not None]
        yield Desk(tickets, gateway, known, filled)
    finally:
        await gateway.aclose()


async def _timed(work: Awaitable[Any]) -> float:
    started = time.perf_counter()
    await work
    return time.perf_counter() - started


async def _took(work: Awaitable[Any], rows: int = 1) -> float:
    """As ``_timed``, of something that must find so many rows at least: what finds nothing is no measure."""
    started = time.perf_counter()
    found = await work
    seconds = time.perf_counter() - started
    if found is None or (isinstance(found, list) and len(found) < rows):
        raise TicketflowError(f"the benchmark's own database lacks what was asked for: {found!r:.80}")
    return seconds


async def _intake(desk: Desk) -> float:
    return await _timed(desk.intake.take_in(_new(), Caller("bench")))


async def _intake_batched(desk: Desk) -> float:
    return await _timed(desk.intake.take_in_many([_new() for _ in range(BATCH)], Caller("bench")))


def _new() -> NewTicket:
    # By its own text: with an idempotency key it would not be looked for among the texts of the last day.
    key = uuid4().hex
    return NewTicket(f"cus_{key[:6]}", "Keypad dark", f"{TEXT} {key}")


async def _get(desk: Desk) -> float:
    return await _took(desk.reads.ticket(desk.some().id))


async def _trail(desk: Desk) -> float:
    return await _took(desk.reads.events(desk.some().id))


def _listed(limit: int = PAGE, rows: int = 1, **filters: Any) -> Operation:
    async def listed(desk: Desk) -> float:
        return await _took(desk.reads.tickets(filters, sort="-created_at", limit=limit), rows)

    return listed


async def _list_of_customer(desk: Desk) -> float:
    wanted = {"customer_id": [desk.some().customer_id]}
    return await _took(desk.reads.tickets(wanted, sort="-created_at", limit=PAGE))


async def _list_of_person(desk: Desk) -> float:
    return await _took(desk.reads.tickets({"assignee": [PERSON]}, sort="-created_at", limit=10))


async def _list_deep(desk: Desk) -> float:
    at = desk.some()
    return await _took(desk.reads.tickets({}, sort="-created_at", limit=PAGE, after=After(at.created_at, at.id)))


async def _list_by_words(desk: Desk) -> float:
    """Words that one ticket has."""
    words = desk.some().subject.rsplit(maxsplit=1)[1]
    return await _took(desk.reads.tickets({"q": words}, sort="-created_at", limit=PAGE))


async def _history(desk: Desk) -> float:
    return await _timed(desk.reads.history(desk.some().customer_id, uuid4()))


async def _claim_and_step(desk: Desk) -> float:
    taken = await desk.intake.take_in(_new(), Caller("bench"))
    started = time.perf_counter()
    lease = await desk.leases.claim(taken.ticket_id, takeover=False)
    if not isinstance(lease, Lease):
        raise TicketflowError(f"a ticket of the benchmark's own was not to be had: {lease}")
    await desk.commits.apply(_first_step(lease))
    return time.perf_counter() - started


def _first_step(lease: Lease) -> Change:
    saved = str(uuid4())
    payload = {"output": {"category": "technical"}, "attempt": 1, "round": 1, "checkpoint_id": saved}
    step = NewEvent(EventType.STEP_COMPLETE, PIPELINE, payload, {"category": "technical"}, step_name="classify")
    row = CheckpointRow(str(lease.ticket.id), "", saved, None, {"v": 1, "channel_versions": {}}, {}, {})
    return Change(lease.ticket.id, HoldsLease(lease.token), [step], checkpoint=row)


async def _outbox_take(desk: Desk) -> float:
    """Forget what the last one took, and take as many as the last intakes left."""
    started = time.perf_counter()
    rows = await desk.outbox.take(BATCH, LONG, desk.sent)
    seconds = time.perf_counter() - started
    desk.sent = [row.id for row in rows]
    return seconds


async def _timers_due(desk: Desk) -> float:
    return await _timed(desk.outbox.due_timers(BATCH, LONG))


async def _sweep(desk: Desk) -> float:
    return await _timed(desk.outbox.sweep(LONG))


async def _dead_letters(desk: Desk) -> float:
    return await _timed(desk.reads.dead_letters(limit=PAGE))


async def _gauges(desk: Desk) -> float:
    return await _timed(desk.reads.gauges())


async def _stats(desk: Desk) -> float:
    return await _timed(desk.reads.stats())


OPERATIONS: Mapping[str, Operation] = {
    "intake": _intake,
    "intake_batched": _intake_batched,
    "claim_and_step": _claim_and_step,
    "get": _get,
    "trail": _trail,
    "list": _listed(rows=PAGE),
    "list_deep": _list_deep,
    "list_of_customer": _list_of_customer,
    "list_of_person": _list_of_person,
    "list_of_status": _listed(status=["completed"]),
    "list_of_rare_status": _listed(limit=10, status=["failed_permanent"]),
    "list_of_team_and_status": _listed(limit=10, team=["billing"], status=["completed"]),
    "list_of_rare_tag": _listed(limit=10, tag=RARE_TAG),
    "list_by_words": _list_by_words,
    "list_by_common_word": _listed(q="clock"),
    "history": _history,
    "outbox_take": _outbox_take,
    "timers_due": _timers_due,
    "sweep": _sweep,
    "dead_letters": _dead_letters,
    "gauges": _gauges,
    "stats": _stats,
}
