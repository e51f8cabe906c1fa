"""The command line as an operator runs it: real processes, exit codes, JSON on stdout, one line for what is wrong."""

from __future__ import annotations

import json
import re
from importlib.metadata import version
from pathlib import Path

import psycopg
import pytest

from tests.support.cli import Cli, assert_one_line, data_folder
from tests.support.trails import new_ticket
from ticketflow.api.models import BatchItem
from ticketflow.db.commits import Commits
from ticketflow.db.migrate import shipped
from ticketflow.db.postgres import PostgresGateway

NAMES = [migration.name for migration in shipped()]


def test_help_lists_the_commands_and_a_wrong_command_line_is_exit_2(cli: Cli) -> None:
    listed, *wrong = cli.at_once(
        ("--help",),
        ("no-such-command",),
        ("tickets", "list", "--status", "asleep"),
        ("tickets", "show", "not-an-id"),
        ("tickets", "state", "6f1f6c0e-5d0b-4c55-9d3a-0f6b7a5f9b0e", "--at", "2026-01-01T00:00:00"),
    )
    assert listed.returncode == 0
    commands = {line.split()[0] for line in listed.stdout.split("Commands:")[1].splitlines() if line.strip()}
    assert commands >= {
        "up",
        "api",
        "worker",
        "migrate",
        "demo",
        "submit",
        "graph",
        "verify",
        "prune",
        "doctor",
        "tickets",
        "kb",
        "dead-letters",
    }
    for done in wrong:
        assert (done.returncode, done.stdout) == (2, ""), done
        assert "Usage:" in done.stderr
        assert "Traceback" not in done.stderr
    assert "pending, processing, waiting" in wrong[1].stderr


def test_the_version_is_that_of_the_package(cli: Cli) -> None:
    done = cli("--version")
    assert (done.returncode, done.stdout) == (0, f"ticketflow {version('ticketflow')}\n")


def test_arguments_are_named_in_one_way_and_flags_are_plain(cli: Cli) -> None:
    helps = cli.at_once(
        *((*command.split(), "--help") for command in ("", "up", "submit", "graph", "bench", "kb import", "kb search")),
        *(
            (group, command, "--help")
            for group in ("tickets", "dead-letters")
            for command in ("show", "retry", "redrive")
        ),
    )
    usages = [done.stdout.splitlines()[0] for done in helps if done.returncode == 0]
    assert len(usages) == 11
    assert not any(word.islower() for usage in usages for word in re.findall(r"[{\[(]+(\w+)[}\])]", usage)), usages
    assert "--no-worker" in helps[1].stdout
    assert "True" not in helps[1].stdout
    assert all(re.search(rf"\b{column}\b", helps[2].stdout) for column in BatchItem.model_fields)
    assert "..." not in helps[0].stdout.split("Commands:")[1]


def test_migrate_brings_an_empty_database_up_and_check_only_says_how_it_stands(
    tmp_path: Path, empty_database_url: str
) -> None:
    cli = Cli(tmp_path, empty_database_url)
    behind = cli("migrate", "--check")
    assert behind.returncode == 1
    assert behind.stdout.split() == [word for name in NAMES for word in ("missing", name)]
    assert "ticketflow migrate" in assert_one_line(cli("verify"))
    migrated = cli("migrate")
    assert migrated.returncode == 0
    assert all(f"applied  {name}" in migrated.stdout for name in NAMES)
    again, checked = cli.at_once(("migrate",), ("migrate", "--check"))
    assert (again.returncode, checked.returncode) == (0, 0)
    assert again.stdout == checked.stdout
    assert "up to date" in again.stdout


async def test_verify_is_exit_0_until_something_is_wrong(cli: Cli, gateway: PostgresGateway, database_url: str) -> None:
    commits = Commits(gateway)
    good = await new_ticket(commits)
    clean = cli("verify")
    assert (clean.returncode, clean.stdout) == (0, "1 ticket, 1 event: consistent\n")
    tampered = await new_ticket(commits)
    with psycopg.connect(database_url) as connection:
        connection.execute("update tickets set team = 'someone else' where id = %s", (tampered,))
        connection.execute(
            "insert into events (ticket_id, seq, event_type, actor, change_id) "
            "values ('6f1f6c0e-5d0b-4c55-9d3a-0f6b7a5f9b0e', 1, 'created', 'system', gen_random_uuid())"
        )
    as_text, as_json = cli.at_once(("verify",), ("verify", "--json"))
    assert (as_text.returncode, as_json.returncode) == (1, 1)
    assert "2 tickets, 2 events: 2 violations" in as_text.stdout
    verdict = json.loads(as_json.stdout)
    assert (verdict["tickets"], verdict["events"]) == (2, 2)
    assert {(violation["ticket_id"], violation["rule"]) for violation in verdict["violations"]} == {
        (str(tampered), "row = fold of events"),
        ("6f1f6c0e-5d0b-4c55-9d3a-0f6b7a5f9b0e", "whatever names a ticket has one"),
    }
    assert str(good) not in as_json.stdout


@pytest.mark.parametrize(
    ("database_url", "reason", "commands"),
    [
        ("postgresql://someone:hunter2@127.0.0.1:1/x", "127.0.0.1", ["migrate", "submit in.jsonl", "api --port 0"]),
        ("postgresql://someone:hunter2%@127.0.0.1/x", "DATABASE_URL", ["verify", "worker"]),
    ],
)
def test_a_database_that_cannot_be_used_is_one_line_without_the_password(
    tmp_path: Path, database_url: str, reason: str, commands: list[str]
) -> None:
    (tmp_path / "in.jsonl").write_text('{"subject": "s", "body": "b", "customer_id": "c"}')
    for done in Cli(tmp_path, database_url).at_once(*(tuple(command.split()) for command in commands)):
        assert reason in assert_one_line(done)
        assert "hunter2" not in done.stderr


def test_a_configuration_that_cannot_work_stops_the_start_with_one_line(cli: Cli) -> None:
    half_set = cli("verify", SUPABASE_KEY="hunter2")
    assert "SUPABASE_URL" in assert_one_line(half_set)
    assert "hunter2" not in half_set.stderr
    assert "TICKETFLOW_ALLOW_ANONYMOUS" in assert_one_line(cli("api", "--host", "0.0.0.0"))


@pytest.mark.parametrize("database", ["server", "embedded"])
def test_demo_answers_sample_tickets_and_the_audit_agrees(cli: Cli, tmp_path: Path, database: str) -> None:
    with data_folder() as folder:
        choice = {"DATABASE_URL": "", "TICKETFLOW_DATA_DIR": str(folder)} if database == "embedded" else {}
        as_json, told = cli("demo", "--tickets", "4", "--json", **choice), cli("demo", "--tickets", "4", **choice)
    summary = json.loads(as_json.stdout)
    assert (as_json.returncode, summary["tickets"], summary["violations"]) == (0, 4, 0)
    assert summary["by_status"] == {"completed": 4}
    assert len(summary["items"]) == 4
    shown = [item for item in summary["items"] if f"{item['disposition']}: {item['subject']}\n" in told.stdout]
    items = {item["disposition"]: item for item in shown}
    assert (len(shown), set(items)) == (2, {"answered", "escalated"})
    assert set(items["answered"]) >= {"subject", "category", "priority", "team", "reply", "sources"}
    assert "offline-rules-1" in told.stderr
    for item in shown:
        assert f"\n{item['reply']}\n" in told.stdout
    [source] = items["answered"]["sources"]
    assert f"\n{source['article_id']}: {source['title']}\n" in told.stdout
    assert "4 tickets in" in told.stdout
    assert "consistent" in told.stdout


def test_the_demo_fits_a_narrow_screen_with_every_column(cli: Cli) -> None:
    told = cli("demo", "--tickets", "30", COLUMNS="80")
    head, *rows = told.stdout.split("\n\n")[0].splitlines()
    assert head.split() == ["subject", "category", "priority", "team", "result", "source"]
    assert all(len(row) <= 80 for row in rows)
    assert len(rows) == 30
    assert "left out" not in told.stderr


def test_the_graph_is_drawn_in_the_form_that_the_name_asks_for(cli: Cli, tmp_path: Path) -> None:
    console, *written = cli.at_once(
        ("graph",), ("graph", "a.png"), ("graph", "a.svg"), ("graph", "a.mmd"), ("graph", "a.gif")
    )
    assert "Classify" in console.stdout
    assert [done.returncode for done in written] == [0, 0, 0, 2]
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "a.svg").read_text().startswith("<svg")
    assert "classify --> extract" in (tmp_path / "a.mmd").read_text()
    assert not (tmp_path / "a.gif").exists()


def test_the_lifecycle_is_drawn_in_the_form_that_the_name_asks_for(cli: Cli, tmp_path: Path) -> None:
    console, *written = cli.at_once(
        ("graph", "--lifecycle"), ("graph", "--lifecycle", "a.mmd"), ("graph", "--lifecycle", "a.gif")
    )
    assert "resolve_escalated" in console.stdout
    assert [done.returncode for done in written] == [0, 2]
    assert "escalated --> resolve_escalated" in (tmp_path / "a.mmd").read_text()
    assert not (tmp_path / "a.gif").exists()


def test_doctor_says_what_is_well_and_what_to_do_about_the_rest(cli: Cli) -> None:
    away = cli("doctor", "--json", RABBITMQ_URL="amqp://someone:hunter2@127.0.0.1:1/")
    assert away.returncode == 1
    assert "hunter2" not in away.stdout + away.stderr
    checks = {check["part"]: check for check in json.loads(away.stdout)}
    well = {part for part, check in checks.items() if check["ok"]}
    assert (well, set(checks) - well) == ({"database", "access", "routing", "model"}, {"queue", "knowledge"})
    assert "RABBITMQ_URL" in checks["queue"]["advice"]
    assert "offline-rules-1" in checks["model"]["finding"]
    article = cli.folder / "keypad.md"
    article.write_text("# The keypad\n\nHold the inner button.\n", encoding="utf-8")
    assert cli("kb", "import", str(article)).returncode == 0
    healthy = cli("doctor")
    assert (healthy.returncode, healthy.stdout.count("ok ")) == (0, 6)
    misnamed = cli("doctor", TICKETFLOW_ROUTES_FILE=str(cli.folder / "none.yaml"))
    assert misnamed.returncode == 1
    assert "TICKETFLOW_ROUTES_FILE" in misnamed.stdout
    unsigned = cli("doctor", TICKETFLOW_TOKEN_SECRET_FILE=str(cli.folder / "none.secret"))
    assert unsigned.returncode == 1
    assert "TICKETFLOW_TOKEN_SECRET_FILE" in unsigned.stdout


def test_a_terminal_that_cannot_show_a_character_shows_another(cli: Cli) -> None:
    article = cli.folder / "a.md"
    article.write_text("# Türschloss — „offen“\n\nDrücken.\n", encoding="utf-8")
    assert cli("kb", "import", "a.md").returncode == 0
    listed = cli("kb", "list", LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")
    assert (listed.returncode, listed.stderr) == (0, "")
    assert "T?rschloss" in listed.stdout


@pytest.mark.parametrize(("where", "code"), [(">/dev/full", 1), (">&-", 0), ("2>&-", 0), ("| true", 0)])
def test_a_stdout_that_takes_nothing_is_no_traceback(cli: Cli, where: str, code: int) -> None:
    done = cli.shell(f'"$PYTHON" -m ticketflow kb list --json {where}')
    assert (done.returncode, "Traceback" in done.stderr, "Exception" in done.stderr) == (code, False, False)
