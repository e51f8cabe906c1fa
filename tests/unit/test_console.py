"""How commands speak: one line for what went wrong, and nothing from outside that drives a terminal."""

from __future__ import annotations

import pytest
from rich.markup import render

from ticketflow.cli.console import fail, plain
from ticketflow.domain.errors import FieldProblem, Invalid, StoreUnavailable


def test_an_error_is_one_line_without_secrets(capsys: pytest.CaptureFixture[str]) -> None:
    assert fail(StoreUnavailable("cannot reach postgresql://u:hunter2@db/")) == 1
    told = capsys.readouterr()
    assert (told.out, told.err) == ("", "ticketflow: cannot reach postgresql://u:[redacted]@db/\n")


def test_invalid_input_says_what_to_mend(capsys: pytest.CaptureFixture[str]) -> None:
    assert fail(Invalid("in.csv cannot be read", [FieldProblem("file", "no such file")])) == 1
    assert capsys.readouterr().err == "ticketflow: in.csv cannot be read\n  file: no such file\n"


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
