"""What the articles before a reply say: the yardstick for what the reply may say."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property
from typing import Any


class Published:
    """The text of the articles that research found, ready for comparisons that most replies never need."""

    def __init__(self, articles: Sequence[dict[str, Any]]) -> None:
        self._articles = articles

    @cached_property
    def text(self) -> str:
        return "\n".join(
            f"{article['title']}\n" + "\n".join(f"{p['heading']}\n{p['text']}" for p in article["passages"])
            for article in self._articles
        )

    def says(self, sentence: str) -> bool:
        """Whether the sentence stands there, whatever its case, its line breaks and Markdown's signs."""
        return _squeezed(sentence) in self._squeezed

    @cached_property
    def _squeezed(self) -> str:
        return _squeezed(self.text)


def _squeezed(text: str) -> str:
    return " ".join(re.sub(r"[*_`>#-]+", " ", text).lower().split())
