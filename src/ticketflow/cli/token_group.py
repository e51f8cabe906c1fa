"""The commands below ``token``."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer

from ticketflow.cli.options import Json, age, leave, settings

LONGEST = timedelta(days=3650)

token_app = typer.Typer()


@token_app.callback(invoke_without_command=True)
def token(
    context: typer.Context,
    role: Annotated[
        str | None, typer.Option(metavar="ROLE", help="customer, agent, supervisor or admin.  [required]")
    ] = None,
    subject: Annotated[
        str | None,
        typer.Option(help="Whose it is; for a customer their customer_id.  [default: the role's name]"),
    ] = None,
    scope: Annotated[
        list[str] | None,
        typer.Option(metavar="SCOPE", help="intake, read, write or metrics; may be repeated.  [default: all]"),
    ] = None,
    expires: Annotated[
        timedelta, typer.Option(parser=age, metavar="AGE", help="Good for so long: 12h, 30d, 8w.")
    ] = "30d",  # type: ignore[assignment]
    as_json: Json = False,
) -> None:
    """Tokens for callers of the API.

    `ticketflow token --role ROLE` issues one, signed with TICKETFLOW_TOKEN_SECRET or the content of
    TICKETFLOW_TOKEN_SECRET_FILE. It alone is printed on stdout, and it is not kept: who loses it takes it back and
    issues another. --json adds what else there is to know.
    """
    if context.invoked_subcommand is not None:
        return
    from ticketflow.access.subjects import is_subject
    from ticketflow.cli.token import issue
    from ticketflow.domain.roles import ALL_SCOPES, Role, Scope

    if role not in list(Role):
        raise typer.BadParameter(f"one of {', '.join(Role)}", param_hint="--role")
    if subject is None and role == Role.CUSTOMER:
        raise typer.BadParameter("a customer's token needs their customer_id", param_hint="--subject")
    if unknown := set(scope or ()) - set(Scope):
        raise typer.BadParameter(f"{min(unknown)!r} is none of {', '.join(Scope)}", param_hint="--scope")
    if subject is not None and not is_subject(subject):
        raise typer.BadParameter("1 to 100 printable characters, and no name of Ticketflow's", param_hint="--subject")
    if expires > LONGEST:
        raise typer.BadParameter(f"{LONGEST.days}d at most", param_hint="--expires")
    scopes = frozenset(map(Scope, scope)) if scope else ALL_SCOPES
    leave(issue(settings(), Role(role), subject or role, scopes, expires, as_json))


@token_app.command("list")
def token_list(
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 50,
    as_json: Json = False,
) -> None:
    """The newest tokens: whose they are, what for, and whether they are good."""
    from ticketflow.cli.token import list_tokens as run

    leave(run(settings(), limit, as_json))


@token_app.command("revoke")
def token_revoke(token_id: Annotated[UUID, typer.Argument(metavar="ID")]) -> None:
    """Take a token back for good. Running APIs refuse it within seconds."""
    from ticketflow.cli.token import revoke as run

    leave(run(settings(), token_id))


@token_app.command("secret")
def token_secret(path: Annotated[Path, typer.Argument(metavar="FILE")]) -> None:
    """Make a file with a fresh secret that only its owner may read. A file that is there already stays as it is."""
    from ticketflow.cli.token import secret_file as run

    leave(run(path))
