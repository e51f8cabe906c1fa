"""The files around the code agree with it and with each other: lock files, image, compose, scraping, variables."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from dotenv import dotenv_values
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from ticketflow.settings import Settings, variable_names

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
COMPOSE_TEXT = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
SERVICES: dict[str, Any] = yaml.safe_load(COMPOSE_TEXT)["services"]
OURS = ("migrate", "access", "api", "worker")
PORTS = {"api": "TICKETFLOW_PORT", "worker": "TICKETFLOW_METRICS_PORT"}
KEPT_FROM_COMPOSE = {
    # A Supabase project comes with its database, and this file brings its own.
    "SUPABASE_URL", "SUPABASE_KEY", "SUPABASE_JWT_SECRET",
    # What the image and the file settle: ports, formats, who is let in.
    "TICKETFLOW_PORT", "TICKETFLOW_METRICS_PORT", "TICKETFLOW_HOST", "TICKETFLOW_METRICS_HOST", "TICKETFLOW_LOG_FORMAT",
    "TICKETFLOW_TOKEN_SECRET", "TICKETFLOW_TOKEN_SECRET_FILE", "TICKETFLOW_ALLOW_ANONYMOUS", "TICKETFLOW_DRAIN_SECONDS",
    # Paths of this machine mean nothing in a container.
    "TICKETFLOW_DATA_DIR", "TICKETFLOW_ROUTES_FILE",
}  # fmt: skip

# --- Prometheus -------------------------------------------------------------------------------------------------------


def test_prometheus_finds_the_api_and_every_worker_by_dns() -> None:
    config = yaml.safe_load((ROOT / "docker/prometheus/prometheus.yml").read_text(encoding="utf-8"))
    found = {job["job_name"]: job["dns_sd_configs"][0] for job in config["scrape_configs"]}
    ports = {"api": Settings.model_fields["port"].default, "worker": Settings.model_fields["metrics_port"].default}
    assert found.keys() == ports.keys()
    for name, port in ports.items():
        assert name in SERVICES
        assert (found[name]["names"], found[name]["type"], found[name]["port"]) == ([name], "A", port)


# --- Variables --------------------------------------------------------------------------------------------------------


def test_the_example_lists_every_variable_in_order() -> None:
    assert list(dotenv_values(ROOT / ".env.example", interpolate=False)) == variable_names()


def test_the_example_changes_no_default(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in variable_names():
        monkeypatch.delenv(name, raising=False)
    example = ROOT / ".env.example"
    assert Settings(_env_file=example) == Settings(_env_file=None)  # type: ignore[call-arg]
    values = dotenv_values(example, interpolate=False)
    for name, info in zip(variable_names(), Settings.model_fields.values(), strict=True):
        without_default = info.default is None or info.default_factory is not None
        assert (values[name] == "") == without_default, name


def test_the_example_lists_what_only_compose_reads() -> None:
    text = (ROOT / ".env.example").read_text(encoding="utf-8")
    listed = dict(re.findall(r"^# ([A-Z_]+)=(.*)$", text, re.MULTILINE))
    assert listed == dict(re.findall(r"\$\{(\w+):-([^}]*)\}", COMPOSE_TEXT))
    assert not [name for name in listed if name.startswith("TICKETFLOW_")]


@pytest.mark.parametrize("service", OURS)
def test_compose_sets_only_variables_that_exist(service: str) -> None:
    assert set(SERVICES[service]["environment"]) <= set(variable_names())


@pytest.mark.parametrize("service", ["api", "worker"])
def test_what_env_says_reaches_the_containers(service: str) -> None:
    missing = set(variable_names()) - set(SERVICES[service]["environment"])
    assert missing <= KEPT_FROM_COMPOSE


# --- Compose ----------------------------------------------------------------------------------------------------------


def test_compose_has_the_services_of_one_server() -> None:
    assert set(SERVICES) == {"postgres", "rabbitmq", "migrate", "access", "api", "worker", "prometheus", "grafana"}


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_has_a_healthcheck_and_a_pinned_image(service: str) -> None:
    definition = SERVICES[service]
    test = definition["healthcheck"]["test"]
    assert test[0] == "CMD"
    assert len(test) > 1
    assert not definition["healthcheck"].get("disable")
    if "build" not in definition:
        assert re.search(r":v?\d[\w.-]*$", definition["image"])


@pytest.mark.parametrize("service", SERVICES)
def test_nothing_is_published_beyond_this_machine(service: str) -> None:
    for port in SERVICES[service].get("ports", []):
        assert port.startswith("127.0.0.1:")
    if service in ("postgres", "worker", "migrate", "access"):
        assert "ports" not in SERVICES[service]


def test_workers_can_be_scaled_and_have_time_to_drain() -> None:
    worker = SERVICES["worker"]
    assert "container_name" not in worker
    assert int(worker["stop_grace_period"].removesuffix("s")) > worker["environment"]["TICKETFLOW_DRAIN_SECONDS"]


def test_api_and_workers_start_on_a_migrated_database() -> None:
    for service in ("api", "worker"):
        assert SERVICES[service]["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}
    assert SERVICES["migrate"]["command"] == ["migrate"]


# --- Image ------------------------------------------------------------------------------------------------------------


@dataclass
class Stage:
    base: str
    instructions: list[tuple[str, str]] = field(default_factory=list)


def stages() -> dict[str, Stage]:
    text = re.sub(r"^#.*\n", "", (ROOT / "docker/Dockerfile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    found: dict[str, Stage] = {}
    current: Stage | None = None
    for line in re.sub(r"\\\n\s*", "", text).splitlines():
        instruction, _, rest = line.strip().partition(" ")
        if instruction == "FROM":
            base, _, name = rest.partition(" AS ")
            current = found[name] = Stage(base)
        elif instruction and current is not None:
            current.instructions.append((instruction, rest.strip()))
    return found


def last(target: str, instruction: str) -> str:
    """The value in force at the end of a target, its base stages included."""
    stage: Stage | None = stages()[target]
    while stage is not None:
        for name, value in reversed(stage.instructions):
            if name == instruction:
                return value
        stage = stages().get(stage.base)
    raise AssertionError(f"{target} has no {instruction}")


@pytest.mark.parametrize("target", ["api", "worker"])
def test_an_image_runs_its_role_as_an_ordinary_user(target: str) -> None:
    user = last(target, "USER")
    assert re.fullmatch(r"\d+:\d+", user)
    assert not user.startswith("0:")
    assert json.loads(last(target, "ENTRYPOINT")) == ["ticketflow"]
    assert json.loads(last(target, "CMD")) == [target]
    assert json.loads(last(target, "HEALTHCHECK").partition("CMD ")[2])[0] == "python"
    assert SERVICES[target]["build"]["target"] == target


@contextmanager
def answering(status: int) -> Iterator[int]:
    """The port of a server on loopback that says one status at /health and 404 elsewhere."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/health" else 404)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever).start()
        try:
            yield server.server_port
        finally:
            server.shutdown()


@pytest.mark.parametrize("target", PORTS)
@pytest.mark.parametrize("written_in", ["image", "compose"])
def test_a_healthcheck_asks_its_own_process_and_no_proxy(target: str, written_in: str) -> None:
    default = Settings.model_fields[PORTS[target].removeprefix("TICKETFLOW_").lower()].default
    command = json.loads(last(target, "HEALTHCHECK").partition("CMD ")[2])
    if written_in == "compose":
        command = SERVICES[target]["healthcheck"]["test"][1:]

    def healthy(port: int) -> bool:
        code = command[2] if written_in == "image" else command[2].replace(f":{default}/", f":{port}/")
        environment = {PORTS[target]: str(port), "http_proxy": "http://127.0.0.1:1"}
        run = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, timeout=30, check=False
        )
        return run.returncode == 0

    assert command[:2] == ["python", "-c"]
    assert f"{default}" in command[2]
    with answering(200) as port:
        assert healthy(port)
    assert not healthy(port)
    with answering(503) as port:
        assert not healthy(port)


def test_the_image_installs_what_is_locked() -> None:
    installs = [value for name, value in stages()["builder"].instructions if name == "RUN" and " install " in value]
    for install in " && ".join(installs).split("&&"):
        if " install " in install:
            assert "--require-hashes -r requirements" in install or "--no-deps --no-index wheels/" in install


def test_the_build_context_holds_what_the_image_copies() -> None:
    let_in = {
        line.removeprefix("!") for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines() if line[:1] == "!"
    }
    for name, value in stages()["builder"].instructions:
        if name == "COPY":
            for source in value.split()[:-1]:
                assert (ROOT / source).exists()
                assert source in let_in


# --- Lock files -------------------------------------------------------------------------------------------------------

_PIN = re.compile(r"(?P<name>[a-z0-9][a-z0-9.-]*)==(?P<version>[\w.+!]+)(?: ; [^\\]+)? \\")
_HASH = re.compile(r"    --hash=sha256:[0-9a-f]{64}(?P<more> \\)?")

_BASE = PROJECT["project"]["dependencies"]
_EXTRAS = PROJECT["project"]["optional-dependencies"]
_BUILD = PROJECT["build-system"]["requires"]
LOCKED = {
    "requirements.lock": _BASE,
    "requirements-embedded.lock": [*_BASE, *_EXTRAS["embedded"]],
    "requirements-build.lock": _BUILD,
    "requirements-dev.lock": [*_BASE, *_EXTRAS["embedded"], *_EXTRAS["dev"], *_BUILD],
}


def pins(lock: str) -> dict[str, frozenset[str]]:
    """Name and version of every entry; several versions where each has a marker that says for which Python. Fails for
    a line that is not part of a pinned entry with hashes."""
    found: dict[str, frozenset[str]] = {}
    lines = [line for line in (ROOT / lock).read_text("utf-8").splitlines() if line and line.lstrip()[:1] != "#"]
    expect_hash = False
    for line in lines:
        if expect_hash:
            match = _HASH.fullmatch(line)
            assert match, line
            expect_hash = match["more"] is not None
        else:
            match = _PIN.fullmatch(line)
            assert match, line
            assert match["name"] not in found or "python_full_version" in line
            found[match["name"]] = found.get(match["name"], frozenset()) | {match["version"]}
            expect_hash = True
    assert not expect_hash
    return found


@pytest.mark.parametrize("lock", LOCKED)
def test_a_lock_file_pins_every_direct_dependency_with_hashes(lock: str) -> None:
    found = pins(lock)
    for line in LOCKED[lock]:
        requirement = Requirement(line)
        assert all(map(requirement.specifier.contains, found[canonicalize_name(requirement.name)])), line


@pytest.mark.parametrize("lock", LOCKED)
def test_a_lock_file_names_no_place_and_says_how_it_is_made(lock: str) -> None:
    text = (ROOT / lock).read_text(encoding="utf-8")
    assert "make lock" in text.partition("==")[0]
    assert not re.search(r"://|--index|--find-links|--extra-index|^-e |file:", text, re.MULTILINE)


@pytest.mark.parametrize("lock", LOCKED)
def test_lock_files_agree(lock: str) -> None:
    assert pins(lock).items() <= pins("requirements-dev.lock").items()
