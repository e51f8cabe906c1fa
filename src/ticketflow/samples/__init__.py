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
    text = (files(__package__) / "tickets.jsonl").read_text("utf-8")
    return [json.loads(line) for line in text.splitlines() if line.strip()]
