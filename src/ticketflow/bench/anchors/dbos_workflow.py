"""The same six steps as a DBOS workflow: each step's answer is durable before the next one starts.

Workflow and steps are asynchronous and run in the caller's event loop. They do what Ticketflow's do, by the same code,
and give back the same JSON; there is no claim, no trail and no settlement. Of the ways to start a workflow the direct
call is the cheapest: ``start_workflow_async`` takes the same writes and a task more, and a queue, even one that is
polled every 50 ms, takes further writes to put in and to take out (twice the processor time, measured). The pool has
DBOS's default of 20 connections, and ``max_executor_threads`` gives it as many threads, as each call to the database
takes one: without that bound DBOS starts more threads than there are connections, and a ticket costs more. JSON in
place of its own pickles is slower. No admin server, Conductor or telemetry; the log is silent. ``use_listen_notify``
stays on: these workflows neither send nor wait for notifications, so it costs nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

from langgraph.runtime import Runtime

from ticketflow.bench.anchors import timed
from ticketflow.bench.frame import Contender, of_development
from ticketflow.bench.stand_ins import TEXT, Unrecorded, ticket, tools
from ticketflow.workflow.graph import STEPS
from ticketflow.workflow.state import FLOW_VERSION, RunContext
from ticketflow.workflow.steps.frame import Node, framed

CONNECTIONS = 20

Workflow = Callable[[dict[str, str]], Awaitable[Any]]


@asynccontextmanager
async def workflow(url: str) -> AsyncIterator[Contender]:
    """DBOS with its tables in this database, for as long as the block lasts; there is one DBOS to a process."""
    with of_development():
        from dbos import DBOS

    run_ticket = _declared(DBOS)
    DBOS(
        config={
            "name": "ticketflow-bench",
            "application_version": "bench",
            "system_database_url": url,
            "sys_db_pool_size": CONNECTIONS,
            "max_executor_threads": CONNECTIONS,
            "log_level": "ERROR",
        }
    )
    await asyncio.to_thread(DBOS.launch)
    try:

        async def one() -> None:
            await run_ticket({"id": str(uuid4()), "subject": "Keypad dark", "body": TEXT})

        async def run(tickets: int, in_flight: int) -> float:
            return await timed(one, tickets, in_flight)

        yield run
    finally:
        # DBOS has made its own threads those of the event loop, and takes them away.
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor())
        await asyncio.to_thread(DBOS.destroy, destroy_registry=True)


def _declared(dbos: Any) -> Workflow:
    kit = tools()
    steps = [_step(dbos, name.value, framed(name.value, step)) for name, step in STEPS.items()]

    async def six_steps(given: dict[str, str]) -> Any:
        current = replace(ticket(), id=UUID(given["id"]), subject=given["subject"], body=given["body"])
        context = RunContext(current, kit, Unrecorded())
        state: dict[str, Any] = {"flow_version": FLOW_VERSION}
        for step in steps:
            state |= await step(state, context)
        return state["finalize"]

    declared: Workflow = dbos.workflow(name="six_steps")(six_steps)
    return declared


def _step(dbos: Any, name: str, node: Node) -> Callable[[Any, RunContext], Awaitable[dict[str, Any]]]:
    async def step(state: Any, context: RunContext) -> dict[str, Any]:
        return await node(state, Runtime(context=context))

    declared: Callable[[Any, RunContext], Awaitable[dict[str, Any]]] = dbos.step(name=name)(step)
    return declared
