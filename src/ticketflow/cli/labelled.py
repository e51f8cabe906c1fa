"""Labelled tickets from a file, or the shipped ones; labels of others are mapped onto ours."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from ticketflow import samples
from ticketflow.api.fields import Body, Subject
from ticketflow.cli import rows
from ticketflow.domain.errors import FieldProblem, Invalid
from ticketflow.domain.tickets import Category
from ticketflow.evaluation.classify import FIELDS, LabelledTicket

SHIPPED = "samples"
"""In place of a file: the tickets of the sample shop that were labelled for this."""

LabelMap = Mapping[str, Category | None]
"""Somebody's labels, and the category that each stands for; None where it stands for none of them."""

_MOST_TOLD = 10
_TEXTS = ("text", "body")


@dataclass(frozen=True, slots=True)
class Dataset:
    """``rows`` in the file; ``left_out`` of them by the label map."""

    tickets: Sequence[LabelledTicket]
    rows: int
    left_out: int

    def drawn(self, limit: int | None, seed: int | None) -> Sequence[LabelledTicket]:
        """The first ``limit`` tickets, or with a ``seed`` a random sample of that size, in the order of the file."""
        if limit is None or limit >= len(self.tickets):
            return self.tickets
        if seed is None:
            return self.tickets[:limit]
        places = sorted(random.Random(seed).sample(range(len(self.tickets)), limit))
        return [self.tickets[place] for place in places]


class _Row(BaseModel):
    """What a row must have; what else it has is of no concern here."""

    model_config = ConfigDict(extra="ignore")

    subject: Subject | None = None
    body: Body | None = None
    text: Body | None = None
    category: str | None = None
    priority: str | None = None

    @model_validator(mode="after")
    def _one_text(self) -> _Row:
        if (self.body is None) == (self.text is None):
            raise ValueError("text: has both body and text" if self.body else "body: is missing, and so is text")
        return self

    @property
    def labels(self) -> dict[str, str]:
        given = {"category": self.category, "priority": self.priority}
        return {name: label.strip() for name, label in given.items() if label is not None}


def dataset(name: str, label_map: LabelMap | None) -> Dataset:
    """Everything that the file has. Raises ``Invalid`` that names rows and fields unless every row can be scored: the
    figures would be of other data than they say, and a run may cost money."""
    shipped = name == SHIPPED
    found = list(rows.read(Path(name), _columns, dict)) if not shipped else list(enumerate(samples.labelled(), 1))
    tickets: list[LabelledTicket] = []
    wrong: list[FieldProblem] = []
    for number, fields in found:
        try:
            if isinstance(fields, str):
                raise Invalid(fields)
            ticket = _ticket(number, fields, label_map)
        except Invalid as error:
            wrong.append(FieldProblem(f"row {number}", str(error)))
        else:
            tickets += [ticket] if ticket else []
    if wrong:
        more = f", the first {_MOST_TOLD} of them here" if len(wrong) > _MOST_TOLD else ""
        raise Invalid(f"{name}: {len(wrong)} of {len(found)} rows cannot be scored{more}", wrong)
    if not tickets:
        raise Invalid(f"there are no labelled tickets in {name}")
    return Dataset(tickets, len(found), len(found) - len(tickets))


def label_map(path: Path) -> LabelMap:
    """The map in a CSV file with the columns ``label`` and ``category``; others, such as a reason, are for people.

    A label without a category belongs to none: its rows are left out. Raises ``Invalid`` that names rows.
    """
    known: dict[str, Category | None] = {}
    wrong: list[FieldProblem] = []
    for number, fields in rows.read(path, _map_columns, dict):
        problem = fields if isinstance(fields, str) else _map_problem(fields, known)
        if problem:
            wrong.append(FieldProblem(f"row {number}", problem))
        elif not isinstance(fields, str):
            category = str(fields.get("category") or "").strip()
            known[str(fields["label"]).strip()] = Category(category) if category else None
    if wrong or not known:
        raise Invalid(f"{path} is no map from labels to categories", wrong)
    return known


def _ticket(number: int, fields: Mapping[str, Any], known: LabelMap | None) -> LabelledTicket | None:
    """None where the map leaves the row out. Raises ``Invalid``."""
    try:
        row = _Row.model_validate(fields)
    except ValidationError as error:
        problems = error.errors(include_input=False, include_url=False)
        raise Invalid("; ".join(rows.told(problem).removeprefix(": ") for problem in problems)) from error
    labels = row.labels
    if known is not None and "category" in labels:
        if labels["category"] not in known:
            raise Invalid(f"category: {_quoted(labels['category'])} is not in the map")
        mapped = known[labels.pop("category")]
        if mapped is None:
            return None
        labels["category"] = mapped
    for name, label in labels.items():
        if label not in FIELDS[name]:
            hint = "; --map FILE says what other labels stand for" if name == "category" else ""
            raise Invalid(f"{name}: {_quoted(label)} is none of {', '.join(FIELDS[name])}{hint}")
    if not labels:
        raise Invalid("category: is missing, and so is priority")
    return LabelledTicket(number, row.subject or "", row.body or row.text or "", labels)


def _columns(header: Sequence[str]) -> list[str]:
    names = [name.strip() for name in header]
    wrong = [] if any(name in names for name in _TEXTS) else ["has neither body nor text"]
    wrong += [] if any(name in names for name in FIELDS) else [f"has none of the labels {' and '.join(FIELDS)}"]
    return _once(names, wrong)


def _map_columns(header: Sequence[str]) -> list[str]:
    names = [name.strip() for name in header]
    missing = [name for name in ("label", "category") if name not in names]
    return _once(names, [f"lacks {', '.join(missing)}"] if missing else [])


def _once(names: list[str], wrong: list[str]) -> list[str]:
    twice = sorted({repr(name) for name in names if names.count(name) > 1})
    wrong = [*wrong, f"has more than one column {', '.join(twice)}"] if twice else wrong
    if wrong:
        raise Invalid(f"the header {' and '.join(wrong)}")
    return names


def _map_problem(fields: Mapping[str, Any], known: LabelMap) -> str | None:
    label, category = str(fields.get("label") or "").strip(), str(fields.get("category") or "").strip()
    if not label:
        return "label: is missing"
    if label in known:
        return f"label: {_quoted(label)} is there already"
    if category and category not in tuple(Category):
        return f"category: {_quoted(category)} is none of {', '.join(Category)}"
    return None


def _quoted(label: str) -> str:
    return repr(label[:60])
