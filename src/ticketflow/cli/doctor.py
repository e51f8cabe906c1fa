"""``doctor``: check every part and say what to do about those that are ill."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass

from ticketflow import wiring
from ticketflow.cli.console import counted, out, plain, say_json
from ticketflow.domain.errors import BrokerUnavailable, ConfigurationError, TicketflowError
from ticketflow.measuring import Measured
from ticketflow.settings import Settings
from ticketflow.telemetry import logs
from ticketflow.telemetry.metrics import Metrics
from ticketflow.wiring import Application
from ticketflow.workflow.routes import load as load_routes


@dataclass(frozen=True, slots=True)
class Check:
    """One part's state. ``advice`` is what to do or what would be better, and empty where there is nothing."""

    part: str
    ok: bool
    finding: str
    advice: str = ""


def doctor(settings: Settings, as_json: bool) -> int:
    """Returns 1 when any part is ill."""
    logs.configure("ERROR")
    checks = asyncio.run(examine(settings))
    if as_json:
        say_json([asdict(check) for check in checks])
    else:
        for check in checks:
            out.print(f"{'[green]ok[/] ' if check.ok else '[red]ill[/]'}  {check.part:<9}  {plain(check.finding)}")
            if check.advice:
                out.print(f"     {'':<9}  {plain(check.advice)}")
    return 0 if all(check.ok for check in checks) else 1


async def examine(settings: Settings) -> list[Check]:
    """Every part that can be looked at; the others' ills are not known where there is no database."""
    async with AsyncExitStack() as stack:
        try:
            app = await stack.enter_async_context(wiring.connected(settings, auto_migrate=settings.embedded))
        except TicketflowError as error:
            checks = [_ill("database", error, _advice(settings, error))]
        else:
            database = Check("database", True, app.database_label, app.database_advice)
            checks = [database, await _queue(app), await _knowledge(app)]
    return [*checks, await _access(settings), _rules(settings), await _model(settings)]


def _advice(settings: Settings, error: TicketflowError) -> str:
    """What to do about a database that is not to be had, where the finding does not say it already."""
    if isinstance(error, ConfigurationError):
        return ""
    if settings.over_rest:
        return "check SUPABASE_URL, and in the dashboard that the project runs"
    return "check DATABASE_URL and that the server runs"


async def _queue(app: Application) -> Check:
    try:
        async with asyncio.timeout(10):
            await app.broker.ping()
    except TimeoutError:
        return _ill("queue", BrokerUnavailable("no answer within 10 seconds"), "check RABBITMQ_URL: host and port")
    except TicketflowError as error:
        return _ill("queue", error, "check RABBITMQ_URL: host, user, password, virtual host")
    return Check("queue", True, app.broker_label)


async def _knowledge(app: Application) -> Check:
    try:
        found = await app.library.count()
    except TicketflowError as error:
        return _ill("knowledge", error, "")
    if found == 0:
        advice = "import some: `ticketflow kb import FOLDER`"
        return Check("knowledge", False, "there are no articles, so no answer can cite one", advice)
    return Check("knowledge", True, counted(found, "article") if found < 1000 else "at least 1000 articles")


async def _access(settings: Settings) -> Check:
    try:
        wiring.check_access(settings)
    except ConfigurationError as error:
        return _ill("access", error, "")
    try:
        await wiring.check_users_keys(settings)
    except TicketflowError as error:
        # Ticketflow's own tokens do without.
        return Check("access", True, settings.access_label, str(error))
    return Check("access", True, settings.access_label)


def _rules(settings: Settings) -> Check:
    try:
        rules = load_routes(settings.routes_file)
    except ConfigurationError as error:
        return _ill("routing", error, "")
    return Check("routing", True, f"{counted(len(rules), 'rule')} ({settings.routes_file or 'the shipped ones'})")


async def _model(settings: Settings) -> Check:
    asked = wiring.model(settings, Measured(Metrics()))
    try:
        await asked.check()
    except TicketflowError as error:
        return _ill("model", error, "check OPENAI_API_KEY, OPENAI_BASE_URL and OPENAI_MODEL")
    finally:
        await asked.aclose()
    if settings.model_label is None:
        return Check("model", True, f"{asked.name}: rules, not a language model")
    return Check("model", True, f"{asked.name} answered a question in the form that was asked for")


def _ill(part: str, error: Exception, advice: str) -> Check:
    return Check(part, False, logs.redacted(str(error)), advice)
