"""Commands for whoever runs the system: migrate, verify."""

from __future__ import annotations

import asyncio
from dataclasses import asdict

from rich.markup import escape

from ticketflow import store, wiring
from ticketflow.cli.console import counted, fail, out, plain, say_json, with_application
from ticketflow.db.migrate import migrate as apply
from ticketflow.db.migrate import pending
from ticketflow.domain.errors import ConfigurationError, TicketflowError
from ticketflow.services.verify import verify as audit
from ticketflow.settings import Settings
from ticketflow.wiring import Application


def migrate(settings: Settings, check: bool) -> int:
    """Apply what is missing, or with ``check`` only say so. Returns the exit code."""

    async def run() -> int:
        if settings.over_rest:
            return await _check_over_rest(settings, check)
        async with store.database(settings) as (url, label):
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


async def _check_over_rest(settings: Settings, check: bool) -> int:
    """PostgREST calls functions and makes none. Raises ``ConfigurationError`` for the rest, and when it is behind."""
    if not check:
        raise ConfigurationError(
            "migrations take a direct connection: set DATABASE_URL to the Supabase project's connection string, or use "
            "`supabase db push` (docs/SUPABASE.md)"
        )
    async with wiring.connected(settings, auto_migrate=False) as app:
        out.print(f"{escape(app.database_label)} is up to date")
    return 0


def verify(settings: Settings, as_json: bool) -> int:
    """The consistency audit. Returns 1 when anything is wrong."""

    async def run(app: Application) -> int:
        verdict = await audit(app.reads)
        if as_json:
            say_json(asdict(verdict))
        else:
            for violation in verdict.violations:
                out.print(f"[red]violated[/]  {violation.ticket_id}  {plain(violation.rule)}: {plain(violation.found)}")
            wrong = counted(len(verdict.violations), "violation")
            state = f"[red]{wrong}[/]" if verdict.violations else "[green]consistent[/]"
            out.print(f"{counted(verdict.tickets, 'ticket')}, {counted(verdict.events, 'event')}: {state}")
        return 1 if verdict.violations else 0

    return with_application(settings, run)
