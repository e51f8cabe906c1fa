"""``kb``: articles in and out, and what research would find among them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ticketflow.cli.console import (
    counted,
    err,
    fail,
    one_line,
    out,
    plain,
    say_json,
    show_table,
    with_application,
)
from ticketflow.domain.errors import Invalid
from ticketflow.knowledge.articles import read_all
from ticketflow.samples import articles as samples
from ticketflow.settings import Settings
from ticketflow.wiring import Application


def kb_import(settings: Settings, path: Path) -> int:
    async def run(app: Application) -> int:
        stored = await app.library.add(read_all(path))
        if not stored:
            return fail(Invalid(f"there are no articles in {path}"))
        out.print(f"{counted(stored, 'article')} stored")
        return 0

    return with_application(settings, run)


def kb_list(settings: Settings, as_json: bool) -> int:
    async def run(app: Application) -> int:
        listed = [
            {
                "id": article.id,
                "title": article.title,
                "category": article.category,
                "tags": article.tags,
                "passages": len(article.passages),
            }
            async for article in app.library.articles()
        ]
        if as_json:
            say_json(listed)
            return 0
        columns = ("id", "category", "passages", "title")
        rows = [[one_line(article[name] or "") for name in columns] for article in listed]
        show_table(columns, rows, flexible=("title",), expendable=("category", "passages"))
        return 0

    return with_application(settings, run)


def kb_delete(settings: Settings, ids: Sequence[str]) -> int:
    async def run(app: Application) -> int:
        await app.library.delete(ids)
        out.print(f"{counted(len(set(ids)), 'article')} deleted")
        return 0

    return with_application(settings, run)


def kb_delete_samples(settings: Settings) -> int:
    """Delete the sample shop's articles, but none that somebody replaced by another text."""

    async def run(app: Application) -> int:
        shipped = {article.id: article for article in samples()}
        stored = [article async for article in app.library.articles()]
        found = [article.id for article in stored if article == shipped.get(article.id)]
        await app.library.delete(found)
        out.print(f"{counted(len(found), 'sample article')} deleted")
        if len(found) == len(stored):
            err.print(_EMPTY)
        return 0

    return with_application(settings, run)


_EMPTY = (
    "the knowledge base is empty now: an embedded one gets the samples again at the next `ticketflow up`, "
    "unless that is started with --no-samples"
)


def kb_search(settings: Settings, query: str, limit: int, as_json: bool) -> int:
    async def run(app: Application) -> int:
        hits = await app.library.search(query, limit)
        if as_json:
            say_json([{"id": hit.id, "title": hit.title, "score": hit.score, "snippet": hit.snippet} for hit in hits])
            return 0
        for hit in hits:
            out.print(f"[bold]{plain(hit.title)}[/]  [dim]{plain(hit.id)}  {hit.score:.3f}[/]")
            out.print(f"  {plain(hit.snippet)}")
        if not hits:
            err.print("nothing found")
        return 0

    return with_application(settings, run)
