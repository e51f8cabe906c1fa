"""Articles in: Markdown and JSON lines, cut into passages, or refused by file, line and field."""

from __future__ import annotations

from pathlib import Path

import pytest

from ticketflow.domain.errors import Invalid
from ticketflow.knowledge.articles import Article, Passage, parse_markdown, read
from ticketflow.knowledge.library import SNIPPET_LENGTH, Hit

FULL = """---
id: returns
title: Returns
category: billing
tags: [refund, exchange]
---
Before the first heading.

## How to return
Print the label.

### Labels
One each.

## Empty section

## Refunds ##
Within 14 days.
"""


def written(path: Path, text: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_front_matter_names_the_article_and_each_section_is_a_passage() -> None:
    article = parse_markdown(FULL, "file-name", "here")
    assert (article.id, article.title, article.category, article.tags) == (
        "returns",
        "Returns",
        "billing",
        ("refund", "exchange"),
    )
    assert article.body.startswith("Before the first heading.")
    assert article.passages == (
        Passage("Returns", "Before the first heading."),
        Passage("How to return", "Print the label."),
        Passage("Labels", "One each."),
        Passage("Refunds", "Within 14 days."),
    )


def test_without_front_matter_the_heading_is_the_title_and_the_file_name_the_id() -> None:
    article = parse_markdown("# Reset your password\nClick.\n", "reset-password", "here")
    assert (article.id, article.title) == ("reset-password", "Reset your password")
    assert article.passages == (Passage("Reset your password", "Click."),)
    assert parse_markdown("Click.", "reset-password", "here").title == "Reset password"


def test_line_ends_of_windows_make_no_difference() -> None:
    assert parse_markdown(FULL.replace("\n", "\r\n"), "f", "here") == parse_markdown(FULL, "f", "here")


def test_a_folder_is_read_in_order_without_its_readme_and_other_files(tmp_path: Path) -> None:
    written(tmp_path / "b.md", "# B\nb")
    written(
        tmp_path / "a" / "c.jsonl", '{"id": "c", "title": "C", "text": "c"}\n\n{"id": "d", "title": "D", "body": "d"}'
    )
    written(tmp_path / "README.md", "# Not an article\nx")
    written(tmp_path / "picture.png", b"\x89PNG")
    assert [article.id for article in read(tmp_path)] == ["c", "d", "b"]


def test_json_lines_end_at_newlines_and_at_nothing_else(tmp_path: Path) -> None:
    body = "one\u2028two\x85three\u2029four"
    path = written(tmp_path / "a.jsonl", f'{{"id": "a", "title": "A", "body": "{body}"}}\r\n')
    assert [article.body for article in read(path)] == [body]


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("a.md", "", "a.md: there is no text in it"),
        ("a.md", "---\ntitle: A\n---\n", "there is no text in it"),
        ("a.md", "---\n[unclosed\n---\ntext", "the front matter is not YAML"),
        ("a.md", "---\ntitle: 2024-13-45\n---\ntext", "the front matter is not YAML"),
        ("a.md", "---\n- list\n---\ntext", "the front matter is not a mapping"),
        ("a.md", "---\nid: 7\n---\ntext", "id must be a text"),
        ("a.md", "---\ntitle: [x]\n---\ntext", "title must be a text"),
        ("a.md", "---\ntags: a, b\n---\ntext", "tags must be a list of texts"),
        ("a.md", "---\ntags: [1]\n---\ntext", "tags must be a list of texts"),
        ("a.md", "---\ncategory: [x]\n---\ntext", "category"),
        ("a.md", "nul \x00", "body must not contain NUL characters"),
        ("a.md", b"\xff\xfe", "cannot be read as UTF-8"),
        ("a.md", "x" * 1_000_001, "larger than 1 MB"),
        ("a.jsonl", '{"id": "a", "title": "A", "body": "x"}\n{"id": "b"', ":2: not JSON"),
        ("a.jsonl", "[]", ":1: not a JSON object"),
        ("a.jsonl", '"text"', ":1: not a JSON object"),
        ("a.jsonl", '{"id": "", "title": "A", "body": "x"}', ":1: id"),
        ("a.jsonl", '{"id": "a", "title": " ", "body": "x"}', ":1: title"),
        ("a.jsonl", '{"id": "a", "title": "A"}', ":1: body is missing"),
        ("a.jsonl", '{"id": "a", "title": "A", "body": 7}', ":1: body"),
        ("a.jsonl", '{"id": "a", "title": "A", "body": "nul \\u0000"}', ":1: body"),
        ("a.jsonl", '{"id": "a", "title": "A", "body": "half \\ud800"}', ":1: body must not contain lone surrogates"),
        ("a.jsonl", '{"id": "a\\udc00", "title": "A", "body": "x"}', ":1: id"),
        ("a.jsonl", '{"id": "a", "title": "A", "body": "x", "tags": ["\\u0000"]}', ":1: tags"),
        ("a.jsonl", '{"id": "a", "title": "A", "body": "x", "tags": ["\\ud800"]}', ":1: tags"),
        ("a.jsonl", '{"id": "a", "title": "A", "body": "x", "category": 7}', ":1: category"),
        ("a.jsonl", '{"id": "a", "title": "A", "body": "x", "category": "\\u0000"}', ":1: category"),
        ("a.jsonl", "{}", ":1: id is missing; title is missing; body is missing"),
        ("a.jsonl", "[" * 100_000, ":1: not JSON"),
        ("a.txt", "text", "articles are .md or .jsonl files"),
    ],
)
def test_what_is_no_article_is_refused_by_place_and_field(
    tmp_path: Path, name: str, content: str | bytes, complaint: str
) -> None:
    path = written(tmp_path / name, content)
    with pytest.raises(Invalid) as refused:
        list(read(path))
    told = f"{refused.value} {refused.value.problems}"
    assert complaint in told
    assert str(path) in told
    assert "\n" not in str(refused.value)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    for name in ("a.md", "a.jsonl", "folder"):
        with pytest.raises(Invalid) as refused:
            list(read(tmp_path / name))
        assert str(refused.value) == f"{tmp_path / name} does not exist"


def test_a_snippet_is_cut_at_a_word() -> None:
    words = "word " * 200
    hit = Hit("a", "A", 1.0, (Passage("", words),))
    assert len(hit.snippet) <= SNIPPET_LENGTH
    assert hit.snippet.endswith("word…")
    assert Hit("a", "A", 1.0, (Passage("", "short\n\n text "),)).snippet == "short text"
    assert Hit("a", "A", 1.0, ()).snippet == ""


def test_the_sample_articles_are_articles() -> None:
    from ticketflow.samples import articles

    found: list[Article] = articles()
    assert len(found) > 20
    assert len({article.id for article in found}) == len(found)
    assert all(article.passages for article in found)
