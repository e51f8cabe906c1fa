"""Labelled data from files: what is read, and what is refused with its row and field."""

from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.support.services import ROOT
from ticketflow.cli.labelled import SHIPPED, dataset, label_map
from ticketflow.domain.errors import Invalid
from ticketflow.domain.tickets import Category, Priority

GOOD = {"subject": "Invoice", "body": "It is wrong.", "category": "billing"}


def lines(folder: Path, *rows: Any) -> str:
    path = folder / "in.jsonl"
    path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows), "utf-8")
    return str(path)


def told(name: str) -> list[str]:
    with pytest.raises(Invalid) as caught:
        dataset(name, None)
    return [str(caught.value), *(f"{each.field}: {each.message}" for each in caught.value.problems)]


def test_csv_with_a_text_and_labels_and_columns_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    path.write_text('id;text;priority\n7;"Two\nlines; one field";urgent\n8;b;low\n', "utf-8")
    found = dataset(str(path), None)
    assert [(each.row, each.subject, each.body, each.labels) for each in found.tickets] == [
        (3, "", "Two\nlines; one field", {"priority": "urgent"}),
        (4, "", "b", {"priority": "low"}),
    ]


def test_json_lines_may_lack_one_of_the_labels(tmp_path: Path) -> None:
    found = dataset(lines(tmp_path, GOOD, {"text": "t", "category": "general", "priority": "high", "n": 1}), None)
    assert [each.labels for each in found.tickets] == [
        {"category": "billing"},
        {"category": "general", "priority": "high"},
    ]


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("{", "row 2: not JSON"),
        ("[1]", "row 2: not a JSON object"),
        ({"category": "billing"}, "row 2: body: is missing, and so is text"),
        ({**GOOD, "body": ""}, "row 2: body: String should have at least 1 character"),
        ({**GOOD, "body": " \n"}, "row 2: body: must not be blank"),
        ({**GOOD, "body": "a\x00b"}, "row 2: body: must not contain NUL characters"),
        (
            {**GOOD, "body": "\ud800"},
            "row 2: body: Input should be a valid string, unable to parse raw data as a unicode string",
        ),
        ({**GOOD, "body": "x" * 20_001}, "row 2: body: String should have at most 20000 characters"),
        ({**GOOD, "body": 5}, "row 2: body: Input should be a valid string"),
        ({**GOOD, "text": "t"}, "row 2: text: has both body and text"),
        ({**GOOD, "subject": "x" * 501}, "row 2: subject: String should have at most 500 characters"),
        ({"body": "b"}, "row 2: category: is missing, and so is priority"),
        ({**GOOD, "category": 3}, "row 2: category: Input should be a valid string"),
        ({**GOOD, "priority": "loud"}, "row 2: priority: 'loud' is none of low, medium, high, urgent"),
        (
            {**GOOD, "category": "Billing"},
            "row 2: category: 'Billing' is none of billing, technical, account, general; "
            "--map FILE says what other labels stand for",
        ),
    ],
)
def test_a_row_that_cannot_be_scored_is_named_with_its_field(tmp_path: Path, row: Any, problem: str) -> None:
    path = lines(tmp_path, GOOD, row, GOOD)
    assert told(path) == [f"{path}: 1 of 3 rows cannot be scored", problem]


def test_of_many_bad_rows_the_first_are_named(tmp_path: Path) -> None:
    path = lines(tmp_path, GOOD, *[{"body": "b"}] * 12)
    with pytest.raises(Invalid, match=r"12 of 13 rows cannot be scored, the first 10 of them here"):
        dataset(path, None)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "there are no labelled tickets in "),
        (b"text,category\n", "there are no labelled tickets in "),
        (b"text,label\nt,billing\n", "the header has none of the labels category and priority"),
        (b"message,category\nm,billing\n", "the header has neither body nor text"),
        (b"text,category,category\nt,billing,general\n", "the header has more than one column 'category'"),
        (b"text,category\nt\n", "1 of 1 rows cannot be scored"),
        (b'text,category\n"t,billing\n', "1 of 1 rows cannot be scored"),
        (b"text,category\nt\x00t,billing\n", "1 of 1 rows cannot be scored"),
        (b"\xff\xfe\x00", "cannot be read as UTF-8 text"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused(tmp_path: Path, content: bytes, problem: str) -> None:
    path = tmp_path / "in.csv"
    path.write_bytes(content)
    assert problem in told(str(path))[0]


def test_a_file_that_is_not_there_and_a_name_that_says_nothing(tmp_path: Path) -> None:
    assert told(str(tmp_path / "no.csv"))[0].endswith("no.csv does not exist")
    (tmp_path / "in.xlsx").write_bytes(b"")
    assert "must end in one of .csv, .tsv, .jsonl, .ndjson" in told(str(tmp_path / "in.xlsx"))[0]


def test_a_map_gives_foreign_labels_our_categories_and_leaves_rows_out(tmp_path: Path) -> None:
    path = tmp_path / "map.csv"
    path.write_text("label,category,reason\nfees,billing,money\nchat, ,nothing of ours\n", "utf-8")
    known = label_map(path)
    assert known == {"fees": Category.BILLING, "chat": None}
    rows = [{"text": "t", "category": label} for label in ("fees", "chat", "fees")]
    found = dataset(lines(tmp_path, *rows), known)
    assert ([each.labels for each in found.tickets], found.rows, found.left_out) == (
        [{"category": "billing"}] * 2,
        3,
        1,
    )
    with pytest.raises(Invalid) as caught:
        dataset(lines(tmp_path, *rows, {"text": "t", "category": "fee"}), known)
    assert caught.value.problems[0].message == "category: 'fee' is not in the map"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("label\nfees\n", "the header lacks category"),
        ("label,category\n,billing\n", "label: is missing"),
        ("label,category\nfees,money\n", "category: 'money' is none of billing, technical, account, general"),
        ("label,category\nfees,billing\nfees,general\n", "label: 'fees' is there already"),
        ("label,category\n", "is no map from labels to categories"),
    ],
)
def test_a_map_that_cannot_be_used_is_refused(tmp_path: Path, content: str, problem: str) -> None:
    path = tmp_path / "map.csv"
    path.write_text(content, "utf-8")
    with pytest.raises(Invalid) as caught:
        label_map(path)
    assert problem in "\n".join([str(caught.value), *(each.message for each in caught.value.problems)])


def test_a_sample_is_the_same_for_the_same_seed_and_in_the_order_of_the_file() -> None:
    found = dataset(SHIPPED, None)
    drawn = found.drawn(10, 7)
    assert drawn == found.drawn(10, 7)
    assert drawn != found.drawn(10, 8)
    assert [each.row for each in drawn] == sorted(each.row for each in drawn)
    assert found.drawn(3, None) == found.tickets[:3]
    assert found.drawn(1000, 7) == found.tickets


def test_the_shipped_tickets_have_every_class_and_are_none_of_the_shops_others() -> None:
    found = dataset(SHIPPED, None).tickets
    assert Counter(each.labels["category"] for each in found).keys() == set(Category)
    assert Counter(each.labels["priority"] for each in found).keys() == set(Priority)
    demo = (ROOT / "src/ticketflow/samples/tickets.jsonl").read_text("utf-8").splitlines()
    assert {each.body for each in found}.isdisjoint(json.loads(line)["body"] for line in demo)


def test_the_map_of_banking77_has_each_of_its_77_intents_with_a_reason() -> None:
    path = ROOT / "docs/evaluation/banking77-categories.csv"
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(label_map(path)) == 77
    assert all(row["reason"] for row in rows)
