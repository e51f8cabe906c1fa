"""The same compiled graph on LangGraph alone: with its own PostgreSQL saver, and with none.

The saver's documentation asks for a pool of autocommit connections. ``durability`` stays at its default, ``async``: a
step's checkpoint is written while the next step runs. ``sync``, which is what Ticketflow's worker runs with, is slower,
and ``exit`` writes nothing before the end: a crash would begin at the first step again, so it is no rival. 20
connections are more than it can use: every saver does one thing at a time, behind a lock of its own. That is why there
is a second contender, which no page of the documentation suggests: 20 savers on the one pool, a compiled graph each.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import cycle
from typing import Any

from ticketflow.bench.anchors import timed
from ticketflow.bench.frame import Contender, of_development
from ticketflow.bench.stand_ins import Unrecorded, ticket, tools
from ticketflow.workflow.graph import compile_graph
from ticketflow.workflow.state import FLOW_VERSION, RunContext

CONNECTIONS = 20


@asynccontextmanager
async def with_savers(url: str, savers: int) -> AsyncIterator[Contender]:
    """LangGraph's saver as its documentation sets it up for production, or several of them on one pool."""
    with of_development():
        from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
    from psycopg.rows import dict_row
    from psycopg_pool import AsyncConnectionPool

    pool: AsyncConnectionPool[Any] = AsyncConnectionPool(
        url,
        min_size=1,
        max_size=CONNECTIONS,
        open=False,
        kwargs={"autocommit": True, "prepare_threshold": 0, "row_factory": dict_row},
    )
    async with pool:
        made = [AsyncPostgresSaver(pool) for _ in range(savers)]
        await made[0].setup()
        yield _runner([compile_graph(saver) for saver in made])


def without_saver() -> Contender:
    """What LangGraph takes where nothing is kept."""
    return _runner([compile_graph()])


def _runner(graphs: Sequence[Any]) -> Contender:
    kit = tools()
    turns = cycle(graphs)

    async def one() -> None:
        current = ticket()
        await next(turns).ainvoke(
            {"flow_version": FLOW_VERSION},
            {"configurable": {"thread_id": str(current.id)}},
            context=RunContext(current, kit, Unrecorded()),
        )

    async def run(tickets: int, in_flight: int) -> float:
        return await timed(one, tickets, in_flight)

    return run
