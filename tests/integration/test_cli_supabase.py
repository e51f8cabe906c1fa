"""The command line where a Supabase project's address and key are all there is."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
import structlog
from click.testing import Result
from typer.testing import CliRunner

from tests.support.access import SECRET
from tests.support.cli import data_folder
from tests.support.postgrest import RestApi
from tests.support.project import Project, stand_in
from tests.support.supabase import Supabase
from ticketflow import store
from ticketflow.cli.main import app
from ticketflow.db.embedded import EmbeddedPostgres

Run = Callable[..., Result]


@pytest.fixture(scope="module")
def project(project_server: Supabase) -> Iterator[Project]:
    with stand_in(project_server) as made:
        yield made


@pytest.fixture
def api(project: Project) -> Iterator[RestApi]:
    assert project.api is not None
    project.api.reset()
    yield project.api
    project.api.reset()


@pytest.fixture
def folder() -> Iterator[Path]:
    with data_folder() as own:
        yield own


@pytest.fixture
def run(api: RestApi, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """``ticketflow ARGUMENTS``, in this process. It sets up logging for a whole process, which here is all tests'."""
    monkeypatch.chdir(folder)
    environment = {
        "SUPABASE_URL": api.url,
        "SUPABASE_KEY": api.secret_key,
        "DATABASE_URL": "",
        "RABBITMQ_URL": "",
        "TICKETFLOW_DATA_DIR": str(folder / "data"),
        "TICKETFLOW_TOKEN_SECRET": SECRET,
    }
    before, root = structlog.get_config(), logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield lambda *arguments: CliRunner().invoke(app, arguments, env=environment)
    structlog.configure(**before)
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(False)


def test_migrate_says_what_it_takes_and_makes_no_database_of_its_own(run: Run, api: RestApi, folder: Path) -> None:
    done = run("migrate")
    assert (done.exit_code, done.stdout) == (1, "")
    [line] = done.stderr.splitlines()
    assert line.startswith("ticketflow: migrations take a direct connection: set DATABASE_URL")
    assert "`supabase db push`" in line
    assert "docs/SUPABASE.md" in line
    assert not (folder / "data").exists()
    assert not api.calls


def test_migrate_check_asks_the_project(run: Run, project: Project) -> None:
    current = run("migrate", "--check")
    assert (current.exit_code, current.stdout) == (0, f"Supabase over REST ({project.url}) is up to date\n")
    with psycopg.connect(project.owner_url, autocommit=True) as owner:
        [row] = owner.execute("select pg_get_functiondef('ticketflow_schema(jsonb)'::regprocedure)").fetchall()
        owner.execute(
            """create or replace function ticketflow_schema(args jsonb) returns jsonb language sql stable
               as $$ select '{"version": 1, "reads": []}'::jsonb $$"""
        )
        behind = run("migrate", "--check")
        owner.execute(row[0])
    assert (behind.exit_code, behind.stdout) == (1, "")
    assert "the project is behind by" in behind.stderr


def test_what_works_with_tickets_works(run: Run, api: RestApi, folder: Path) -> None:
    (folder / "in.jsonl").write_text('{"subject": "Keypad", "body": "It stays dark.", "customer_id": "cus_1"}\n')
    (folder / "keypad.md").write_text("# The keypad\n\nHold the inner button.\n")
    for command in (
        "submit in.jsonl",
        "kb import keypad.md",
        "tickets list",
        "dead-letters list",
        "token --role admin --subject mia",
        "prune --older-than 1d --tickets",
        "verify",
        "doctor",
    ):
        api.calls.clear()
        done = run(*command.split())
        assert (done.exit_code, "Traceback" in done.stderr) == (0, False), (command, done.output)
        assert api.calls.total() > 1, command
    assert json.loads(run("verify", "--json").stdout)["tickets"] == 1
    assert not (folder / "data").exists()


class AlreadyStarted(EmbeddedPostgres):
    """The server at hand in place of the embedded one, which takes seconds to make."""

    url = ""

    def start(self) -> str:
        return self.url

    def stop(self) -> None:
        pass


def test_the_demo_leaves_the_project_alone_and_says_where_it_is(
    run: Run, api: RestApi, folder: Path, postgres_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(AlreadyStarted, "url", postgres_server)
    monkeypatch.setattr(store, "EmbeddedPostgres", AlreadyStarted)
    done = run("demo", "--tickets", "1", "--json")
    assert done.exit_code == 0, done.output
    assert f"embedded PostgreSQL ({folder / 'data'})" in done.stderr
    assert "the Supabase project is left alone" in done.stderr
    assert not api.calls


def test_doctor_speaks_of_what_is_configured(run: Run, api: RestApi) -> None:
    api.stop()
    done = run("doctor", "--json")
    api.start()
    database, access, *_ = json.loads(done.stdout)
    assert (done.exit_code, database["part"], database["ok"]) == (1, "database", False)
    assert "cannot be reached" in database["finding"]
    assert database["advice"] == "check SUPABASE_URL, and in the dashboard that the project runs"
    assert (access["part"], access["ok"]) == ("access", True)
    assert access["advice"].startswith(f"the issuer's keys cannot be had at {api.url}/")


def test_doctor_says_what_the_database_refuses_after_it_was_reached(run: Run, project: Project) -> None:
    with psycopg.connect(project.owner_url, autocommit=True) as owner:
        owner.execute("revoke select on articles from service_role")
        done = run("doctor", "--json")
        owner.execute("select ticketflow_secure()")
    parts = {check["part"]: check for check in json.loads(done.stdout)}
    assert (parts["database"]["ok"], parts["knowledge"]["ok"], parts["model"]["ok"]) == (True, False, True)
    assert parts["knowledge"]["finding"].startswith("SUPABASE_KEY may not do this")
