"""How commands speak: one line for what went wrong, and nothing from outside that drives a terminal."""

from __future__ import annotations

import io
import json

import pytest
from rich.console import Console
from rich.markup import render

from ticketflow.cli import console
from ticketflow.cli.console import counted, fail, one_line, plain, show_table
from ticketflow.domain.errors import FieldProblem, Invalid, StoreUnavailable


def test_an_error_is_one_line_without_secrets(capsys: pytest.CaptureFixture[str]) -> None:
    assert fail(StoreUnavailable("cannot reach postgresql://u:hunter2@db/")) == 1
    told = capsys.readouterr()
    assert (told.out, told.err) == ("", "ticketflow: cannot reach postgresql://u:[redacted]@db/\n")


def test_json_holds_nothing_that_drives_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    said = {"subject": "\x9b2J \u202eexe.\u2066 \x7f é"}
    console.say_json(said)
    shown = capsys.readouterr().out
    assert all(character.isprintable() or character == "\n" for character in shown)
    assert "é" in shown
    assert json.loads(shown) == said


def test_invalid_input_says_what_to_mend(capsys: pytest.CaptureFixture[str]) -> None:
    assert fail(Invalid("in.csv cannot be read", [FieldProblem("file", "no such file")])) == 1
    assert capsys.readouterr().err == "ticketflow: in.csv cannot be read\n  file: no such file\n"
    assert fail(Invalid("in.csv does not exist", [FieldProblem("file", "does not exist")])) == 1
    assert capsys.readouterr().err == "ticketflow: in.csv does not exist\n"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("[red]not markup[/red]", "[red]not markup[/red]"),
        ("[link=http://evil]x[/link] \\[bold]", "[link=http://evil]x[/link] \\[bold]"),
        ("\\[/bold] \\\\[/]", "\\[/bold] \\\\[/]"),
        ("\x1b[31mred\x07\x9b\r", "\ufffd[31mred\ufffd\ufffd\ufffd"),
        ("two\nlines", "two\nlines"),
        ("right\u202eleft", "right\ufffdleft"),
    ],
)
def test_text_from_outside_is_shown_as_it_is_and_drives_nothing(text: str, shown: str) -> None:
    assert render(plain(text)).plain == shown


def test_text_that_ends_in_a_backslash_does_not_swallow_the_markup_behind_it() -> None:
    assert "[/]" not in render(f"[bold]{plain('C:' + chr(92))}[/] and more").plain


ID = "5a4b6c50-afee-5f24-a15a-dfe37adea076"


@pytest.mark.parametrize(
    ("width", "head", "left_out"),
    [
        (10_000, ["id", "status", "team", "subject"], ""),
        (80, ["id", "status", "team", "subject"], ""),
        (70, ["id", "status", "subject"], "left out for want of width: team\n"),
        (40, ["id", "status", "subject"], "left out for want of width: team\n"),
    ],
)
def test_a_table_has_whole_ids_and_one_line_a_row_at_any_width(
    monkeypatch: pytest.MonkeyPatch, width: int, head: list[str], left_out: str
) -> None:
    written, noted = io.StringIO(), io.StringIO()
    monkeypatch.setattr(console, "out", Console(file=written, width=width))
    monkeypatch.setattr(console, "err", Console(file=noted, width=1000))
    subject = ":smile: A subject that says at great length what happened, " + "and then some more " * 3
    rows = [(ID, "[green]completed[/]", "a team", one_line(text)) for text in (subject, "two\nlines")]
    show_table(("id", "status", "team", "subject"), rows, flexible=("subject",), expendable=("team",))
    named, first, second = written.getvalue().splitlines()
    assert named.split() == head
    assert first.startswith(f"{ID}  completed  ")
    assert second.rstrip().endswith("  two lines")
    assert first.rstrip().endswith("some more" if width == 10_000 else "\u2026")
    assert len(first) <= max(width, 65)
    assert ":smile:" in first
    assert noted.getvalue() == left_out


def test_things_are_counted_as_one_says_it() -> None:
    assert [counted(number, "ticket") for number in (0, 1, 2)] == ["0 tickets", "1 ticket", "2 tickets"]
