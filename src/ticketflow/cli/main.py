"""The ``ticketflow`` command. Commands import what they need when they run, so that ``--help`` answers at once."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import typer

app = typer.Typer(
    name="ticketflow",
    help="Support tickets in, answers out; none lost, nothing done twice.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Host = Annotated[str | None, typer.Option(help="Address to listen on.  [default: 127.0.0.1]")]
Port = Annotated[int | None, typer.Option(min=0, max=65535, help="Port to listen on.  [default: 8000]")]
DataDir = Annotated[Path | None, typer.Option(help="Folder for the embedded database.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
TicketId = Annotated[UUID, typer.Argument(metavar="TICKET_ID")]
Concurrency = Annotated[int | None, typer.Option(min=1, help="Tickets worked on at once.  [default: 50]")]


@app.command()
def up(
    host: Host = None,
    port: Port = None,
    data_dir: DataDir = None,
    worker: Annotated[bool, typer.Option(" /--no-worker", help="Take tickets in without working on them.")] = True,
) -> None:
    """Everything in one process: API, worker, and what they need. Ctrl-C drains."""
    from ticketflow.cli.serve import up as run

    _exit(run(_settings(host=host, port=port, data_dir=data_dir), with_worker=worker))


@app.command()
def api(host: Host = None, port: Port = None) -> None:
    """The HTTP API alone."""
    from ticketflow.cli.serve import up as run

    _exit(run(_settings(host=host, port=port), with_worker=False))


@app.command()
def worker(
    concurrency: Concurrency = None,
    metrics_port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port of /metrics.  [default: 9100]")
    ] = None,
) -> None:
    """One worker. Start as many as you like."""
    from ticketflow.worker.main import serve

    _exit(serve(_settings(worker_concurrency=concurrency, metrics_port=metrics_port)))


@app.command()
def migrate(
    check: Annotated[bool, typer.Option("--check", help="Change nothing; exit 1 when the database is behind.")] = False,
) -> None:
    """Bring the database's schema up to this release."""
    from ticketflow.cli.operate import migrate as run

    _exit(run(_settings(), check))


@app.command()
def verify(as_json: Json = False) -> None:
    """The consistency audit: every ticket's row is the fold of its trail. Exit 1 when anything is wrong."""
    from ticketflow.cli.operate import verify as run

    _exit(run(_settings(), as_json))


@app.command()
def doctor(as_json: Json = False) -> None:
    """Check database, queue, knowledge base and model, and say what to do."""
    from ticketflow.cli.doctor import doctor as run

    _exit(run(_settings(), as_json))


@app.command()
def submit(
    file: Annotated[Path, typer.Argument(help="CSV with a header line, or JSON lines.")], as_json: Json = False
) -> None:
    """Take tickets in from a file. Run it again after an interruption: nothing is taken in twice."""
    from ticketflow.cli.submit import submit as run

    _exit(run(_settings(), file, as_json))


@app.command()
def graph(
    out: Annotated[Path | None, typer.Argument(help="A .png, .svg, .mmd or .txt file; none prints here.")] = None,
) -> None:
    """A picture of the workflow, drawn from the compiled graph."""
    from ticketflow.workflow.visualize import main as run

    _exit(run([str(out)] if out else []))


@app.command()
def demo(
    tickets: Annotated[int, typer.Option(min=1, max=1000, help="How many sample tickets.")] = 30,
    as_json: Json = False,
) -> None:
    """Run the sample shop's tickets in a database of their own, with live progress and a summary."""
    from ticketflow.cli.demo import demo as run

    _exit(run(_settings(), tickets, as_json))


@app.command()
def bench(
    row: Annotated[
        list[str] | None, typer.Argument(help="Rows to measure, such as durable-steps; none is all.")
    ] = None,
    rounds: Annotated[int, typer.Option(min=1)] = 5,
    tickets: Annotated[int, typer.Option(min=1, help="Tickets a round.")] = 400,
    in_flight: Annotated[int, typer.Option(min=1)] = 50,
) -> None:
    """Ticketflow beside its anchors in one run. JSON; only the ratios mean anything."""
    from ticketflow.bench.durable_steps import Plan
    from ticketflow.cli.bench import ROWS
    from ticketflow.cli.bench import bench as run

    if unknown := set(row or ()) - ROWS.keys():
        raise typer.BadParameter(f"unknown row {min(unknown)!r}; there is {', '.join(ROWS)}")
    _exit(run(_settings(), list(row or ()), Plan(tickets, in_flight, rounds)))


tickets_app = typer.Typer(help="Look at tickets, and try them again.", no_args_is_help=True)
kb_app = typer.Typer(help="The knowledge base.", no_args_is_help=True)
dead_letters_app = typer.Typer(help="What stopped moving and waits for a person.", no_args_is_help=True)
app.add_typer(tickets_app, name="tickets")
app.add_typer(kb_app, name="kb")
app.add_typer(dead_letters_app, name="dead-letters")


@tickets_app.command("list")
def tickets_list(
    status: Annotated[str | None, typer.Option(help="pending, processing, waiting, completed, ...")] = None,
    customer_id: Annotated[str | None, typer.Option(help="Only this customer's.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 50,
    as_json: Json = False,
) -> None:
    """The newest tickets."""
    from ticketflow.cli.tickets import list_tickets as run
    from ticketflow.domain.tickets import Status

    if status is not None and status not in list(Status):
        raise typer.BadParameter(f"one of {', '.join(Status)}", param_hint="--status")
    given = {"status": status, "customer_id": customer_id}
    filters = {name: [value] for name, value in given.items() if value is not None}
    _exit(run(_settings(), filters, limit, as_json))


@tickets_app.command("show")
def tickets_show(ticket_id: TicketId, as_json: Json = False) -> None:
    """One ticket: steps, answer, cost."""
    from ticketflow.cli.tickets import show as run

    _exit(run(_settings(), ticket_id, as_json))


@tickets_app.command("events")
def tickets_events(ticket_id: TicketId, as_json: Json = False) -> None:
    """The ticket's trail."""
    from ticketflow.cli.tickets import events as run

    _exit(run(_settings(), ticket_id, as_json))


@tickets_app.command("state")
def tickets_state(
    ticket_id: TicketId,
    version: Annotated[int | None, typer.Option(min=1, help="As it was after this event.")] = None,
    at: Annotated[str | None, typer.Option(help="As it was at this time, such as 2026-01-31T12:00:00Z.")] = None,
) -> None:
    """The ticket as it was, rebuilt from its trail. JSON."""
    from datetime import datetime

    from ticketflow.cli.tickets import state as run

    try:
        moment = None if at is None else datetime.fromisoformat(at)
    except ValueError:
        moment = None
    if at is not None and (moment is None or moment.tzinfo is None or version is not None):
        raise typer.BadParameter("a time with its time zone, and not together with --version", param_hint="--at")
    _exit(run(_settings(), ticket_id, version, moment))


@tickets_app.command("retry")
def tickets_retry(ticket_id: TicketId) -> None:
    """Start the next attempt of a ticket that failed, or of one that waits for its retry."""
    from ticketflow.cli.tickets import retry as run

    _exit(run(_settings(), ticket_id))


@kb_app.command("import")
def kb_import(path: Annotated[Path, typer.Argument(help="A .md or .jsonl file, or a folder of them.")]) -> None:
    """Store articles; those with the same id are replaced."""
    from ticketflow.cli.operate import kb_import as run

    _exit(run(_settings(), path))


@kb_app.command("search")
def kb_search(query: str, limit: Annotated[int, typer.Option(min=1, max=50)] = 5, as_json: Json = False) -> None:
    """What research would find for a text."""
    from ticketflow.cli.operate import kb_search as run

    _exit(run(_settings(), query, limit, as_json))


@dead_letters_app.command("list")
def dead_letters_list(
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 50,
    include_redriven: Annotated[bool, typer.Option("--include-redriven")] = False,
    as_json: Json = False,
) -> None:
    """The newest dead letters."""
    from ticketflow.cli.tickets import dead_letters as run

    _exit(run(_settings(), limit, include_redriven, as_json))


@dead_letters_app.command("show")
def dead_letters_show(letter_id: UUID) -> None:
    """One dead letter with its payload. JSON."""
    from ticketflow.cli.tickets import dead_letter as run

    _exit(run(_settings(), letter_id))


@dead_letters_app.command("redrive")
def dead_letters_redrive(letter_id: UUID) -> None:
    """Start the next attempt of the dead letter's ticket."""
    from ticketflow.cli.tickets import redrive as run

    _exit(run(_settings(), letter_id))


def _settings(**overrides: Any) -> Any:
    from ticketflow import settings as configuration
    from ticketflow.settings import SettingsError

    try:
        return configuration.load(**overrides)
    except SettingsError as error:
        print(f"ticketflow: {error}", file=sys.stderr)  # noqa: T201
        raise typer.Exit(1) from None


def _exit(code: int) -> None:
    raise typer.Exit(code)


def main() -> int:
    """Run the command line. Returns the exit code: 0 done, 1 failed, 2 usage."""
    result = app(standalone_mode=True)
    return int(result or 0)
