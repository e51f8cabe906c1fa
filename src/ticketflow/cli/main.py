"""The ``ticketflow`` command. Commands import what they need when they run, so that ``--help`` answers at once."""

from __future__ import annotations

import errno
import os
import sys
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from ticketflow.cli.groups import dead_letters_app, kb_app, tickets_app
from ticketflow.cli.options import Json, age, leave, settings
from ticketflow.cli.token_group import token_app
from ticketflow.evaluation import Task

app = typer.Typer(
    name="ticketflow",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

app.add_typer(tickets_app, name="tickets")
app.add_typer(kb_app, name="kb")
app.add_typer(dead_letters_app, name="dead-letters")
app.add_typer(token_app, name="token")

Host = Annotated[str | None, typer.Option(help="Address to listen on.  [default: 127.0.0.1]")]
Port = Annotated[int | None, typer.Option(min=0, max=65535, help="Port to listen on.  [default: 8000]")]
DataDir = Annotated[Path | None, typer.Option(help="Folder for the embedded database.")]
Concurrency = Annotated[int | None, typer.Option(min=1, help="Tickets worked on at once.  [default: 50]")]


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        print(f"ticketflow {version('ticketflow')}")  # noqa: T201
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    """Support tickets in, answers out; none lost, nothing done twice."""


@app.command()
def up(
    host: Host = None,
    port: Port = None,
    data_dir: DataDir = None,
    no_worker: Annotated[bool, typer.Option("--no-worker", help="Take tickets in without working on them.")] = False,
    no_samples: Annotated[bool, typer.Option("--no-samples", help="Leave an empty knowledge base empty.")] = False,
) -> None:
    """Everything in one process: API, worker, and what they need. Ctrl-C drains.

    With the embedded database, a knowledge base without any article gets the sample shop's when the worker starts, so
    that the first ticket finds something to cite. As soon as it has articles of your own, nothing is added. To be rid
    of the samples: `ticketflow kb delete --samples`.
    """
    from ticketflow.cli.serve import up as run

    configured = settings(host=host, port=port, data_dir=data_dir)
    leave(run(configured, with_worker=not no_worker, with_samples=not no_samples))


@app.command()
def api(host: Host = None, port: Port = None) -> None:
    """The HTTP API alone."""
    from ticketflow.cli.serve import up as run

    leave(run(settings(host=host, port=port), with_worker=False, with_samples=False))


@app.command()
def worker(
    concurrency: Concurrency = None,
    metrics_port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port of /metrics.  [default: 9100]")
    ] = None,
) -> None:
    """One worker. Start as many as you like."""
    from ticketflow.worker.main import serve

    leave(serve(settings(worker_concurrency=concurrency, metrics_port=metrics_port)))


@app.command()
def migrate(
    check: Annotated[bool, typer.Option("--check", help="Change nothing; exit 1 when the database is behind.")] = False,
) -> None:
    """Bring the database's schema up to this release."""
    from ticketflow.cli.operate import migrate as run

    leave(run(settings(), check))


@app.command()
def verify(as_json: Json = False) -> None:
    """The consistency audit. Exit 1 when any ticket's row is not the fold of its trail, or nothing would wake it."""
    from ticketflow.cli.operate import verify as run

    leave(run(settings(), as_json))


@app.command()
def prune(
    older_than: Annotated[
        timedelta, typer.Option(parser=age, metavar="AGE", help="Ended longer ago than this: 12h, 90d, 8w.")
    ],
    whole: Annotated[bool, typer.Option("--tickets", help="The tickets themselves too, with their trails.")] = False,
    batch: Annotated[int, typer.Option(min=1, max=10_000, help="Tickets in one transaction.")] = 500,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Remove nothing; say what would go.")] = False,
    as_json: Json = False,
) -> None:
    """Remove what tickets that ended long ago leave behind.

    That is their checkpoints, and with --tickets the tickets as well. Workers remove checkpoints of completed tickets
    by themselves after TICKETFLOW_CHECKPOINT_DAYS; tickets go with this command alone.

    Tickets under way are not touched, nor those with an open dead letter: a person may yet redrive them. A cancelled
    ticket keeps its checkpoints as long as it stays, for a retry goes on from them. A completed one without them keeps
    its trail and its result, and can be replayed from the first step alone. What works meanwhile is not locked out.
    """
    from ticketflow.cli.prune import prune as run

    leave(run(settings(), older_than, whole, batch, dry_run, as_json))


@app.command()
def doctor(as_json: Json = False) -> None:
    """Check all parts, and say what to do. Exit 1 when any is ill."""
    from ticketflow.cli.doctor import doctor as run

    leave(run(settings(), as_json))


@app.command()
def submit(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A .csv, .tsv, .jsonl or .ndjson file.")],
    as_json: Json = False,
) -> None:
    """Take tickets in from a file. Run it again after an interruption: nothing is taken in twice.

    CSV has a header line; commas, semicolons or tabs separate. JSON lines have an object a line. Columns, or keys, are:

    \b
        subject, body, customer_id   needed
        customer_email
        priority                     low, medium, high or urgent
        category                     billing, technical, account or general
        vip                          yes or no (JSON: true or false)
        tags                         separated by ; (JSON: a list)
        channel                      api, web, email, chat or phone
        metadata                     a JSON object
        assignee                     who has it; the pipeline then only suggests
        idempotency_key              names the request; else its content does
    """
    from ticketflow.cli.submit import submit as run

    leave(run(settings(), file, as_json))


@app.command()
def graph(
    out: Annotated[
        Path | None, typer.Argument(metavar="OUT", help="A .png, .svg, .mmd or .txt file; none prints here.")
    ] = None,
    lifecycle: Annotated[
        bool, typer.Option("--lifecycle", help="Where a ticket can be for people, and who may move it on.")
    ] = False,
) -> None:
    """A picture of the workflow, or of the lifecycle."""
    from ticketflow.workflow.visualize import main as run

    leave(run([*(["--lifecycle"] if lifecycle else []), *(["--", str(out)] if out else [])]))


@app.command()
def demo(
    tickets: Annotated[int, typer.Option(min=1, max=1000, help="How many sample tickets.")] = 30,
    crash: Annotated[
        bool, typer.Option("--crash", help="Kill worker processes on the way, and see what becomes of their tickets.")
    ] = False,
    compare: Annotated[
        bool, typer.Option("--compare", help="The same tickets in a plain loop beside it, with the same kills.")
    ] = False,
    seed: Annotated[int | None, typer.Option(help="Draw the same moments for the kills again.")] = None,
    as_json: Json = False,
) -> None:
    """Send sample tickets through it, and show the answers.

    They run in a database of their own, which is gone afterwards. With --crash or --compare, three worker processes
    work on them; where no model is configured, each call of the offline rules then takes as long as a real model's.
    Exit 1 when a ticket is lost, a committed step is repeated, or the audit finds anything.
    """
    from ticketflow.cli.demo.run import demo as run

    leave(run(settings(), tickets, as_json, crash=crash, compare=compare, seed=seed))


@app.command("eval")
def evaluate(
    data: Annotated[
        str,
        typer.Argument(metavar="DATASET", help="A .csv, .tsv, .jsonl or .ndjson file; or `samples`."),
    ],
    task: Annotated[Task, typer.Option(help="What is scored.")],
    map_file: Annotated[
        Path | None, typer.Option("--map", metavar="FILE", help="CSV with the columns label and category.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="As many tickets.  [default: all]")] = None,
    seed: Annotated[int | None, typer.Option(help="Draw them at random; without it they are the first.")] = None,
    concurrency: Annotated[int, typer.Option(min=1, max=500, help="Tickets asked about at once.")] = 8,
    as_json: Json = False,
) -> None:
    """Scores on labelled data, beside the majority's.

    The configured model is asked as a worker asks it: same prompt, same step, same limits. Nothing is stored. Columns,
    or keys, are:

    \b
        body or text    needed
        subject
        category        billing, technical, account or general; others with --map
        priority        low, medium, high or urgent

    One of the last two is needed; what else there is, is not read. With --map, labels of others stand for our
    categories, and rows whose label is mapped to nothing are left out.

    Nothing is asked unless every row can be scored. A call that fails is counted and named, and the run goes on; exit 1
    when any ticket got no answer.
    """
    from ticketflow.cli.eval import Plan
    from ticketflow.cli.eval import evaluate as run

    if seed is not None and limit is None:
        raise typer.BadParameter("needs --limit: it draws so many tickets", param_hint="--seed")
    leave(run(settings(), Plan(data, task, map_file, limit, seed, concurrency), as_json))


@app.command()
def bench(
    row: Annotated[
        list[str] | None, typer.Argument(metavar="ROW", help="Rows to measure, such as durable-steps; none is all.")
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="How often each contender has its turn.")] = 5,
    tickets: Annotated[int, typer.Option(min=1, help="Tickets a round, where a row has no number of its own.")] = 400,
    in_flight: Annotated[int, typer.Option(min=1, help="Tickets at once; the same.")] = 50,
    plots: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Draw plots into this folder, and measure what only they show. Takes longer."),
    ] = None,
    rows: Annotated[
        int, typer.Option(min=20_000, help="Tickets in the largest database of the growth row: 17 GB a million.")
    ] = 1_000_000,
) -> None:
    """Ticketflow beside its anchors in one run. Only the ratios mean anything elsewhere.

    Prints JSON, and the same as tables on stderr. It works in databases of its own, which are gone afterwards, on the
    servers that are configured; RABBITMQ_URL must name a virtual host that nothing else uses. The row rest works in the
    Supabase project itself, which must be empty and is so again afterwards; without one it is left out. Exit 1 when a
    row failed.
    """
    from ticketflow.bench.frame import Plan
    from ticketflow.cli.bench import ROWS
    from ticketflow.cli.bench import bench as run

    if unknown := set(row or ()) - ROWS.keys():
        raise typer.BadParameter(f"unknown row {min(unknown)!r}; there is {', '.join(ROWS)}")
    plan = Plan(tickets, in_flight, rounds, sweep=plots is not None, growth_tickets=rows)
    leave(run(settings(), row or (), plan, plots))


def main() -> int:
    """Run the command line. Returns the exit code: 0 done, 1 failed, 2 usage."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - closed by the shell with >&-
        else:
            # A terminal in another encoding shows a replacement for what it cannot show, and no traceback.
            getattr(sys, name).reconfigure(errors="replace")
    try:
        try:
            result = app(standalone_mode=True)
        finally:
            sys.stdout.flush()
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EPIPE):
            raise
        if error.errno == errno.ENOSPC:
            print(f"ticketflow: cannot write: {error.strerror}", file=sys.stderr)  # noqa: T201
        os._exit(1)  # the interpreter would try to write what is left in the buffer once more
    return int(result or 0)
