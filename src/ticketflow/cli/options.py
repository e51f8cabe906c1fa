"""What the declarations of commands share."""

from __future__ import annotations

import re
import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any, NoReturn
from uuid import UUID

import typer

if TYPE_CHECKING:
    from ticketflow.settings import Settings

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
TicketId = Annotated[UUID, typer.Argument(metavar="TICKET_ID")]
LetterId = Annotated[UUID, typer.Argument(metavar="LETTER_ID")]


_AGE = re.compile(r"([0-9]{1,6})([hdw])")
_UNITS = {"h": "hours", "d": "days", "w": "weeks"}


def age(text: str) -> timedelta:
    """A time such as 12h, 90d or 8w; anything else, and none at all, is a usage error."""
    found = _AGE.fullmatch(text)
    if found is None or int(found[1]) == 0:
        raise typer.BadParameter(f"{text!r} is no time such as 12h, 90d or 8w")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


def settings(**overrides: Any) -> Settings:
    """The configuration, with what was given on the command line before the environment; else one line and exit 1."""
    from ticketflow import settings as configuration

    try:
        return configuration.load(**overrides)
    except configuration.SettingsError as error:
        print(f"ticketflow: {error}", file=sys.stderr)  # noqa: T201
        raise typer.Exit(1) from None


def leave(code: int) -> NoReturn:
    raise typer.Exit(code)
