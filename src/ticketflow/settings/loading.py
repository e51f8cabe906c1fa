"""Settings from the environment and ``.env``, or one line that says what is wrong with them."""

from __future__ import annotations

import difflib
import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dotenv.parser import parse_stream
from pydantic import ValidationError

from ticketflow.settings.refusals import SettingsError, refuse_half_set, refuse_unusable_access
from ticketflow.settings.values import PREFIX, Settings, variable_names

_A_SLIP = 0.9
"""How alike two names are, as difflib counts it, when one or two letters are missing, doubled or swapped."""


def load(**overrides: Any) -> Settings:
    """Read the environment and ``.env``. Raises ``SettingsError`` with one line for the first thing that is wrong."""
    _refuse_unknown({**_dotenv_names(), **os.environ})
    given = {name: value for name, value in overrides.items() if value is not None}
    try:
        settings = Settings(**given)
    except ValidationError as error:
        raise SettingsError(_first_problem(error)) from None
    except UnicodeDecodeError:
        raise SettingsError(".env is not UTF-8 text") from None
    refuse_half_set(settings)
    refuse_unusable_access(settings)
    return settings


def _refuse_unknown(environment: Mapping[str, Any]) -> None:
    known = variable_names()
    for name in sorted(set(environment) - set(known)):
        # Names without our prefix may be meant for someone else, so only a slip of the fingers is refused there.
        ours = name.startswith(PREFIX)
        close = difflib.get_close_matches(name, known, 1, cutoff=0.6 if ours else _A_SLIP)
        if ours or (close and close[0] not in environment):
            hint = f"; did you mean {close[0]}?" if close else ""
            raise SettingsError(f"{name} is set but is not a setting of Ticketflow{hint}")


def _first_problem(error: ValidationError) -> str:
    problem = error.errors(include_input=False, include_url=False)[0]
    name = str(problem["loc"][0]) if problem["loc"] else "the configuration"
    if name in Settings.model_fields:
        name = PREFIX + name.upper()
    return f"{name}: {problem['msg']}"


def _dotenv_names() -> dict[str, None]:
    path = Path(".env")
    if not path.is_file():
        return {}
    text = path.read_text(encoding="utf-8-sig", errors="replace")
    for binding in parse_stream(io.StringIO(text)):
        if binding.error:
            # The library passes over such a line with a warning, and what stands then may be another database.
            raise SettingsError(f".env: line {binding.original.line} cannot be read; is a quote left open?")
    names: dict[str, None] = {}
    for line in text.splitlines():
        name = line.strip().removeprefix("export ").partition("=")[0].strip()
        if name and not name.startswith("#"):
            names[name] = None
    return names
