"""The settings themselves: names, defaults, bounds, and what follows from them."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

PREFIX = "TICKETFLOW_"


def _default_data_dir() -> Path:
    base = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(base) / "ticketflow"


class Settings(BaseSettings):
    """Every variable that Ticketflow knows, with its default. Durations are in seconds in the environment."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_file=".env", env_file_encoding="utf-8-sig", extra="ignore", env_ignore_empty=True
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

    @field_validator("supabase_url", "supabase_key", "supabase_jwt_secret", mode="before")
    @classmethod
    def _strip(cls, value: Any) -> Any:
        # Files that hold one of them end with a line break. Where nothing else is left, as where nothing is given.
        return value.strip() or None if isinstance(value, str) else value

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


def variable_names() -> list[str]:
    """Every environment variable that is read, in the order of ``.env.example``."""
    return [
        str(field.validation_alias) if field.validation_alias else PREFIX + name.upper()
        for name, field in Settings.model_fields.items()
    ]
