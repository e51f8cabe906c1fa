"""The compose file lets nobody in without a token, and makes its own secret and first tokens once."""

from __future__ import annotations

import os
import stat
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
SERVICES: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))["services"]
COMMAND = """#!/bin/sh
echo "$TICKETFLOW_TOKEN_SECRET_FILE: $@" >>"$CALLS"
fresh=$(od -An -N8 -tx1 /dev/urandom)
case "$*" in
"$FAIL_AT"*) exit 1 ;;
"token secret "*) [ ! -e "$3" ] && umask 077 && echo "$fresh" >"$3" ;;
*) echo "$fresh" ;;
esac
"""
"""In the place of ``ticketflow``: writes down how it was called, and makes each secret and token another."""
ADMIN = "token --role admin --subject first-admin"
PROMETHEUS = "token --role agent --subject prometheus --scope metrics --expires 365d"


@dataclass(frozen=True)
class Volumes:
    folder: Path

    @property
    def files(self) -> dict[str, str]:
        found = [path for name in ("kept", "scrape") for path in (self.folder / name).iterdir()]
        return {path.name: path.read_text() for path in found}

    def mode(self, name: str) -> int:
        return stat.S_IMODE((self.folder / name).stat().st_mode)

    def up(self, fail_at: str = "nothing") -> tuple[int, str, list[str]]:
        """Run the script as the service does; its exit code, what it says, and how it called ``ticketflow``."""
        calls = self.folder / "calls"
        calls.write_text("")
        command = ["sh", str(ROOT / "docker/access.sh"), str(self.folder / "kept"), str(self.folder / "scrape")]
        environment = {"PATH": f"{self.folder}:{os.environ['PATH']}", "CALLS": str(calls), "FAIL_AT": fail_at}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30, check=False)
        prefix = f"{self.folder}/kept/token.secret: "
        return done.returncode, done.stdout, [call.removeprefix(prefix) for call in calls.read_text().splitlines()]


@pytest.fixture
def volumes(tmp_path: Path) -> Volumes:
    (tmp_path / "kept").mkdir()
    (tmp_path / "scrape").mkdir()
    command = tmp_path / "ticketflow"
    command.write_text(COMMAND)
    command.chmod(0o755)
    return Volumes(tmp_path)


def test_the_first_start_makes_a_secret_and_two_tokens_and_says_where_the_admins_is(volumes: Volumes) -> None:
    code, said, calls = volumes.up()
    secret, admin = volumes.folder / "kept/token.secret", volumes.folder / "kept/first-admin.token"
    assert (code, calls) == (0, [f"token secret {secret}", ADMIN, PROMETHEUS])
    assert volumes.files.keys() == {"token.secret", "first-admin.token", "prometheus.token"}
    assert [volumes.mode(name) for name in ("kept/token.secret", "kept/first-admin.token")] == [0o600, 0o600]
    assert volumes.mode("scrape/prometheus.token") == 0o444
    assert f"docker compose exec api cat {admin}" in said
    assert not [content for content in volumes.files.values() if content.strip() in said]


def test_what_is_there_stays(volumes: Volumes) -> None:
    volumes.up()
    before = volumes.files
    assert volumes.up()[::2] == (0, [])
    assert volumes.files == before


def test_prometheus_has_a_new_token_long_before_its_old_one_ends(volumes: Volumes) -> None:
    volumes.up()
    before = volumes.files
    old = (datetime.now(UTC) - timedelta(days=182)).timestamp()
    os.utime(volumes.folder / "scrape/prometheus.token", (old, old))
    assert volumes.up()[::2] == (0, [PROMETHEUS])
    changed = {name for name, content in volumes.files.items() if content != before[name]}
    assert changed == {"prometheus.token"}


@pytest.mark.parametrize("fail_at", ["token secret", ADMIN, PROMETHEUS])
def test_a_start_that_failed_is_made_good_by_the_next(volumes: Volumes, fail_at: str) -> None:
    assert volumes.up(fail_at)[0] == 1
    code, _, calls = volumes.up()
    assert (code, fail_at in "\n".join(calls)) == (0, True)
    assert {name for name in volumes.files if not name.endswith(".new")} == {
        "token.secret",
        "first-admin.token",
        "prometheus.token",
    }


def test_tokens_of_a_secret_that_is_gone_are_made_anew(volumes: Volumes) -> None:
    volumes.up()
    before = volumes.files
    (volumes.folder / "kept/token.secret").write_text("")
    assert len(volumes.up()[2]) == 3
    assert not [name for name, content in volumes.files.items() if content == before[name]]


# --- Compose ----------------------------------------------------------------------------------------------------------


def test_nobody_is_let_in_without_a_token() -> None:
    assert not [name for name in SERVICES if "TICKETFLOW_ALLOW_ANONYMOUS" in SERVICES[name].get("environment", {})]
    api, access = SERVICES["api"], SERVICES["access"]
    assert api["depends_on"]["access"] == {"condition": "service_completed_successfully"}
    assert access["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}
    kept, scrape = access["command"]
    for service in (api, access):
        assert service["environment"]["TICKETFLOW_TOKEN_SECRET_FILE"] == f"{kept}/token.secret"
    assert f"access:{kept}:ro" in api["volumes"]
    assert {f"access:{kept}", f"scrape:{scrape}"} < set(access["volumes"])
    assert not SERVICES["worker"].get("volumes")


def test_prometheus_shows_the_api_its_own_token_and_sees_no_other() -> None:
    config = yaml.safe_load((ROOT / "docker/prometheus/prometheus.yml").read_text(encoding="utf-8"))
    [api] = [job for job in config["scrape_configs"] if job["job_name"] == "api"]
    scrape = SERVICES["access"]["command"][1]
    assert api["authorization"] == {"type": "Bearer", "credentials_file": f"{scrape}/prometheus.token"}
    ours = [volume for volume in SERVICES["prometheus"]["volumes"] if volume.startswith(("access", "scrape"))]
    assert ours == [f"scrape:{scrape}:ro"]


def test_the_volumes_belong_to_the_user_of_the_image() -> None:
    made = (ROOT / "docker/Dockerfile").read_text(encoding="utf-8")
    assert f"install -d -o ticketflow -g ticketflow -m 0755 {' '.join(SERVICES['access']['command'])}" in made
