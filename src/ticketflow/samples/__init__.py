"""The sample shop: articles and tickets to try Ticketflow with."""

from __future__ import annotations

import json
from importlib.resources import as_file, files
from typing import Any

from ticketflow.knowledge.articles import Article, read


def articles() -> list[Article]:
    """The shop's knowledge base."""
    with as_file(files(__package__) / "articles") as folder:
        return list(read(folder))


def tickets() -> list[dict[str, Any]]:
    """Thirty tickets in the shape that ``POST /tickets`` takes."""
    return _lines("tickets.jsonl")


def labelled() -> list[dict[str, Any]]:
    """Further tickets of the shop with subject, body, category and priority, to score a classifier with."""
    return _lines("labelled.jsonl")


def _lines(name: str) -> list[dict[str, Any]]:
    text = (files(__package__) / name).read_text("utf-8")
    return [json.loads(line) for line in text.split("\n") if line.strip()]
