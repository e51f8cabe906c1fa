"""Articles: Markdown or JSON lines in, passages out.

A passage is one section of an article, small enough to quote. Search finds passages; answers cite articles.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from ticketflow.domain.errors import FieldProblem, Invalid

MAX_ARTICLE_BYTES = 1_000_000
_FRONT_MATTER = re.compile(r"\A---\n(.*?)\n---\n", re.DOTALL)
_SURROGATE = re.compile("[\ud800-\udfff]")
_HEADING = re.compile(r"^(#{1,6})\s+(.+?)\s*#*$")


@dataclass(frozen=True, slots=True)
class Passage:
    heading: str
    body: str


@dataclass(frozen=True, slots=True)
class Article:
    """``id`` is what answers cite. ``body`` is Markdown."""

    id: str
    title: str
    body: str
    category: str | None = None
    tags: tuple[str, ...] = ()
    passages: tuple[Passage, ...] = field(default=())


def read(path: Path) -> Iterator[Article]:
    """All articles below ``path``: a Markdown file, a ``.jsonl`` file, or a folder with either.

    Raises ``Invalid`` that names the file, and for JSON lines the line, at the first article that cannot be used.
    """
    if not path.exists():
        raise Invalid(f"{path} does not exist", [FieldProblem("path", "does not exist")])
    if path.is_dir():
        for file in sorted(path.rglob("*")):
            if file.suffix in (".md", ".jsonl") and file.stem.lower() != "readme":
                yield from read(file)
    elif path.suffix == ".md":
        yield parse_markdown(_text_of(path), fallback_id=path.stem, where=str(path))
    elif path.suffix == ".jsonl":
        # At newlines only: JSON texts may hold every other character that Python takes for the end of a line.
        for number, line in enumerate(_text_of(path).split("\n"), 1):
            if line.strip():
                yield _from_json(line, f"{path}:{number}")
    else:
        raise Invalid(
            f"{path}: articles are .md or .jsonl files, or folders of them",
            [FieldProblem("path", "articles are .md or .jsonl files, or folders of them")],
        )


def read_all(path: Path) -> list[Article]:
    """``read``, whole: nothing of a folder that holds an article that cannot be used, or two with one id.

    Raises ``Invalid`` as ``read`` does.
    """
    articles: dict[str, Article] = {}
    for article in read(path):
        if article.id in articles:
            fault = f"two articles have the id {article.id!r}"
            raise Invalid(f"{path}: {fault}", [FieldProblem("id", fault)])
        articles[article.id] = article
    return list(articles.values())


def parse_markdown(text: str, fallback_id: str, where: str) -> Article:
    """An article from Markdown with optional YAML front matter (``id``, ``title``, ``category``, ``tags``).

    Without front matter the first heading is the title and the file's name is the id.
    """
    meta: dict[str, Any] = {}
    text = text.replace("\r\n", "\n")
    if match := _FRONT_MATTER.match(text):
        try:
            loaded = yaml.safe_load(match.group(1))
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            raise Invalid(
                f"{where}: the front matter is not YAML", [FieldProblem("front matter", str(error))]
            ) from error
        if not isinstance(loaded, dict):
            raise Invalid(
                f"{where}: the front matter is not a mapping", [FieldProblem("front matter", "not a mapping")]
            )
        meta, text = loaded, text[match.end() :]
    body = text.strip()
    if not body:
        raise Invalid(f"{where}: there is no text in it", [FieldProblem("body", "there is no text in it")])
    first = _HEADING.match(body.splitlines()[0])
    title = meta.get("title") or (first.group(2) if first else fallback_id.replace("-", " ").capitalize())
    return build({**meta, "id": meta.get("id") or fallback_id, "title": title, "body": body}, where)


def _from_json(line: str, where: str) -> Article:
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise Invalid(f"{where}: not JSON", [FieldProblem("line", str(error))]) from error
    if not isinstance(fields, dict):
        raise Invalid(f"{where}: not a JSON object", [FieldProblem("line", "not an object")])
    return build({**fields, "body": fields.get("body") or fields.get("text")}, where)


def build(fields: dict[str, Any], where: str) -> Article:
    """An article from loose fields. Raises ``Invalid`` that names ``where`` and each bad field."""
    tags = fields.get("tags") or []
    faults = {name: _fault(fields.get(name)) for name in ("id", "title", "body")}
    if fields.get("category") not in (None, ""):
        faults["category"] = _fault(fields["category"])
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        faults["tags"] = "must be a list of texts"
    elif any(tags):
        faults["tags"] = _fault(" ".join(tags))
    problems = [FieldProblem(name, fault) for name, fault in faults.items() if fault]
    if problems:
        told = "; ".join(f"{problem.field} {problem.message}" for problem in problems)
        raise Invalid(f"{where}: {told}", problems)
    body = fields["body"].strip()
    return Article(
        id=fields["id"].strip(),
        title=fields["title"].strip(),
        body=body,
        category=fields.get("category"),
        tags=tuple(tags),
        passages=tuple(_passages(body, fields["title"].strip())),
    )


def _passages(body: str, title: str) -> Iterator[Passage]:
    heading, lines = title, list[str]()
    for line in [*body.splitlines(), "# end"]:
        if match := _HEADING.match(line):
            if text := "\n".join(lines).strip():
                yield Passage(heading, text)
            heading, lines = match.group(2), []
        else:
            lines.append(line)


def _fault(value: Any) -> str | None:
    """Why it is not a text that PostgreSQL can hold and a reader can see."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return "is missing"
    if not isinstance(value, str):
        return "must be a text"
    if "\x00" in value:
        return "must not contain NUL characters"
    return "must not contain lone surrogates" if _SURROGATE.search(value) else None


def _text_of(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_ARTICLE_BYTES and path.suffix == ".md":
            raise Invalid(f"{path}: larger than 1 MB", [FieldProblem("path", "too large")])
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise Invalid(f"{path}: cannot be read as UTF-8 text", [FieldProblem("path", str(error))]) from error
