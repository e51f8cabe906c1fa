"""The secret that signs Ticketflow's own tokens."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from ticketflow.domain.errors import ConfigurationError
from ticketflow.settings import SHORTEST_SECRET, Settings

_FRESH_BYTES = 48


def configured_secret(settings: Settings) -> bytes | None:
    """The secret from the environment or from its file, None when neither is set.

    Raises ``ConfigurationError`` in one line, without the secret, for one that cannot be used.
    """
    if settings.token_secret is not None:
        return _long_enough("TICKETFLOW_TOKEN_SECRET", settings.token_secret.get_secret_value().encode())
    if settings.token_secret_file is None:
        return None
    try:
        content = settings.token_secret_file.read_bytes()
    except OSError as error:
        raise ConfigurationError(
            f"TICKETFLOW_TOKEN_SECRET_FILE: cannot read {settings.token_secret_file}: {error.strerror}; "
            "`ticketflow token secret FILE` makes one"
        ) from error
    return _long_enough("TICKETFLOW_TOKEN_SECRET_FILE", content.strip())


def make_secret_file(path: Path) -> None:
    """A fresh secret in a file that only its owner may read. Raises ``ConfigurationError`` when there is a file
    already, or none can be made."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise ConfigurationError(f"{path} is there already, and is left as it is") from None
    except OSError as error:
        raise ConfigurationError(f"cannot make {path}: {error.strerror}") from error
    with os.fdopen(descriptor, "w") as file:
        file.write(secrets.token_urlsafe(_FRESH_BYTES) + "\n")


def _long_enough(name: str, secret: bytes) -> bytes:
    if len(secret) < SHORTEST_SECRET:
        raise ConfigurationError(f"{name} holds fewer than {SHORTEST_SECRET} bytes and could be guessed")
    if secret.startswith(b"-----BEGIN"):
        raise ConfigurationError(f"{name} holds a certificate or a key of another kind, and not a secret")
    return secret
