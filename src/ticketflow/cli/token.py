"""``token``: issue, list and revoke tokens, and make the secret that signs them."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

from ticketflow.access.secret import configured_secret, make_secret_file
from ticketflow.cli.console import counted, err, fail, moment, one_line, out, say_json, show_table, with_application
from ticketflow.db.tokens import IssuedToken, Tokens
from ticketflow.domain.errors import ConfigurationError, NotFound, TicketflowError
from ticketflow.domain.roles import LOCAL_ADMIN, Role, Scope
from ticketflow.settings import Settings
from ticketflow.wiring import Application


def issue(
    settings: Settings, role: Role, subject: str, scopes: Collection[Scope], valid_for: timedelta, as_json: bool
) -> int:
    """Record a new token and print it. Returns the exit code."""

    async def run(app: Application) -> int:
        from ticketflow.access import own_tokens

        assert secret is not None
        token, record = own_tokens.issue(secret, role, subject, scopes, valid_for, LOCAL_ADMIN.actor)
        await Tokens(app.gateway).record(record)
        if as_json:
            say_json({"token": token, **_fields(record)})
            return 0
        print(token)  # noqa: T201
        err.print(
            f"{record.id}: {one_line(record.role)} {one_line(record.subject)}, good for {record.scope} "
            f"until {moment(record.expires_at)}"
        )
        return 0

    try:
        secret = configured_secret(settings)
        if secret is None:
            raise ConfigurationError(
                "there is no secret to sign with: set TICKETFLOW_TOKEN_SECRET_FILE "
                "(`ticketflow token secret FILE` makes one) or TICKETFLOW_TOKEN_SECRET"
            )
    except TicketflowError as error:
        return fail(error)
    return with_application(settings, run)


def list_tokens(settings: Settings, limit: int, as_json: bool) -> int:
    """The newest tokens. Returns the exit code."""

    async def run(app: Application) -> int:
        tokens = await Tokens(app.gateway).newest(limit)
        if as_json:
            say_json([_fields(token) for token in tokens])
            return 0
        names = ["id", "role", "subject", "scope", "issued", "expires", "state"]
        rows = [
            [
                str(token.id),
                one_line(token.role),
                one_line(token.subject),
                one_line(token.scope),
                moment(token.issued_at),
                moment(token.expires_at),
                _state(token),
            ]
            for token in tokens
        ]
        show_table(names, rows, flexible=["subject", "scope"], expendable=["issued", "scope"])
        if len(tokens) == limit:
            err.print(f"the newest {counted(limit, 'token')}; --limit shows more", style="dim")
        return 0

    return with_application(settings, run)


def revoke(settings: Settings, token_id: UUID) -> int:
    """Take a token back. Returns the exit code."""

    async def run(app: Application) -> int:
        revoked = await Tokens(app.gateway).revoke(token_id, LOCAL_ADMIN.actor)
        if revoked is None or revoked.revoked_at is None:
            raise NotFound(f"there is no token {token_id}")
        out.print(
            f"revoked {revoked.id} of {one_line(revoked.role)} {one_line(revoked.subject)} at "
            f"{moment(revoked.revoked_at)}; running APIs refuse it within seconds"
        )
        return 0

    return with_application(settings, run)


def secret_file(path: Path) -> int:
    """Make a file with a fresh secret. Returns the exit code."""
    try:
        make_secret_file(path)
    except TicketflowError as error:
        return fail(error)
    out.print(f"made {one_line(path)}: set TICKETFLOW_TOKEN_SECRET_FILE to it for the API and for `ticketflow token`")
    return 0


def _fields(token: IssuedToken) -> dict[str, object]:
    return {
        "id": token.id,
        "role": token.role,
        "subject": token.subject,
        "scope": token.scope.split(),
        "issued_at": token.issued_at,
        "expires_at": token.expires_at,
        "issued_by": token.issued_by,
        "revoked_at": token.revoked_at,
        "revoked_by": token.revoked_by,
        "state": _state(token),
    }


def _state(token: IssuedToken) -> str:
    if token.revoked_at is not None:
        return "revoked"
    return "expired" if token.expires_at <= datetime.now(UTC) else "good"
