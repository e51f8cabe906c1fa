"""Commands for whoever runs the system: migrate, verify, doctor, kb."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from pathlib import Path

from rich.markup import escape

from ticketflow import wiring
from ticketflow.cli.console import err, fail, out, plain, say_json, with_application
from ticketflow.db.migrate import migrate as apply
from ticketflow.db.migrate import pending
from ticketflow.domain.errors import TicketflowError
from ticketflow.knowledge.articles import read
from ticketflow.services.verify import verify as audit
from ticketflow.settings import Settings
from ticketflow.telemetry import logs
from ticketflow.telemetry.metrics import Metrics
from ticketflow.wiring import Application, Measured


def migrate(settings: Settings, check: bool) -> int:
    """Apply what is missing, or with ``check`` only say so. Returns the exit code."""

    async def run() -> int:
        async with wiring.database(settings) as (url, label):
            if check:
                behind = await pending(url)
                for migration in behind:
                    out.print(f"missing  {migration.name}")
            else:
                behind = []
                for migration in await apply(url):
                    out.print(f"applied  {migration.name}")
            if not behind:
                out.print(f"{escape(label)} is up to date")
            return 1 if behind else 0

    try:
        return asyncio.run(run())
    except TicketflowError as error:
        return fail(error)


def verify(settings: Settings, as_json: bool) -> int:
    """The consistency audit. Returns 1 when anything is wrong."""

    async def run(app: Application) -> int:
        verdict = await audit(app.reads)
        if as_json:
            say_json(asdict(verdict))
        else:
            for violation in verdict.violations:
                out.print(f"[red]violated[/]  {violation.ticket_id}  {plain(violation.rule)}: {plain(violation.found)}")
            state = f"[red]{len(verdict.violations)} violations[/]" if verdict.violations else "[green]consistent[/]"
            out.print(f"{verdict.tickets} tickets, {verdict.events} events: {state}")
        return 1 if verdict.violations else 0

    return with_application(settings, run)


def kb_import(settings: Settings, path: Path) -> int:
    async def run(app: Application) -> int:
        stored = await app.library.add(read(path))
        out.print(f"{stored} articles stored")
        return 0 if stored else 1

    return with_application(settings, run)


def kb_search(settings: Settings, query: str, limit: int, as_json: bool) -> int:
    async def run(app: Application) -> int:
        hits = await app.library.search(query, limit)
        if as_json:
            say_json([{"id": hit.id, "title": hit.title, "score": hit.score, "snippet": hit.snippet} for hit in hits])
            return 0
        for hit in hits:
            out.print(f"[bold]{plain(hit.title)}[/]  [dim]{plain(hit.id)}  {hit.score:.3f}[/]")
            out.print(f"  {plain(hit.snippet)}")
        if not hits:
            err.print("nothing found")
        return 0

    return with_application(settings, run)


def doctor(settings: Settings) -> int:
    """Check every part and say what to do about those that are ill. Returns 1 when any is."""
    logs.configure("ERROR")
    return asyncio.run(_doctor(settings))


async def _doctor(settings: Settings) -> int:
    ill = 0

    def report(part: str, problem: str | None, advice: str, fine: str) -> None:
        nonlocal ill
        ill += problem is not None
        if problem is None:
            out.print(f"[green]ok[/]    {part:<9} {plain(fine)}")
        else:
            out.print(f"[red]ill[/]   {part:<9} {plain(logs.redacted(problem))}\n      {'':<9} {plain(advice)}")

    try:
        async with wiring.database(settings) as (url, label):
            behind = await pending(url)
            embedded = settings.database_url is None
            report(
                "database",
                f"{len(behind)} migrations are missing" if behind and not embedded else None,
                "run `ticketflow migrate`",
                label,
            )
    except TicketflowError as error:
        report("database", str(error), "check DATABASE_URL and that the server runs", "")
    else:
        if not behind or embedded:
            try:
                async with wiring.connected(settings, auto_migrate=embedded) as app:
                    try:
                        await app.broker.ping()
                        problem = None
                    except TicketflowError as error:
                        problem = str(error)
                    report("queue", problem, "check RABBITMQ_URL: host, user, password, virtual host", app.broker_label)
                    found = await app.library.count()
                    report(
                        "knowledge",
                        None if found else "there are no articles, so no answer can cite one",
                        "import some: `ticketflow kb import FOLDER`",
                        f"{found if found < 1000 else 'at least 1000'} articles",
                    )
            except TicketflowError as error:
                report("queue", str(error), "mend the database first", "")
    asked = wiring.model(settings, Measured(Metrics()))
    try:
        await asked.check()
        problem = None
    except TicketflowError as error:
        problem = str(error)
    finally:
        await asked.aclose()
    fine = asked.name if settings.model_label else f"{asked.name}: rules, not a language model"
    report("model", problem, "check OPENAI_API_KEY, OPENAI_BASE_URL and OPENAI_MODEL", fine)
    return 1 if ill else 0
