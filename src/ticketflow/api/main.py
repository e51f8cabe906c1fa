"""``uvicorn ticketflow.api.main:app``: the API, configured from the environment when it is first asked for."""

from __future__ import annotations

import sys
from typing import Any

from ticketflow import settings as configuration
from ticketflow.domain.errors import ConfigurationError
from ticketflow.settings import SettingsError
from ticketflow.telemetry import logs


def __getattr__(name: str) -> Any:
    # The application is made when a server asks for it, not when the module is imported.
    if name != "app":
        raise AttributeError(name)
    from ticketflow.api.app import create_app

    try:
        settings = configuration.load()
    except SettingsError as error:
        print(f"ticketflow: {error}", file=sys.stderr)  # noqa: T201
        raise SystemExit(1) from None
    logs.configure(settings.log_level, None if settings.log_format == "auto" else settings.log_format == "json")
    try:
        return create_app(settings)
    except ConfigurationError as error:
        print(f"ticketflow: {error}", file=sys.stderr)  # noqa: T201
        raise SystemExit(1) from None
