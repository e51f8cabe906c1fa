"""``submit``: files of tickets, good rows and bad ones, and files that are none."""

from __future__ import annotations

import csv
import json

import pytest

from tests.support.cli import Cli, assert_one_line


def test_submit_takes_good_rows_in_names_bad_ones_and_resumes(cli: Cli) -> None:
    rows = [
        ["subject", "body", "customer_id", "tags", "vip", "metadata", "priority"],
        ["One", "Two lines\nof text", "cus_1", "a; b", "yes", '{"n": 1}', "high"],
        ["", "no subject", "cus_1", "", "", "", ""],
        ["Same", "Same", "cus_2", "", "", "", ""],
        ["Same", "Same", "cus_2", "", "", "", ""],
        ["Bad priority", "b", "cus_3", "", "", "", "loud"],
        ["A\u2028separator", "and\x85another", "cus_4", "", "no", "", ""],
        ["Too", "few"],
    ]
    with (cli.folder / "in.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    first = cli("submit", "in.csv")
    assert first.returncode == 1
    assert first.stdout == "4 taken in, 0 there already, 3 failed\n"
    told = first.stderr.splitlines()
    assert [line.split(":")[0] for line in told] == ["row 4", "row 7", "row 9"]
    assert "subject" in told[0]
    assert "priority" in told[1]

    # After an interruption, with one row mended and one more added.
    rows[2][0] = "Now with a subject"
    with (cli.folder / "in.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([*rows[:-1], ["New", "b", "cus_5", "", "", "", ""]])
    again = cli("submit", "in.csv", "--json")
    assert again.returncode == 1
    told = json.loads(again.stdout)
    assert {name: told[name] for name in ("rows", "created", "existing", "failed")} == {
        "rows": 7,
        "created": 2,
        "existing": 4,
        "failed": 1,
    }
    tickets = {ticket["subject"]: ticket for ticket in cli.json("tickets", "list", "--json")}
    assert len(tickets) == 5
    one = tickets["One"]
    assert (one["body"], one["tags"], one["vip"], one["metadata"], one["priority"]) == (
        "Two lines\nof text",
        ["a", "b"],
        True,
        {"n": 1},
        "high",
    )
    assert tickets["A\u2028separator"]["body"] == "and\x85another"


def test_submit_reads_json_lines(cli: Cli) -> None:
    good = [{"subject": f"s{number}", "body": "b", "customer_id": "c", "channel": "email"} for number in range(3)]
    lines = [json.dumps(row) for row in good]
    lines[1:1] = ["not json", "", '["a list"]', '{"subject": "x"}', "[" * 50_000, '{"subject": "\\ud800", "body": "b"}']
    (cli.folder / "in.jsonl").write_text("\n".join(lines) + "\n")
    done = cli("submit", "in.jsonl", "--json")
    assert done.returncode == 1
    told = json.loads(done.stdout)
    assert (told["created"], told["existing"], told["failed"]) == (3, 0, 5)
    assert [error["row"] for error in told["errors"]] == [2, 4, 5, 6, 7]
    assert "Traceback" not in done.stderr
    (cli.folder / "in.jsonl").write_text("\n".join(json.dumps(row) for row in good))
    (cli.folder / "binary.csv").write_bytes(b"\xff\xfe\x00")
    complete, binary = cli.at_once(("submit", "in.jsonl", "--json"), ("submit", "binary.csv"))
    assert complete.returncode == 0
    assert json.loads(complete.stdout)["existing"] == 3
    assert binary.returncode == 1
    assert binary.stderr.splitlines()[0] == "ticketflow: binary.csv cannot be read as UTF-8 text"
    assert "Traceback" not in binary.stderr


@pytest.mark.parametrize(
    ("name", "delimiter", "tags"), [("in.csv", ";", '"a;b"'), ("in.csv", "\t", "a;b"), ("in.TSV", "\t", "a;b")]
)
def test_submit_sees_what_separates_the_columns(cli: Cli, name: str, delimiter: str, tags: str) -> None:
    lines = [(" subject", "body ", "customer_id", "tags"), ("One, two", "b", "cus_1", tags)]
    (cli.folder / name).write_text("\r\n".join(map(delimiter.join, lines)), encoding="utf-8-sig")
    done = cli("submit", name)
    assert (done.returncode, done.stdout) == (0, "1 taken in, 0 there already, 0 failed\n"), done.stderr
    [ticket] = cli.json("tickets", "list", "--json")
    assert (ticket["subject"], ticket["body"], ticket["tags"]) == ("One, two", "b", ["a", "b"])


def test_a_file_that_holds_no_tickets_is_one_clear_error_before_anything_is_sent(cli: Cli) -> None:
    for name, text in {
        "empty.csv": "",
        "blank.jsonl": "\n\n",
        "header.csv": "subject,body,customer_id\n",
        "tickets.json": "[]",
        "unknown.csv": "subject,body,customer_id,colour,\ns,b,c,red,\n",
        "lacking.csv": "subject,text\ns,b\n",
    }.items():
        (cli.folder / name).write_text(text)
    missing, empty, blank, header, other, unknown, lacking = cli.at_once(
        ("submit", "missing.csv"),
        ("submit", "empty.csv"),
        ("submit", "blank.jsonl"),
        ("submit", "header.csv"),
        ("submit", "tickets.json"),
        ("submit", "unknown.csv"),
        ("submit", "lacking.csv"),
    )
    assert assert_one_line(missing) == "ticketflow: missing.csv does not exist"
    assert assert_one_line(empty) == "ticketflow: there are no tickets in empty.csv"
    assert assert_one_line(blank) == "ticketflow: there are no tickets in blank.jsonl"
    assert assert_one_line(header) == "ticketflow: there are no tickets in header.csv"
    assert assert_one_line(other).startswith("ticketflow: tickets.json: the name must end in one of .csv")
    for done, told in (
        (unknown, "the header has unknown columns: 'colour', ''"),
        (lacking, "the header lacks body, customer_id and has unknown columns: 'text'"),
    ):
        assert (done.returncode, done.stdout) == (1, "")
        first, second = done.stderr.splitlines()
        assert first == f"ticketflow: {told}"
        assert "subject, body, customer_id" in second
    assert cli.json("tickets", "list", "--json") == []


def test_a_row_hears_of_all_its_faults_in_words(cli: Cli) -> None:
    (cli.folder / "in.csv").write_text(
        "subject,body,customer_id,customer_email,priority\n ,b,cus_1,mirela at example.com,loud\n"
    )
    done = cli("submit", "in.csv")
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert line.startswith("row 2: subject: must not be blank; customer_email: must be an e-mail address; priority: ")


def test_a_field_of_any_length_is_one_rows_problem(cli: Cli) -> None:
    rows = ["subject,body,customer_id", "one,fine,c", f"two,{'x' * 140_000},c", "three,fine,c"]
    (cli.folder / "long.csv").write_text("\n".join(rows) + "\n")
    done = cli("submit", "long.csv")
    assert done.stdout == "2 taken in, 0 there already, 1 failed\n"
    assert done.stderr.startswith("row 3: body: ")
