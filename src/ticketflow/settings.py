"""The only reader of the environment. Everything else is handed plain values."""

from __future__ import annotations

import difflib
import io
import os
import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from dotenv.parser import parse_stream
from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

_PREFIX = "TICKETFLOW_"
_A_SLIP = 0.9
"""How alike two names are, as difflib counts it, when one or two letters are missing, doubled or swapped."""

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


def _default_data_dir() -> Path:
    base = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(base) / "ticketflow"


class Settings(BaseSettings):
    """Every variable that Ticketflow knows, with its default. Durations are in seconds in the environment."""

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX, env_file=".env", env_file_encoding="utf-8-sig", extra="ignore", env_ignore_empty=True
    )

    database_url: SecretStr | None = Field(None, validation_alias="DATABASE_URL")
    supabase_url: str | None = Field(None, validation_alias="SUPABASE_URL")
    supabase_key: SecretStr | None = Field(None, validation_alias="SUPABASE_KEY")
    supabase_jwt_secret: SecretStr | None = Field(None, validation_alias="SUPABASE_JWT_SECRET")
    rabbitmq_url: SecretStr | None = Field(None, validation_alias="RABBITMQ_URL")
    openai_api_key: SecretStr | None = Field(None, validation_alias="OPENAI_API_KEY")
    openai_base_url: str | None = Field(None, validation_alias="OPENAI_BASE_URL")
    openai_model: str | None = Field(None, validation_alias="OPENAI_MODEL")

    data_dir: Path = Field(default_factory=_default_data_dir)
    host: str = "127.0.0.1"
    port: int = Field(8000, ge=0, le=65535)
    token_secret: SecretStr | None = None
    token_secret_file: Path | None = None
    allow_anonymous: bool = False
    customer_intake_per_minute: int = Field(30, ge=1, le=1_000_000)
    staff_intake_per_minute: int = Field(6000, ge=1, le=1_000_000)
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_format: Literal["auto", "json", "console"] = "auto"
    db_pool_size: int = Field(8, ge=2, le=200)
    max_body_bytes: int = Field(1_048_576, ge=1024, le=100_000_000)
    body_seconds: float = Field(30, ge=0.1, le=3600)
    waiting_seconds: float = Field(0.5, ge=0.01, le=60)
    waiting_bytes: int = Field(16_777_216, ge=65_536, le=10_000_000_000)

    worker_concurrency: int = Field(50, ge=1, le=5000)
    metrics_host: str = "127.0.0.1"
    metrics_port: int = Field(9100, ge=0, le=65535)
    lease_seconds: float = Field(30, ge=0.5, le=3600)
    max_attempts: int = Field(5, ge=1, le=100)
    retry_base_seconds: float = Field(5, ge=0.01, le=3600)
    retry_ceiling_seconds: float = Field(600, ge=0.01, le=86_400)
    sweep_after_seconds: float = Field(60, ge=0.1, le=86_400)
    drain_seconds: float = Field(25, ge=0, le=3600)

    model_timeout_seconds: float = Field(60, gt=0, le=600)
    model_attempts: int = Field(3, ge=1, le=10)
    model_concurrency: int | None = Field(None, ge=1, le=5000)
    model_requests_per_minute: int | None = Field(None, ge=1, le=1_000_000)
    breaker_failures: int = Field(5, ge=1, le=1000)
    step_timeout_seconds: float = Field(240, gt=0, le=3600)
    price_input_per_million: float | None = Field(None, ge=0)
    price_output_per_million: float | None = Field(None, ge=0)
    close_after_hours: float = Field(72, ge=0, le=8760)
    checkpoint_days: float = Field(30, ge=0, le=36_500)
    reply_settle_seconds: float = Field(5, ge=0, le=600)
    routes_file: Path | None = None
    extract_fields: Annotated[dict[str, str], NoDecode] = Field(default_factory=dict)

    @field_validator("supabase_url", "supabase_key", mode="before")
    @classmethod
    def _strip(cls, value: Any) -> Any:
        # Files that hold one of them end with a line break.
        return value.strip() if isinstance(value, str) else value

    @field_validator("extract_fields", mode="before")
    @classmethod
    def _parse_fields(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        fields = {}
        for part in filter(None, (part.strip() for part in value.split(";"))):
            name, separator, description = part.partition("=")
            if not separator or not name.strip().isidentifier() or not description.strip():
                raise ValueError("write it as name=description; other_name=description")
            fields[name.strip()] = description.strip()
        return fields

    @property
    def authenticates(self) -> bool:
        """Whether callers of the API need a token; without any of these whoever reaches it is the local admin."""
        return any((self.token_secret, self.token_secret_file, self.supabase_jwt_secret, self.supabase_url))

    @property
    def access_label(self) -> str:
        """Who may call the API, without secrets."""
        own = "Ticketflow's own" if self.token_secret or self.token_secret_file else ""
        users = f"the users' of {self.supabase_url}" if self.supabase_url else ""
        if kinds := [kind for kind in (own, users) if kind]:
            return f"bearer tokens: {', '.join(kinds)}"
        return "whoever reaches it" if self.allow_anonymous else "this machine, without tokens"

    @property
    def embedded(self) -> bool:
        """Whether Ticketflow starts a database of its own."""
        return self.database_url is None and self.supabase_url is None

    @property
    def over_rest(self) -> bool:
        """Whether a Supabase project's REST interface is the only way to the data."""
        return self.database_url is None and self.supabase_url is not None

    @property
    def lease_ttl(self) -> timedelta:
        return timedelta(seconds=self.lease_seconds)

    @property
    def close_after(self) -> timedelta | None:
        """When a resolved ticket closes by itself, or None for never."""
        return timedelta(hours=self.close_after_hours) if self.close_after_hours else None

    @property
    def keep_checkpoints(self) -> timedelta | None:
        """How long a completed ticket keeps its checkpoints, or None for as long as it is there."""
        return timedelta(days=self.checkpoint_days) if self.checkpoint_days else None

    @property
    def reply_settle(self) -> timedelta:
        """How long the pipeline waits for more after a customer's reply."""
        return timedelta(seconds=self.reply_settle_seconds)

    @property
    def longest_wait(self) -> timedelta:
        """Requests that change something are sent away when they would have to wait longer."""
        return timedelta(seconds=self.waiting_seconds)

    @property
    def model_label(self) -> str | None:
        """The model to ask, or None for the offline rules."""
        if self.openai_api_key is None and self.openai_base_url is None:
            return None
        return self.openai_model or "gpt-4o-mini"

    def handed_on(self) -> dict[str, Any]:
        """Every value as plain JSON, secrets included, for a process that this one starts: ``model_validate`` takes it
        there. Through a pipe, and never shown."""
        values: dict[str, Any] = {}
        for name, field in type(self).model_fields.items():
            value = getattr(self, name)
            if isinstance(value, SecretStr):
                value = value.get_secret_value()
            values[str(field.validation_alias or name)] = str(value) if isinstance(value, Path) else value
        return values

    def secrets(self) -> list[str]:
        """Values that must never be shown."""
        held = (
            self.database_url,
            self.supabase_key,
            self.supabase_jwt_secret,
            self.rabbitmq_url,
            self.openai_api_key,
            self.token_secret,
        )
        return [secret.get_secret_value() for secret in held if secret is not None]


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
    _refuse_half_set(settings)
    _refuse_unusable_access(settings)
    return settings


def variable_names() -> list[str]:
    """Every environment variable that is read, in the order of ``.env.example``."""
    return [
        str(field.validation_alias) if field.validation_alias else _PREFIX + name.upper()
        for name, field in Settings.model_fields.items()
    ]


def _refuse_unknown(environment: Mapping[str, Any]) -> None:
    known = variable_names()
    for name in sorted(set(environment) - set(known)):
        # Names without our prefix may be meant for someone else, so only a slip of the fingers is refused there.
        ours = name.startswith(_PREFIX)
        close = difflib.get_close_matches(name, known, 1, cutoff=0.6 if ours else _A_SLIP)
        if ours or (close and close[0] not in environment):
            hint = f"; did you mean {close[0]}?" if close else ""
            raise SettingsError(f"{name} is set but is not a setting of Ticketflow{hint}")


def _refuse_half_set(settings: Settings) -> None:
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


def _refuse_unusable_access(settings: Settings) -> None:
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


def _first_problem(error: ValidationError) -> str:
    problem = error.errors(include_input=False, include_url=False)[0]
    name = str(problem["loc"][0]) if problem["loc"] else "the configuration"
    if name in Settings.model_fields:
        name = _PREFIX + name.upper()
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
