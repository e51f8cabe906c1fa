"""What two settings say together, or an address by itself, that cannot work."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from urllib.parse import urlsplit

from pydantic import SecretStr

from ticketflow.settings.values import Settings

SHORTEST_SECRET = 32
"""Bytes of a key for HMAC-SHA256: no fewer than its output has (RFC 7518, section 3.2)."""

_NO_ESCAPE = re.compile("%(?![0-9A-Fa-f]{2})")
_SERVICE = re.compile("/(rest|auth|storage|realtime|functions)/v1")
_REFERENCE = re.compile(r"^([a-z0-9]{20})\.supabase\.co$")
_REFERENCE_OF_DATABASE = re.compile(r"//[^/@]*\.([a-z0-9]{20})[:@]|@db\.([a-z0-9]{20})\.supabase\.co\b")
"""In the user's name, as Supabase's poolers want it, or in the host's."""
_PROJECT = "as in https://abcdefghijklmnopqrst.supabase.co"
_ENCODE = "in a user or a password write @ as %40, : as %3A, / as %2F, ? as %3F and # as %23"


class SettingsError(Exception):
    """The configuration cannot work; the message is one line that names the variable."""


def refuse_half_set(settings: Settings) -> None:
    pairs = (
        ("SUPABASE_URL", settings.supabase_url, "SUPABASE_KEY", settings.supabase_key),
        ("SUPABASE_KEY", settings.supabase_key, "SUPABASE_URL", settings.supabase_url),
        (
            "TICKETFLOW_PRICE_INPUT_PER_MILLION",
            settings.price_input_per_million,
            "TICKETFLOW_PRICE_OUTPUT_PER_MILLION",
            settings.price_output_per_million,
        ),
        (
            "TICKETFLOW_PRICE_OUTPUT_PER_MILLION",
            settings.price_output_per_million,
            "TICKETFLOW_PRICE_INPUT_PER_MILLION",
            settings.price_input_per_million,
        ),
    )
    for name, value, partner, other in pairs:
        if value is not None and other is None:
            raise SettingsError(
                f"{name} is set but {partner} is not: set both or neither{_under_another_name(partner)}"
            )
    if settings.openai_model and settings.model_label is None:
        raise SettingsError("OPENAI_MODEL is set but neither OPENAI_API_KEY nor OPENAI_BASE_URL is: set one of them")
    if settings.database_url is not None:
        # Without a host libpq takes the local socket, and several hosts may be given.
        hosts = _hosts("DATABASE_URL", settings.database_url, ("postgres://", "postgresql://")).split(",")
        _refuse_unusable_hosts("DATABASE_URL", [host for host in hosts if host])
    if settings.rabbitmq_url is not None:
        _refuse_unusable_hosts("RABBITMQ_URL", [_hosts("RABBITMQ_URL", settings.rabbitmq_url, ("amqp://", "amqps://"))])
    if settings.openai_base_url and not settings.openai_base_url.startswith(("http://", "https://")):
        raise SettingsError("OPENAI_BASE_URL must begin with http:// or https://")


def _under_another_name(missing: str) -> str:
    """What Supabase's own guides call the key, where the environment has it under that name."""
    names = ("SUPABASE_SECRET_KEY", "SUPABASE_SERVICE_ROLE_KEY", "SUPABASE_SERVICE_KEY")
    found = [name for name in names if os.environ.get(name)] if missing == "SUPABASE_KEY" else []
    return f"; is it the value of {found[0]}?" if found else ""


def refuse_unusable_access(settings: Settings) -> None:
    if settings.supabase_jwt_secret is not None and settings.supabase_url is None:
        raise SettingsError("SUPABASE_JWT_SECRET is set but SUPABASE_URL is not: it names the issuer of the tokens")
    if settings.supabase_url and settings.supabase_key:
        if settings.supabase_key.get_secret_value().startswith(("http://", "https://")):
            raise SettingsError("SUPABASE_KEY is an address: are SUPABASE_URL and SUPABASE_KEY swapped?")
        _refuse_unusable_project(settings.supabase_url)
        _refuse_two_projects(settings.supabase_url, settings.database_url)
    if settings.token_secret is not None and settings.token_secret_file is not None:
        raise SettingsError("TICKETFLOW_TOKEN_SECRET and TICKETFLOW_TOKEN_SECRET_FILE are both set: set one of them")
    for name, secret in (
        ("TICKETFLOW_TOKEN_SECRET", settings.token_secret),
        ("SUPABASE_JWT_SECRET", settings.supabase_jwt_secret),
    ):
        if secret is not None and len(secret.get_secret_value().encode()) < SHORTEST_SECRET:
            raise SettingsError(f"{name} is shorter than {SHORTEST_SECRET} bytes and could be guessed")
    if settings.allow_anonymous and settings.authenticates:
        raise SettingsError(
            "TICKETFLOW_ALLOW_ANONYMOUS is true while authentication is configured: unset it, or unset "
            "TICKETFLOW_TOKEN_SECRET, TICKETFLOW_TOKEN_SECRET_FILE and SUPABASE_URL"
        )


def _refuse_unusable_project(url: str) -> None:
    """Addresses of the dashboard, of one of the project's services and of its database are easily taken for its own."""
    if not url.startswith(("http://", "https://")):
        raise SettingsError(f"SUPABASE_URL must begin with http:// or https://, {_PROJECT}")
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        raise SettingsError(f"SUPABASE_URL has a host or a port that cannot be one; {_PROJECT}") from None
    if not host:
        raise SettingsError(f"SUPABASE_URL names no host; {_PROJECT}")
    if host in ("supabase.com", "app.supabase.com", "www.supabase.com"):
        raise SettingsError(f"SUPABASE_URL is the address of the dashboard; {_PROJECT}")
    if host.startswith("db.") and host.endswith(".supabase.co"):
        raise SettingsError(f"SUPABASE_URL is the address of the database, which belongs into DATABASE_URL; {_PROJECT}")
    if parts.username or parts.query or parts.fragment or _SERVICE.search(parts.path):
        raise SettingsError(f"SUPABASE_URL is more than the project's address; {_PROJECT}")


def _refuse_two_projects(url: str, database_url: SecretStr | None) -> None:
    """Tickets would be in one project, and their customers would sign in to the other."""
    project = _REFERENCE.search(urlsplit(url).hostname or "")
    database = _REFERENCE_OF_DATABASE.search(database_url.get_secret_value()) if database_url else None
    if project and database and project[1] != (database[1] or database[2]):
        raise SettingsError("DATABASE_URL and SUPABASE_URL are of two different Supabase projects")


def _hosts(name: str, secret: SecretStr, schemes: tuple[str, ...]) -> str:
    """The part of a connection URL that holds hosts and ports. No refusal repeats any of it: a password that is not
    encoded can end anywhere, and the drivers show what they take for a host or a port."""
    url = secret.get_secret_value()
    if not url.startswith(schemes):
        raise SettingsError(f"{name} must begin with {' or '.join(schemes)}")
    if _NO_ESCAPE.search(url):
        raise SettingsError(f"{name} has a % that begins no percent-encoded character: write a plain % as %25")
    authority, _, rest = url.partition("://")[2].partition("?")[0].partition("/")
    if "#" in url or authority.count("@") > 1 or "@" in rest:
        raise SettingsError(f"{name} has a # or one @ too many: {_ENCODE}")
    return authority.rpartition("@")[2]


def _refuse_unusable_hosts(name: str, hosts: Sequence[str]) -> None:
    for host in hosts:
        try:
            parts = urlsplit(f"//{host}")
            usable, _ = bool(parts.hostname), parts.port
        except ValueError:
            raise SettingsError(f"{name} has a host or a port that cannot be one; {_ENCODE}") from None
        if not usable:
            raise SettingsError(f"{name} names no host")
