"""The three demos, each in databases of its own that are gone afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from random import randrange

from pydantic import SecretStr

from ticketflow import wiring
from ticketflow.cli.console import counted, err, fail, plain, say_json
from ticketflow.cli.demo.beside import Supervisor
from ticketflow.cli.demo.crash import IN_FLIGHT, Show
from ticketflow.cli.demo.job import Job
from ticketflow.cli.demo.pace import Pace
from ticketflow.cli.demo.plan import IN_HAND, LEASE_SECONDS, WORKERS, Plan, moments
from ticketflow.cli.demo.processes import Children, children
from ticketflow.cli.demo.quiet import quiet
from ticketflow.cli.demo.report import print_report, proven, report
from ticketflow.cli.demo.screen import Screen, running
from ticketflow.cli.demo.summary import item
from ticketflow.cli.throwaway import own_server, throwaway_database, until_told
from ticketflow.domain.errors import TicketflowError
from ticketflow.llm.offline import NAME as OFFLINE
from ticketflow.samples import articles
from ticketflow.settings import Settings
from ticketflow.telemetry import logs
from ticketflow.wiring import Application

PACE = Pace(0.2, 0.4)


def demo(settings: Settings, count: int, as_json: bool, *, crash: bool, compare: bool, seed: int | None) -> int:
    """Run ``count`` sample tickets: in this process, or with ``crash`` or ``compare`` in worker processes.

    Returns 1 when anything is lost, or when the audit finds anything.
    """
    logs.configure("ERROR")
    try:
        return asyncio.run(until_told(_demo(settings, count, as_json, crash, compare, seed)))
    except TicketflowError as error:
        return fail(error)


async def _demo(settings: Settings, count: int, as_json: bool, crash: bool, compare: bool, seed: int | None) -> int:
    async with own_server(settings) as server, throwaway_database(server, "demo") as url:
        # Its own database needs its own queue too: a shared RabbitMQ would hand our messages to other workers.
        alone = settings.model_copy(update={"database_url": SecretStr(url), "rabbitmq_url": None})
        if not crash and not compare:
            return await quiet(alone, count, as_json)
        seed = randrange(10_000) if seed is None else seed
        ours = alone.model_copy(
            update={
                "worker_concurrency": IN_HAND,
                "lease_seconds": LEASE_SECONDS,
                "sweep_after_seconds": 2 * LEASE_SECONDS,
                "drain_seconds": 5.0,
                "db_pool_size": 4,
            }
        )
        pace = PACE if settings.model_label is None else None
        plan = Plan(Job(ours, pace, count), seed, moments(seed, count) if crash else ())
        async with _plan_beside(server, plan, compare) as beside, children() as started:
            return await _show(plan, beside, started, as_json)


@contextlib.asynccontextmanager
async def _plan_beside(server: str, plan: Plan, wanted: bool) -> AsyncIterator[Plan | None]:
    """The same for the plain loop, with the same articles in a database of its own; None where none is wanted."""
    if not wanted:
        yield None
        return
    async with throwaway_database(server, "demo") as url:
        settings = plan.job.settings.model_copy(update={"database_url": SecretStr(url)})
        async with wiring.connected(settings, auto_migrate=True) as app:
            await app.library.add(articles())
        with tempfile.TemporaryDirectory(prefix="ticketflow-demo-") as folder:
            job = Job(settings, plan.job.pace, plan.job.tickets, Path(folder) / "answers.jsonl")
            yield Plan(job, plan.seed, plan.moments)


async def _show(plan: Plan, plan_beside: Plan | None, started: Children, as_json: bool) -> int:
    async with wiring.connected(plan.job.settings, auto_migrate=True) as app:
        await app.library.add(articles())
        _announce(plan, app)
        screen = Screen(lambda: running(show.now, beside.now if beside else None))
        show = Show(app, started, plan, screen.tell)
        beside = Supervisor(started, plan_beside, screen.tell) if plan_beside else None
        async with screen.shown():
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(show.run())
                    if beside is not None:
                        group.create_task(beside.run())
            except ExceptionGroup as failed:
                raise failed.exceptions[0] from failed
    figures = report(plan, show.now, beside.now if beside else None)
    if as_json:
        say_json({**figures, "items": [item(ticket) for ticket in show.now.tickets]})
    else:
        print_report(plan, show.now, figures)
    return 0 if proven(plan, figures) else 1


def _announce(plan: Plan, app: Application) -> None:
    model = plain(plan.job.settings.model_label or OFFLINE)
    err.print(
        f"{counted(plan.job.tickets, 'ticket')}, {WORKERS} worker processes with {IN_FLIGHT} tickets in flight, "
        f"{app.broker_label}, model {model}"
    )
    if plan.job.pace is not None:
        err.print(f"{plan.job.pace} are added to each call of the model, as a real one would take")
    if plan.moments:
        err.print(
            f"{counted(len(plan.moments), 'kill')} with SIGKILL on the way, seed {plan.seed}; "
            f"a lease of {LEASE_SECONDS:g} s, where 30 are usual, and killed workers are replaced"
        )
