"""``ticketflow token``: a secret, tokens that the API takes, and their end."""

from __future__ import annotations

import asyncio
import json
import stat
from pathlib import Path

import httpx
import jwt
import pytest

from tests.support.api import assert_problem, served, settings_for
from tests.support.cli import Cli, assert_one_line

NOBODY = "00000000-0000-0000-0000-000000000000"


@pytest.fixture
def secret(cli: Cli) -> dict[str, str]:
    """The environment that names a fresh secret."""
    made = cli("token", "secret", "secret")
    assert made.returncode == 0, made.stderr
    return {"TICKETFLOW_TOKEN_SECRET_FILE": str(cli.folder / "secret")}


async def test_a_token_works_until_it_is_revoked(cli: Cli, secret: dict[str, str], database_url: str) -> None:
    done = await asyncio.to_thread(cli, "token", "--role", "agent", "--subject", "mia", **secret)
    assert done.returncode == 0
    token = done.stdout.removesuffix("\n")
    token_id = jwt.decode(token, options={"verify_signature": False})["jti"]
    assert "\n" not in token
    assert token_id in done.stderr
    assert token not in done.stderr
    settings = settings_for(database_url, token_secret_file=Path(secret["TICKETFLOW_TOKEN_SECRET_FILE"]))
    async with served(settings) as api:

        async def get() -> httpx.Response:
            return await api.http.get("/tickets", headers={"Authorization": f"Bearer {token}"})

        assert (await get()).status_code == 200
        revoked = await asyncio.to_thread(cli, "token", "revoke", token_id, **secret)
        assert revoked.returncode == 0, revoked.stderr
        async with asyncio.timeout(30):
            while (answer := await get()).status_code == 200:
                pass
        assert_problem(answer, 401, "unauthenticated")


def test_what_was_issued_is_listed_without_the_tokens(cli: Cli, secret: dict[str, str]) -> None:
    issued = [
        json.loads(cli("token", *arguments, "--json", **secret).stdout)
        for arguments in (
            ("--role", "customer", "--subject", "cus_1", "--scope", "intake", "--scope", "read", "--expires", "1h"),
            ("--role", "admin"),
        )
    ]
    assert [each["subject"] for each in issued] == ["cus_1", "admin"]
    assert [each["scope"] for each in issued] == [["intake", "read"], ["intake", "metrics", "read", "write"]]
    claims = jwt.decode(issued[0]["token"], options={"verify_signature": False})
    assert (claims["sub"], claims["role"], claims["scope"]) == ("cus_1", "customer", "intake read")
    assert claims["exp"] - claims["iat"] == 3600
    assert cli("token", "revoke", issued[1]["id"], **secret).returncode == 0
    listed = cli("token", "list", "--json")
    assert {each["id"]: each["state"] for each in json.loads(listed.stdout)} == {
        issued[0]["id"]: "good",
        issued[1]["id"]: "revoked",
    }
    shown = cli("token", "list")
    assert issued[0]["id"] in shown.stdout
    assert not [each for each in issued if each["token"] in listed.stdout + shown.stdout]
    assert len(cli.json("token", "list", "--limit", "1", "--json")) == 1


def test_a_secret_file_is_its_owners_and_never_written_over(cli: Cli, secret: dict[str, str]) -> None:
    file = cli.folder / "secret"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    content = file.read_text()
    assert "there already" in assert_one_line(cli("token", "secret", "secret"))
    assert file.read_text() == content
    assert "cannot make" in assert_one_line(cli("token", "secret", "nowhere/secret"))


def test_what_cannot_be_done_is_one_line(cli: Cli, secret: dict[str, str]) -> None:
    assert "ticketflow token secret FILE" in assert_one_line(cli("token", "--role", "admin"))
    missing = {"TICKETFLOW_TOKEN_SECRET_FILE": "nowhere"}
    assert "TICKETFLOW_TOKEN_SECRET_FILE" in assert_one_line(cli("token", "--role", "admin", **missing))
    assert NOBODY in assert_one_line(cli("token", "revoke", NOBODY))


def test_a_token_for_nobody_is_a_usage_error(cli: Cli, secret: dict[str, str]) -> None:
    refused = cli.at_once(
        ("token",),
        ("token", "--role", "root"),
        ("token", "--role", "customer"),
        ("token", "--role", "agent", "--subject", "pipeline"),
        ("token", "--role", "agent", "--subject", ""),
        ("token", "--role", "agent", "--scope", "everything"),
        ("token", "--role", "agent", "--expires", "0d"),
        ("token", "--role", "agent", "--expires", "11y"),
        ("token", "--role", "agent", "--expires", "999999w"),
        ("token", "revoke", "1"),
    )
    for done in refused:
        assert done.returncode == 2, done
        assert done.stdout == ""
        assert "Traceback" not in done.stderr
    assert cli.json("token", "list", "--json") == []


@pytest.mark.parametrize("command", [("api",), ("up", "--no-worker")])
def test_a_server_that_cannot_tell_who_calls_does_not_start(cli: Cli, command: tuple[str, ...]) -> None:
    (cli.folder / "short").write_text("too short")
    for environment, named in (
        ({"TICKETFLOW_TOKEN_SECRET_FILE": "nowhere"}, "TICKETFLOW_TOKEN_SECRET_FILE"),
        ({"TICKETFLOW_TOKEN_SECRET_FILE": "short"}, "32 bytes"),
        ({"TICKETFLOW_TOKEN_SECRET": "x" * 40, "TICKETFLOW_ALLOW_ANONYMOUS": "true"}, "TICKETFLOW_ALLOW_ANONYMOUS"),
        ({"TICKETFLOW_HOST": "0.0.0.0"}, "TICKETFLOW_TOKEN_SECRET_FILE"),
    ):
        done = cli(*command, "--port", "0", **environment)
        assert named in assert_one_line(done)
