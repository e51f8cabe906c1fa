"""``tickets`` and ``dead-letters`` as an operator reads them: on a narrow screen, in a pipe, as JSON."""

from __future__ import annotations

import json
import re
from uuid import UUID, uuid4

import psycopg
import pytest

from tests.support.cli import Cli, assert_one_line
from tests.support.trails import RESULT, TTL, applied, claimed, event, fail, new_ticket, under
from ticketflow.db.commits import Commits
from ticketflow.db.leases import Leases
from ticketflow.db.postgres import PostgresGateway
from ticketflow.db.reads import Reads


async def test_tickets_and_dead_letters_are_shown_as_json_and_tried_again(
    cli: Cli, gateway: PostgresGateway, database_url: str
) -> None:
    commits, leases = Commits(gateway), Leases(gateway, "worker-1", TTL, ["1"])
    failed = str(await new_ticket(commits, subject="[bold]Not markup[/] \x1b[31m", customer_id="cus_7"))
    pending = str(await new_ticket(commits, customer_id="cus_8"))
    await fail(commits, leases, UUID(failed))
    of_customer, table, shown, page, events, before, letters, refused = cli.at_once(
        ("tickets", "list", "--customer-id", "cus_8", "--status", "pending", "--json"),
        ("tickets", "list"),
        ("tickets", "show", failed, "--json"),
        ("tickets", "show", failed),
        ("tickets", "events", failed, "--json"),
        ("tickets", "state", failed, "--version", "1"),
        ("dead-letters", "list", "--json"),
        ("tickets", "retry", pending),
    )
    assert [ticket["id"] for ticket in json.loads(of_customer.stdout)] == [pending]
    for text in (table.stdout, page.stdout):
        assert "[bold]Not markup[/]" in text
        assert "\x1b" not in text
    assert json.loads(shown.stdout)["error"]["code"] == "model_refused"
    trail = json.loads(events.stdout)
    assert [event["seq"] for event in trail] == [1, 2, 3, 4, 5, 6]
    assert json.loads(before.stdout)["status"] == "pending"
    assert list(json.loads(before.stdout)) == list(json.loads(shown.stdout))
    [letter] = json.loads(letters.stdout)
    assert letter["ticket_id"] == failed
    assert "is pending, only pause and cancel" in assert_one_line(refused)

    assert cli.json("dead-letters", "show", letter["id"], "--json")["payload"]["step"] == "classify"
    redriven = cli("dead-letters", "redrive", letter["id"])
    assert (redriven.returncode, failed in redriven.stdout) == (0, True)
    again, ticket = cli.at_once(("dead-letters", "redrive", letter["id"]), ("tickets", "show", failed, "--json"))
    assert "redriven already" in assert_one_line(again)
    assert (json.loads(ticket.stdout)["status"], json.loads(ticket.stdout)["attempt"]) == ("pending", 2)


@pytest.mark.parametrize("columns", ["80", ""])
async def test_lists_have_whole_ids_on_a_narrow_screen_and_are_not_cut_in_a_pipe(
    cli: Cli, gateway: PostgresGateway, database_url: str, columns: str
) -> None:
    commits, leases = Commits(gateway), Leases(gateway, "worker-1", TTL, ["1"])
    subject = "Every second line of this\nsubject says the same " * 4
    failed, again = [await new_ticket(commits, subject=subject, customer_id="cus_" + "7" * 60) for _ in range(2)]
    for ticket_id in (failed, again):
        await fail(commits, leases, ticket_id)
    with psycopg.connect(database_url) as connection:
        connection.execute("update dead_letters set detail = %s", ("the model's long\nanswer " * 9 + "was cut off",))
    letters = {letter["ticket_id"]: letter["id"] for letter in cli.json("dead-letters", "list", "--json")}
    assert cli("dead-letters", "redrive", letters[str(again)]).returncode == 0

    tickets, open_letters, all_letters = (
        cli(*command, COLUMNS=columns)
        for command in (
            ("tickets", "list"),
            ("dead-letters", "list"),
            ("dead-letters", "list", "--include-redriven"),
        )
    )
    assert [line.split()[0] for line in tickets.stdout.splitlines()] == ["id", str(again), str(failed)]
    rows = tickets.stdout.splitlines()[1:]
    lines = open_letters.stdout.splitlines()
    if columns:
        assert all(len(line) <= 80 and line.rstrip().endswith("\u2026") for line in rows), rows
        assert "customer" in tickets.stderr
        # A dead letter takes two lines, so that nothing of it is left out.
        assert [line.split()[0] for line in lines] == [letters[str(failed)], "ticket"]
        assert re.search(r" 20\d\d-\d\d-\d\d \d\d:\d\d:\d\dZ  model_refused$", lines[0])
        assert lines[1].startswith(f"  ticket {failed}  the model's long")
        assert lines[1].endswith("\u2026")
        every = all_letters.stdout.splitlines()
        assert [line.split()[0] for line in every] == [letters[str(again)], "redriven", letters[str(failed)], "open"]
        assert all(len(line) <= 80 for line in [*lines, *every])
    else:
        assert [line.split()[0] for line in lines] == ["id", letters[str(failed)]]
        marked = {line.split()[0]: line.split()[1] for line in all_letters.stdout.splitlines()}
        assert marked == {"id": "redriven", letters[str(failed)]: "no", letters[str(again)]: "yes"}
        assert not any("\u2026" in line for line in [*rows, *lines])
        assert str(failed) in open_letters.stdout
        assert tickets.stderr == ""
    assert (open_letters.stderr, all_letters.stderr) == ("", "")


async def test_a_redriven_message_is_not_called_a_next_attempt(cli: Cli, gateway: PostgresGateway) -> None:
    ticket_id, nameless, named = await new_ticket(Commits(gateway)), uuid4(), uuid4()
    await Reads(gateway).record_dead_message(nameless, None, "message", "not JSON", {})
    await Reads(gateway).record_dead_message(named, ticket_id, "message", "delivered too often", {})
    first, second = cli("dead-letters", "redrive", str(nameless)), cli("dead-letters", "redrive", str(named))
    assert first.stdout == f"{nameless} closed: it names no ticket\n"
    assert second.stdout == f"{named} redriven: ticket {ticket_id} is woken if it still needs a worker\n"


async def test_show_and_events_tell_the_whole_story(cli: Cli, gateway: PostgresGateway) -> None:
    commits, leases = Commits(gateway), Leases(gateway, "worker-1", TTL, ["1"])
    failed = await new_ticket(commits, subject="Dark", body="The keypad\nstays dark.", tags=["lock", "keypad"])
    await fail(commits, leases, failed)
    answered = await new_ticket(commits, customer_email="mirela@example.com")
    source = {"article_id": "keypad", "title": "The keypad stays dark"}
    result = {**RESULT, "reply": "Put two new\ncells in.", "sources": [source]}
    await applied(
        commits, under(await claimed(leases, answered), event(status="completed", result=result), release=True)
    )
    [stored] = [each for each in cli.json("tickets", "list", "--json") if each["id"] == str(failed)]
    shown = cli("tickets", "show", str(failed)).stdout
    for fact in (
        f"id        {failed}",
        "stands    in_progress, with pipeline",
        "status    failed_permanent, version 6, attempt 1",
        "tags      lock, keypad",
        f"created   {stored['created_at'][:19].replace('T', ' ')}Z",
        f"updated   {stored['updated_at'][:19].replace('T', ' ')}Z",
        "The keypad\nstays dark.\n",
        "model_refused: no\n",
    ):
        assert fact in shown
    shown = cli("tickets", "show", str(answered)).stdout
    for fact in (
        "<mirela@example.com>",
        "Put two new\ncells in.\n",
        "keypad: The keypad stays dark\n",
        "by test-model",
    ):
        assert fact in shown

    assert cli("tickets", "retry", str(failed)).returncode == 0
    trail = [line.split() for line in cli("tickets", "events", str(failed)).stdout.splitlines()[1:]]
    assert [line[0] for line in trail] == [str(seq) for seq in range(1, 8)]
    assert trail[0][1] == stored["created_at"][:10]
    assert trail[4][3:] == ["pipeline", "error", "classify", "model_refused"]
    assert trail[2][3:] == ["pipeline", "lifecycle", "assign", "lifecycle=assigned", "assignee=pipeline"]
    assert trail[6][3:] == ["admin:local", "retry", "manual", "status=pending", "attempt=2"]
    assert "None" not in str(trail)
