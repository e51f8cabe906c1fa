"""The commands below ``tickets``, ``kb`` and ``dead-letters``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn
from uuid import UUID

import typer

from ticketflow.cli.options import Json, LetterId, TicketId, leave, settings

if TYPE_CHECKING:
    from ticketflow.db.reads import Which

Reason = Annotated[str | None, typer.Option(help="Why; it stands in the trail.")]
LetterKind = Annotated[str | None, typer.Option(metavar="KIND", help="Only these: ticket or message.")]
LetterReason = Annotated[str | None, typer.Option(metavar="REASON", help="Only those with this reason.")]

tickets_app = typer.Typer(help="Look at tickets, and steer them.", no_args_is_help=True)
kb_app = typer.Typer(help="The knowledge base.", no_args_is_help=True)
dead_letters_app = typer.Typer(help="What stopped moving and waits for a person.", no_args_is_help=True)


@tickets_app.command("list")
def tickets_list(
    status: Annotated[str | None, typer.Option(help="pending, processing, waiting, completed, ...")] = None,
    lifecycle: Annotated[str | None, typer.Option(help="new, assigned, in_progress, escalated, ...")] = None,
    assignee: Annotated[str | None, typer.Option(help="Only theirs.")] = None,
    customer_id: Annotated[str | None, typer.Option(help="Only this customer's.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 50,
    as_json: Json = False,
) -> None:
    """The newest tickets."""
    from ticketflow.cli.tickets import list_tickets as run
    from ticketflow.domain.lifecycle import Place
    from ticketflow.domain.tickets import Status

    if status is not None and status not in list(Status):
        raise typer.BadParameter(f"one of {', '.join(Status)}", param_hint="--status")
    if lifecycle is not None and lifecycle not in list(Place):
        raise typer.BadParameter(f"one of {', '.join(Place)}", param_hint="--lifecycle")
    given = {"status": status, "lifecycle": lifecycle, "assignee": assignee, "customer_id": customer_id}
    filters = {name: [value] for name, value in given.items() if value is not None}
    leave(run(settings(), filters, limit, as_json))


@tickets_app.command("show")
def tickets_show(ticket_id: TicketId, as_json: Json = False) -> None:
    """One ticket: what was asked, steps, answer, cost."""
    from ticketflow.cli.tickets import show as run

    leave(run(settings(), ticket_id, as_json))


@tickets_app.command("events")
def tickets_events(ticket_id: TicketId, as_json: Json = False) -> None:
    """The ticket's trail."""
    from ticketflow.cli.tickets import events as run

    leave(run(settings(), ticket_id, as_json))


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
    leave(run(settings(), ticket_id, version, moment))


@tickets_app.command("pause")
def tickets_pause(ticket_id: TicketId, reason: Reason = None) -> None:
    """Stop a ticket at its next step boundary, and keep it there."""
    _move("pause", ticket_id, reason)


@tickets_app.command("resume")
def tickets_resume(ticket_id: TicketId, reason: Reason = None) -> None:
    """Let a paused ticket go on from where it stands."""
    _move("resume", ticket_id, reason)


@tickets_app.command("cancel")
def tickets_cancel(ticket_id: TicketId, reason: Reason = None) -> None:
    """End a ticket now. What a step that still runs brings is refused."""
    _move("cancel", ticket_id, reason)


@tickets_app.command("retry")
def tickets_retry(ticket_id: TicketId) -> None:
    """Start the next attempt of a ticket that failed, was cancelled, or waits for its retry."""
    _move("retry", ticket_id, None)


@tickets_app.command("replay")
def tickets_replay(
    ticket_id: TicketId,
    from_step: Annotated[str, typer.Argument(metavar="STEP", help="The first step to run again, such as draft.")],
    reason: Reason = None,
) -> None:
    """Run a ticket again from before a step that it has come to, as a new attempt."""
    _move("replay", ticket_id, reason, from_step)


def _move(name: str, ticket_id: UUID, reason: str | None, from_step: str = "") -> NoReturn:
    from ticketflow.cli.tickets import MAX_REASON
    from ticketflow.cli.tickets import move as run
    from ticketflow.domain.moves import Move

    if reason is not None and not 0 < len(reason.strip()) <= MAX_REASON:
        raise typer.BadParameter(f"1 to {MAX_REASON} characters", param_hint="--reason")
    leave(run(settings(), Move(name), ticket_id, reason, from_step))


@kb_app.command("import")
def kb_import(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="A .md or .jsonl file, or a folder of them.")],
) -> None:
    """Store articles; those with the same id are replaced.

    A Markdown file is one article. It may begin with front matter:

    \b
        ---
        id: returns              # else the file's name
        title: Returns           # else the first heading
        category: billing        # optional, any text
        tags: [refund, return]   # optional
        ---

    A .jsonl file has an article a line, as an object with the keys id, title, body, and optionally category and tags.

    Each section, from one heading to the next, is found by itself. In a folder, files called README are left out.
    """
    from ticketflow.cli.knowledge import kb_import as run

    leave(run(settings(), path))


@kb_app.command("list")
def kb_list(as_json: Json = False) -> None:
    """All articles."""
    from ticketflow.cli.knowledge import kb_list as run

    leave(run(settings(), as_json))


@kb_app.command("delete")
def kb_delete(
    article_id: Annotated[list[str] | None, typer.Argument(metavar="ARTICLE_ID")] = None,
    samples: Annotated[
        bool, typer.Option("--samples", help="The sample shop's articles that `up` loaded; your own stay.")
    ] = False,
) -> None:
    """Delete articles. When there is none with one of the ids, nothing is deleted."""
    from ticketflow.cli.knowledge import kb_delete as run
    from ticketflow.cli.knowledge import kb_delete_samples as run_samples

    if samples == bool(article_id):
        raise typer.BadParameter("either ids or --samples")
    leave(run_samples(settings()) if samples else run(settings(), article_id or []))


@kb_app.command("search")
def kb_search(
    query: Annotated[str, typer.Argument(metavar="QUERY")],
    limit: Annotated[int, typer.Option(min=1, max=50)] = 5,
    as_json: Json = False,
) -> None:
    """What research would find for a text."""
    from ticketflow.cli.knowledge import kb_search as run

    leave(run(settings(), query, limit, as_json))


def which(kind: str | None, reason: str | None) -> Which:
    from ticketflow.db.reads import Which

    if kind not in (None, "ticket", "message"):
        raise typer.BadParameter("ticket or message", param_hint="--kind")
    return Which(kind, reason)


@dead_letters_app.command("list")
def dead_letters_list(
    kind: LetterKind = None,
    reason: LetterReason = None,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 50,
    include_redriven: Annotated[bool, typer.Option("--include-redriven")] = False,
    as_json: Json = False,
) -> None:
    """The newest dead letters."""
    from ticketflow.cli.dead_letters import dead_letters as run

    leave(run(settings(), which(kind, reason), limit, include_redriven, as_json))


@dead_letters_app.command("show")
def dead_letters_show(letter_id: LetterId, as_json: Json = False) -> None:
    """One dead letter: what happened to its ticket, who redrove it, and its payload."""
    from ticketflow.cli.dead_letters import dead_letter as run

    leave(run(settings(), letter_id, as_json))


@dead_letters_app.command("redrive")
def dead_letters_redrive(
    letter_id: Annotated[list[UUID] | None, typer.Argument(metavar="LETTER_ID")] = None,
    every: Annotated[bool, typer.Option("--all", help="The oldest that are open, instead of ids.")] = False,
    kind: LetterKind = None,
    reason: LetterReason = None,
    limit: Annotated[int | None, typer.Option(min=1, max=1000, help="How many at most.  [default: 100]")] = None,
    as_json: Json = False,
) -> None:
    """Start the next attempt of the dead letters' tickets. For a message, wake its ticket or just close it.

    The trail of each ticket says which dead letter was redriven, and by which request. With --all, one whose ticket
    changes meanwhile is skipped.
    """
    from ticketflow.cli.dead_letters import redrive, redrive_all

    if every == bool(letter_id):
        raise typer.BadParameter("either ids or --all")
    if not every and (kind or reason or limit or as_json):
        raise typer.BadParameter("--kind, --reason, --limit and --json go with --all")
    leave(
        redrive_all(settings(), which(kind, reason), limit or 100, as_json)
        if every
        else redrive(settings(), letter_id or [])
    )
