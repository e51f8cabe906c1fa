"""``kb``: articles in, and what research would find among them."""

from __future__ import annotations

from pathlib import Path

from ticketflow.cli.console import counted, err, fail, out, plain, say_json, with_application
from ticketflow.domain.errors import Invalid
from ticketflow.knowledge.articles import read
from ticketflow.settings import Settings
from ticketflow.wiring import Application


def kb_import(settings: Settings, path: Path) -> int:
    async def run(app: Application) -> int:
        stored = await app.library.add(read(path))
        if not stored:
            return fail(Invalid(f"there are no articles in {path}"))
        out.print(f"{counted(stored, 'article')} stored")
        return 0

    return with_application(settings, run)


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
