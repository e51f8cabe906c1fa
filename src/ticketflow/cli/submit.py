"""``submit``: tickets in bulk from CSV or JSON lines. Run it again after an interruption: nothing is taken in twice."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from pydantic import ValidationError
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ticketflow.api.models import BatchItem
from ticketflow.api.routes.tickets import new_ticket
from ticketflow.cli import rows
from ticketflow.cli.console import err, fail, out, plain, say_json, with_application
from ticketflow.domain.errors import FieldProblem, Invalid
from ticketflow.services.caller import Caller
from ticketflow.services.intake import NewTicket, Taken
from ticketflow.settings import Settings
from ticketflow.wiring import Application

CHUNK = 200
_LISTS = ("tags",)
_OBJECTS = ("metadata",)


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the file: ``number`` is its line, ``error`` says why it cannot be a ticket."""

    number: int
    ticket: NewTicket | None
    error: str | None = None


def submit(settings: Settings, path: Path, as_json: bool) -> int:
    """Take in every row that is a ticket and say what is wrong with the others. Returns 1 when any row failed."""
    try:
        found = list(read_rows(path))
        if not found:
            raise Invalid(f"there are no tickets in {path}")
    except Invalid as error:
        return fail(error)

    async def run(app: Application) -> int:
        counts = {"rows": len(found), "created": 0, "existing": 0, "failed": 0}
        errors = [{"row": row.number, "error": row.error} for row in found if row.ticket is None]
        good = [row for row in found if row.ticket is not None]
        bar = Progress(
            TextColumn("[progress.description]{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=err,
            disable=not sys.stderr.isatty(),
        )
        with bar:
            task = bar.add_task("taking in", total=len(good))
            for start in range(0, len(good), CHUNK):
                chunk = good[start : start + CHUNK]
                results = await app.intake.take_in_many(
                    [row.ticket for row in chunk if row.ticket is not None], Caller(uuid4().hex)
                )
                for row, result in zip(chunk, results, strict=True):
                    if isinstance(result, Taken):
                        counts["created" if result.created else "existing"] += 1
                    else:
                        errors.append({"row": row.number, "error": str(result)})
                bar.advance(task, len(chunk))
        counts["failed"] = len(errors)
        if as_json:
            say_json({**counts, "errors": errors})
        else:
            for problem in errors:
                err.print(f"row {problem['row']}: {plain(problem['error'])}")
            out.print(f"{counts['created']} taken in, {counts['existing']} there already, {counts['failed']} failed")
        return 1 if errors else 0

    return with_application(settings, run)


def read_rows(path: Path) -> Iterator[Row]:
    """The rows of a ``.csv`` or ``.tsv`` file with a header line, or of a ``.jsonl`` or ``.ndjson`` file.

    A row without an ``idempotency_key`` gets one from its own content and its place among equal rows, so that
    submitting the file again, also with rows added, means the same tickets. Raises ``Invalid`` when the file cannot be
    read, or when the header of a CSV file does not fit.
    """
    seen: dict[str, int] = {}
    for number, fields in rows.read(path, _columns, _typed):
        if isinstance(fields, str):
            yield Row(number, None, fields)
            continue
        if not fields.get("idempotency_key"):
            content = hashlib.sha256(json.dumps(fields, sort_keys=True).encode("utf-8", "replace")).hexdigest()[:32]
            seen[content] = seen.get(content, 0) + 1
            fields = {**fields, "idempotency_key": f"submit:{content}:{seen[content]}"}
        try:
            item = BatchItem.model_validate(fields)
        except ValidationError as error:
            problems = error.errors(include_input=False, include_url=False)
            yield Row(number, None, "; ".join(map(rows.told, problems)))
        else:
            yield Row(number, new_ticket(item, item.idempotency_key))


def _columns(header: Sequence[str]) -> list[str]:
    """The header's names. Raises ``Invalid`` unless they are columns that a ticket has, with all that it needs."""
    names = [name.strip() for name in header]
    missing = [name for name in _NEEDED if name not in names]
    unknown = [repr(name) for name in names if name not in BatchItem.model_fields]
    wrong = [f"lacks {', '.join(missing)}"] if missing else []
    wrong += [f"has unknown columns: {', '.join(unknown)}"] if unknown else []
    if wrong:
        raise Invalid(
            f"the header {' and '.join(wrong)}",
            [FieldProblem("columns", f"{', '.join(_NEEDED)}; and if you like {', '.join(_OPTIONAL)}")],
        )
    return names


def _typed(fields: dict[str, str]) -> dict[str, Any]:
    """CSV knows only text: tags are split at semicolons, vip is yes or no, metadata is JSON."""
    typed: dict[str, Any] = dict(fields)
    for name in _LISTS:
        if name in typed:
            typed[name] = [part.strip() for part in fields[name].split(";") if part.strip()]
    for name in _OBJECTS:
        if name in typed:
            try:
                typed[name] = json.loads(fields[name])
            except (ValueError, RecursionError):
                typed[name] = fields[name]
    if "vip" in typed:
        known = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
        typed["vip"] = known.get(fields["vip"].strip().lower(), fields["vip"])
    return typed


_NEEDED = [name for name, field in BatchItem.model_fields.items() if field.is_required()]
_OPTIONAL = [name for name, field in BatchItem.model_fields.items() if not field.is_required()]
