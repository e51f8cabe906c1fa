"""The secret that signs tokens: long enough, in a file of its owner's, and in no message."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest

from ticketflow.access.secret import configured_secret, make_secret_file
from ticketflow.domain.errors import ConfigurationError
from ticketflow.settings import Settings

SECRET = "hunter2-" * 4


def settings(**given: Any) -> Settings:
    return Settings(_env_file=None, **given)  # type: ignore[call-arg]


def test_it_comes_from_the_environment_or_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text(SECRET + "\n")
    assert configured_secret(settings()) is None
    assert configured_secret(settings(token_secret=SECRET)) == SECRET.encode()
    assert configured_secret(settings(token_secret_file=file)) == SECRET.encode()


def test_a_fresh_file_is_its_owners_alone_and_never_written_over(tmp_path: Path) -> None:
    file, other = tmp_path / "secret", tmp_path / "other"
    make_secret_file(file)
    make_secret_file(other)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    secret = configured_secret(settings(token_secret_file=file))
    assert secret is not None
    assert len(secret) >= 48
    assert secret != configured_secret(settings(token_secret_file=other))
    with pytest.raises(ConfigurationError, match="there already"):
        make_secret_file(file)
    assert configured_secret(settings(token_secret_file=file)) == secret
    dangling = tmp_path / "link"
    dangling.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigurationError, match="there already"):
        make_secret_file(dangling)


def test_one_that_cannot_be_used_is_one_line_without_it(tmp_path: Path) -> None:
    short = tmp_path / "short"
    short.write_text(f"  {SECRET[:31]}\n")
    pem = tmp_path / "pem"
    pem.write_text(f"-----BEGIN PRIVATE KEY-----\n{SECRET}\n-----END PRIVATE KEY-----\n")
    for given in (
        {"token_secret": SECRET[:31]},
        {"token_secret_file": pem},
        {"token_secret_file": short},
        {"token_secret_file": tmp_path / "nowhere"},
        {"token_secret_file": tmp_path},
    ):
        with pytest.raises(ConfigurationError, match="TICKETFLOW_TOKEN_SECRET") as refused:
            configured_secret(settings(**given))
        assert "\n" not in str(refused.value)
        assert "hunter2" not in str(refused.value)
