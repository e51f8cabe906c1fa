"""How well articles fit a ticket, by the words that they share and few others have."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ticketflow.llm.rules.classify import classify
from ticketflow.llm.rules.extract import extract
from ticketflow.llm.rules.words import REPLY, of_ticket, stems, subject_words

_INTERNAL = re.compile(r"^\W*internal\b|\(internal\b", re.IGNORECASE)
_VAGUE_KINDS = frozenset(stems("question how to malfunction general access"))
_ENOUGH_SHARED = 3
_MANY_SHARED = 6
_SHORT_TICKET = 8
_LEAST_SCORE = 0.5
_CENTRAL_WEIGHT = 1.8
_TITLE_WEIGHT = 1.5
_HEADING_WEIGHT = 2.5
"""A heading says what its passage is about; the title says it of all passages of the article."""
_LENGTH_DAMPING = 12
_INTRODUCTION_WEIGHT = 0.8
"""What stands before the first heading seldom answers anything."""


class Passage(NamedTuple):
    """One passage of an article, with its fit: ``score`` ranks, ``fits`` says whether quoting it makes sense."""

    article_id: str
    title: str
    text: str
    score: float
    fits: bool


def ranked_passages(material: Mapping[str, Any]) -> list[Passage]:
    """All passages that may be shown to a customer, best first."""
    subject, body = of_ticket(material)
    asked = subject_words(f"{subject} {body}")
    # The review is not told what the steps before it found, and has to see the same fit.
    classification = material.get("classification") or classify(material)
    extraction = material.get("extraction") or extract({**material, "classification": classification})
    name = set(stems(str(extraction.get("product") or ""))[:1])
    central = _central_words(subject, extraction.get("issue_type")) - name
    technical = classification.get("category") == "technical"

    articles = [a for a in material.get("articles") or () if not _INTERNAL.search(str(a.get("title") or ""))]
    entries = [(article, passage, _passage_words(passage)) for article in articles for passage in passages_of(article)]
    spread = Counter(word for _, _, words in entries for word in words)
    enough = _ENOUGH_SHARED if len(asked) > _SHORT_TICKET else 2

    ranked = []
    for place, (article, passage, words) in enumerate(entries):
        title = subject_words(str(article.get("title") or ""))
        introduces = passage.get("heading") in (None, "", article.get("title"))
        heading = frozenset() if introduces else subject_words(str(passage["heading"]))
        shared = (words | title | heading) & (asked | central)
        weight = sum(
            math.log(1 + len(entries) / max(1, spread[word]))
            / math.log(1 + len(entries))
            * (_CENTRAL_WEIGHT if word in central else 1.0)
            * (_HEADING_WEIGHT if word in heading else _TITLE_WEIGHT if word in title else 1.0)
            for word in shared
        )
        score = weight / math.sqrt(_LENGTH_DAMPING + len(words))
        if introduces:
            score *= _INTRODUCTION_WEIGHT
        fits = score >= _LEAST_SCORE and len(shared) >= enough
        if central and not shared & central and not (name & words and len(shared) >= _MANY_SHARED):
            fits = False
        if technical and name and not name <= _article_words(article):
            fits = False  # advice about refunds fits every product, advice about an alarm fits one
        found = Passage(
            article_id=str(article.get("id")),
            title=str(article.get("title") or ""),
            text=str(passage["text"]),
            score=score,
            fits=fits,
        )
        ranked.append((-found.score, place, found))
    return [found for _, _, found in sorted(ranked)]


def _central_words(subject: str, issue: object) -> frozenset[str]:
    """What the ticket is about in a nutshell. The subject of a reply is another day's, and does not count."""
    own = "" if REPLY.match(subject) else subject
    kind = str(issue or "").replace("_", " ")
    return subject_words(f"{own} {kind}") - _VAGUE_KINDS


def passages_of(article: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    return [passage for passage in article.get("passages") or () if passage.get("text")]


def _passage_words(passage: Mapping[str, Any]) -> frozenset[str]:
    return subject_words(f"{passage.get('heading') or ''} {passage.get('text') or ''}")


def _article_words(article: Mapping[str, Any]) -> frozenset[str]:
    return subject_words(str(article.get("title") or "")).union(*map(_passage_words, passages_of(article)))
