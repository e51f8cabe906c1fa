"""A reply made of article passages, word for word, between a few sentences of our own."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from ticketflow.llm.rules.concerns import concern
from ticketflow.llm.rules.phrases import Voice, voice
from ticketflow.llm.rules.relevance import Passage, ranked_passages
from ticketflow.llm.rules.words import of_ticket, unmarked

_ORDER = re.compile(r"#?[A-Z0-9][A-Z0-9-]{2,24}")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|\n+")
_LONGEST_PASSAGE = 900
_LONGEST_QUOTE = 1_500
_SECOND_SHARE = 0.7
"""A second passage must fit nearly as well as the first to be worth the reader's time."""


def draft(material: Mapping[str, Any]) -> dict[str, Any]:
    """A first draft, or on ``revision`` the earlier one without what was found wrong with it."""
    revision = material.get("revision")
    if revision:
        return _revised(material, revision.get("draft") or {}, [str(p) for p in revision.get("problems") or ()])
    return _composed(material, without=frozenset())


def _composed(
    material: Mapping[str, Any], *, without: frozenset[str], at_most: int = 2, struck: Sequence[str] = ()
) -> dict[str, Any]:
    """``without`` are articles, ``struck`` sentences that must not be used."""
    speaks = voice((material.get("classification") or {}).get("language"))
    chosen: list[tuple[Passage, str]] = []
    if not concern(*of_ticket(material)):
        for passage in ranked_passages(material):
            if not passage.fits or passage.article_id in without or len(chosen) == at_most:
                continue
            shown = _shown(passage.text, struck)
            enough = not chosen or passage.score >= _SECOND_SHARE * chosen[0][0].score
            if shown and enough and sum(len(text) for _, text in chosen) + len(shown) <= _LONGEST_QUOTE:
                chosen.append((passage, shown))
    opening = f"{speaks.greeting}\n\n{_thanks(material, speaks)}"
    if not chosen:
        return {"text": f"{opening}\n\n{speaks.holding}\n\n{speaks.regards}", "citations": []}
    parts, cited = [opening], list[str]()
    for passage, text in chosen:
        if passage.article_id not in cited:
            parts.append((speaks.more if cited else speaks.quoting).format(title=passage.title))
            cited.append(passage.article_id)
        parts.append(text)
    return {"text": "\n\n".join([*parts, speaks.closing, speaks.regards]), "citations": cited}


def _revised(material: Mapping[str, Any], earlier: Mapping[str, Any], problems: Sequence[str]) -> dict[str, Any]:
    """Nothing that a problem quotes or names survives: not the sentence, not the citation.

    What a problem only describes can't be found in the text; then the reply is made anew from the best passage alone.
    """
    text = str(earlier.get("text") or "")
    known = {str(article.get("id")) for article in material.get("articles") or ()}
    named = {
        cited for cited in map(str, earlier.get("citations") or ()) if any(cited in problem for problem in problems)
    }
    struck = [sentence for sentence in split(text) if any(_is_about(problem, sentence) for problem in problems)]
    return _composed(material, without=frozenset(named & known), at_most=2 if struck or named else 1, struck=struck)


def split(text: str) -> list[str]:
    """Sentences and list items, as they stand."""
    return [part.strip() for part in _SENTENCE_END.split(text) if part.strip()]


def _is_about(problem: str, sentence: str) -> bool:
    """Whether the problem quotes the sentence, or a good part of it (a reviewer may cut it short)."""
    flat, quoted = " ".join(sentence.lower().split()), " ".join(problem.lower().split())
    return len(flat) >= 12 and (flat in quoted or (len(flat) > 60 and flat[:60] in quoted))


def _thanks(material: Mapping[str, Any], speaks: Voice) -> str:
    category = str((material.get("classification") or {}).get("category"))
    extraction = material.get("extraction") or {}
    if extraction.get("issue_type") == "how_to":
        category = "general"  # a question is nothing to be sorry for
    order = str(extraction.get("order_id") or "").upper()
    shown = speaks.order.format(id=order) if _ORDER.fullmatch(order) else ""
    return speaks.thanks.get(category, speaks.thanks["general"]).format(order=shown)


def _shown(passage: str, struck: Sequence[str]) -> str:
    """A passage as plain text: whole sentences from its start, as many as fit, none of them struck."""
    text = unmarked(passage).strip()
    for sentence in struck:
        text = text.replace(sentence, "")
    if len(text) <= _LONGEST_PASSAGE:
        return text.strip()
    ends = [found.start() for found in _SENTENCE_END.finditer(text, 0, _LONGEST_PASSAGE)]
    return text[: ends[-1]].strip() if ends else ""
