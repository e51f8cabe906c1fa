"""The library: articles stored, and the passages that may answer a question found again."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from ticketflow.db.batching import Batcher, BatchLimits, in_parts
from ticketflow.db.gateway import Gateway
from ticketflow.domain.errors import NotFound, PayloadTooLarge
from ticketflow.knowledge.articles import Article, Passage, build

SNIPPET_LENGTH = 280

TOGETHER = BatchLimits(size=32, patience=0)
"""Searches in one call. When the database is away, whoever asked is told at once."""


@dataclass(frozen=True, slots=True)
class Hit:
    """An article that may help. ``passages`` are its best ones, best first; ``score`` only orders one search's hits."""

    id: str
    title: str
    score: float
    passages: tuple[Passage, ...]

    @property
    def snippet(self) -> str:
        text = " ".join(self.passages[0].body.split()) if self.passages else ""
        return text if len(text) <= SNIPPET_LENGTH else text[: SNIPPET_LENGTH - 1].rsplit(" ", 1)[0] + "…"


class Library:
    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._searches: Batcher[dict[str, Any], list[dict[str, Any]]] = Batcher(self._search_all, id, TOGETHER)

    async def add(self, articles: Iterable[Article]) -> int:
        """Store articles, replacing those with the same id. Returns how many. Raises ``PayloadTooLarge`` with the id of
        one that does not pass; those before it are stored."""
        stored = 0
        remaining = iter(articles)
        while batch := list(islice(remaining, 100)):
            await in_parts(batch, self._put)
            stored += len(batch)
        return stored

    async def _put(self, articles: Sequence[Article]) -> None:
        rows = [
            {
                "id": article.id,
                "title": article.title,
                "category": article.category,
                "tags": list(article.tags),
                "body": article.body,
                "passages": [{"heading": p.heading, "body": p.body} for p in article.passages],
            }
            for article in articles
        ]
        try:
            await self._gateway.call("ticketflow_articles_put", {"articles": rows})
        except PayloadTooLarge as error:
            raise PayloadTooLarge(f"article {articles[0].id}: {error}") from error

    async def articles(self) -> AsyncIterator[Article]:
        """All of them, by id."""
        page: dict[str, Any] = {"limit": 100}
        while rows := await self._gateway.call("ticketflow_articles", page):
            for row in rows:
                yield build(row, row["id"])
            page["after"] = rows[-1]["id"]

    async def delete(self, ids: Sequence[str]) -> None:
        """Delete these articles. Raises ``NotFound``, and deletes nothing, when there is none with one of the ids."""
        if unknown := await self._gateway.call("ticketflow_articles_delete", {"ids": list(ids)}):
            raise NotFound(f"nothing was deleted: no article has the id {', '.join(unknown)}")

    async def search(self, query: str, limit: int = 5, passages: int = 3) -> list[Hit]:
        """The best articles for a text of any length and language; none where no word matches."""
        rows = await self._searches.submit({"q": query.replace("\x00", ""), "limit": limit, "passages": passages})
        return [
            Hit(
                row["id"],
                row["title"],
                row["score"],
                tuple(Passage(part["heading"], part["text"]) for part in row["passages"]),
            )
            for row in rows
        ]

    async def _search_all(self, searches: Sequence[dict[str, Any]]) -> list[list[dict[str, Any]]]:
        found: list[list[dict[str, Any]]] = await self._gateway.call("ticketflow_search_all", list(searches))
        return found

    async def count(self) -> int:
        """Whether there is anything to search in; counts at most one page of 1,000."""
        return len(await self._gateway.call("ticketflow_articles", {"limit": 1000}))
