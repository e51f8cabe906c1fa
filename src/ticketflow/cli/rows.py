"""Files of rows: CSV with a header line, or JSON lines."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic_core import ErrorDetails

from ticketflow.domain.errors import FieldProblem, Invalid

MAX_FIELD = 100_000_000
"""Characters. Too long a field is one row's problem; with the module's own limit it ended the whole file."""

Columns = Callable[[Sequence[str]], list[str]]
"""The names in the header of a CSV file, checked. Raises ``Invalid`` when the file cannot be used."""

Typed = Callable[[dict[str, str]], dict[str, Any]]
"""CSV knows only text: the fields of one of its rows as JSON would have them."""


def read(path: Path, columns: Columns, typed: Typed) -> Iterator[tuple[int, dict[str, Any] | str]]:
    """Each row of a ``.csv``, ``.tsv``, ``.jsonl`` or ``.ndjson`` file: its line, and its fields or what is wrong.

    An empty field of CSV is absent. Raises ``Invalid`` when the file cannot be read, or as ``columns`` does.
    """
    suffix = path.suffix.lower()
    if not path.exists():
        raise Invalid(f"{path} does not exist")
    if suffix not in _FORMS:
        raise Invalid(f"{path}: the name must end in one of {', '.join(_FORMS)}")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise Invalid(f"{path} cannot be read as UTF-8 text", [FieldProblem("file", str(error))]) from error
    return _csv(text, columns, typed) if suffix in _CSV else _json_lines(text)


def told(problem: ErrorDetails) -> str:
    """A complaint of pydantic's, as the command line says it."""
    return f"{'.'.join(map(str, problem['loc']))}: {problem['msg'].removeprefix('Value error, ')}"


def _json_lines(text: str) -> Iterator[tuple[int, dict[str, Any] | str]]:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            yield number, "not JSON"
            continue
        yield number, value if isinstance(value, dict) else "not a JSON object"


def _csv(text: str, columns: Columns, typed: Typed) -> Iterator[tuple[int, dict[str, Any] | str]]:
    if not text.strip():
        return
    csv.field_size_limit(MAX_FIELD)
    delimiter = max(",;\t", key=text.split("\n", 1)[0].count)
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        reader.fieldnames = columns(reader.fieldnames or [])
        for raw in reader:
            if None in raw or None in raw.values():
                yield reader.line_num, "the row has not as many fields as the header"
                continue
            yield reader.line_num, typed({name: value for name, value in raw.items() if value != ""})
    except csv.Error as error:
        yield reader.line_num, f"not CSV: {error}"


_CSV = (".csv", ".tsv")
_FORMS = (*_CSV, ".jsonl", ".ndjson")
