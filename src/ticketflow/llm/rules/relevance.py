"""How well passages fit a ticket, by the words that they share and few others have, and how much of it they cover."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from ticketflow.llm.rules.classify import classify
from ticketflow.llm.rules.conversation import language_of_customer, of_ticket
from ticketflow.llm.rules.extract import extract
from ticketflow.llm.rules.language import language_of
from ticketflow.llm.rules.words import REPLY, requests, stems, subject_words, tokens, wishes

_INTERNAL = re.compile(r"^\W*internal\b|\(internal\b", re.IGNORECASE)
_NAMED = re.compile(r"\b(?:[Aa]n?|[Yy]our|[Tt]he)\s\*{0,2}([A-Z][a-z]{2,20})\b")
_ONLY_WITH = re.compile(r"\b(?:with|for an?) (.+)", re.IGNORECASE)
_SPECIAL_CASE = re.compile(r"(?:before|after|if|when|what)\b", re.IGNORECASE)
_VAGUE_KINDS = frozenset(stems("question how to malfunction general access connectivity thanks complaint legal"))
_PRICE = frozenset(stems("price cost payment"))
_REFUND = frozenset(stems("refund"))
_ENOUGH_SHARED = 3
_MANY_SHARED = 6
_SHORT_TICKET = 8
_LEAST_SCORE = 0.5
_CENTRAL_WEIGHT = 1.8
_TITLE_WEIGHT = 1.5
_TITLE_ALONE_WEIGHT = 1.0
_HEADING_WEIGHT = 2.5
"""A heading says what its passage is about; the title says it of all passages of the article."""
_HEADING_BONUS, _TITLE_BONUS = 0.6, 0.4
"""A heading all of whose words the ticket has is worth more, one with other words less."""
_ASKED_FOR_BONUS = 1.5
"""So is a passage all of whose heading the ticket's subject and wishes say, unless it is about a special case."""
_SHORTEST_COMPOUND, _SHORTEST_BEGINNING = 9, 5
_LENGTH_DAMPING = 12
_INTRODUCTION_WEIGHT = 0.5
"""What stands before the first heading seldom answers anything."""
_OTHER_PRODUCT_WEIGHT = 0.5
_KNOWN_WEIGHT = 0.3
"""What a chosen passage says already counts for little in the next."""


class Passage(NamedTuple):
    """One passage of an article, with its fit: ``score`` ranks, ``fits`` says whether quoting it makes sense.

    ``shared`` are the words that it has in common with the ticket, each with its part of the score; ``asked_for``
    says that the ticket asks for what the passage's heading says; ``says`` are all its telling words.
    """

    article_id: str
    title: str
    text: str
    score: float
    asked_for: bool
    fits: bool
    heading: str
    shared: Mapping[str, float]
    says: frozenset[str]

    def score_beside(self, said: Collection[str]) -> float:
        """What it adds for someone who has read about ``said``."""
        if self.asked_for:
            return self.score * _ASKED_FOR_BONUS
        return sum(part * (_KNOWN_WEIGHT if word in said else 1.0) for word, part in self.shared.items())


class Matter(NamedTuple):
    """What a ticket is about: all its telling words, and among them those of its subject, its wishes and its kind.

    ``headline`` are those of the subject alone, where it is the ticket's own.
    """

    words: frozenset[str]
    central: frozenset[str]
    headline: frozenset[str]
    product: frozenset[str]
    technical: bool


def matter_of(material: Mapping[str, Any]) -> Matter:
    """The same in every step: where the steps before are not told, their part is done again."""
    subject, body = of_ticket(material)
    classification = material.get("classification") or classify(material)
    extraction = material.get("extraction") or extract({**material, "classification": classification})
    # The subject of a reply is another day's.
    own = "" if REPLY.match(subject) and len(subject_words(body)) >= _ENOUGH_SHARED else subject
    kind = str(extraction.get("issue_type") or "").replace("_", " ")
    product = frozenset(stems(str(extraction.get("product") or ""))[:1])
    number = frozenset(stems(str(extraction.get("order_id") or "")))  # it says which order, not what about it
    wanted = wishes(body)
    known = _known_words(material)
    central = subject_words(f"{own} {kind} {requests(wanted)}") - _VAGUE_KINDS - product - number
    return Matter(
        words=_with_beginnings(subject_words(f"{own} {wanted}") - number | central, known),
        central=_with_beginnings(central, known),
        headline=subject_words(own),
        product=product,
        technical=classification.get("category") == "technical",
    )


def _with_beginnings(words: frozenset[str], known: frozenset[str]) -> frozenset[str]:
    """Compounds that no article has count as the longest beginning that one has: Routerwechsel as router."""
    return frozenset(
        next((word[:end] for end in range(len(word) - 2, _SHORTEST_BEGINNING - 1, -1) if word[:end] in known), word)
        if word not in known and len(word) >= _SHORTEST_COMPOUND
        else word
        for word in words
    )


def ranked_passages(material: Mapping[str, Any]) -> list[Passage]:
    """All passages that may be shown to a customer, best first."""
    matter = matter_of(material)
    articles = [a for a in material.get("articles") or () if not _INTERNAL.search(str(a.get("title") or ""))]
    entries = [(article, passage, _passage_words(passage)) for article in articles for passage in passages_of(article)]
    spread = Counter(word for _, _, words in entries for word in words)
    enough = _ENOUGH_SHARED if len(matter.words) > _SHORT_TICKET else 2

    ranked = []
    for place, (article, passage, words) in enumerate(entries):
        title = subject_words(str(article.get("title") or ""))
        introduces = passage.get("heading") in (None, "", article.get("title"))
        heading = frozenset() if introduces else subject_words(str(passage["heading"]))
        special = _SPECIAL_CASE.match(str(passage.get("heading"))) is not None
        factor = _INTRODUCTION_WEIGHT if introduces else 1.0
        if title:
            factor *= _bonus(_TITLE_BONUS, title, matter.words)
        if heading:
            factor *= _bonus(_HEADING_BONUS, heading, matter.words)
        condition = _ONLY_WITH.search("" if introduces else str(passage["heading"]))
        if condition and subject_words(condition[1]).isdisjoint(matter.words):
            factor *= _OTHER_PRODUCT_WEIGHT
        named = _products(article)
        if matter.product and not named <= matter.words:
            factor *= _OTHER_PRODUCT_WEIGHT
        factor /= math.sqrt(_LENGTH_DAMPING + len(words)) * math.log(1 + len(entries))
        shared = {
            word: math.log(1 + len(entries) / max(1, spread[word]))
            * (_CENTRAL_WEIGHT if word in matter.central else 1.0)
            * _standing(word, heading, title, words)
            * factor
            for word in (words | title) & matter.words
        }
        score = sum(shared.values())
        fits = score >= _LEAST_SCORE and len(shared) >= enough
        of_product = matter.product & words and len(shared) >= _MANY_SHARED
        if matter.central and matter.central.isdisjoint(shared) and not of_product:
            fits = False
        elsewhere = matter.product and not matter.product <= _article_words(article) and named.isdisjoint(matter.words)
        if matter.product and matter.central and matter.central <= _PRICE and matter.product.isdisjoint(words):
            fits = False  # who asks for nothing but a price asks for that of the product
        if not matter.headline.isdisjoint(_REFUND) and _REFUND.isdisjoint(shared):
            fits = False  # what comes back to whom is another matter than where the money is
        if matter.technical and elsewhere:
            fits = False  # advice about refunds fits every product, advice about an alarm fits one
        found = Passage(
            article_id=str(article.get("id")),
            title=str(article.get("title") or ""),
            text=str(passage["text"]),
            score=score,
            asked_for=len(heading) > 1 and heading <= matter.central | matter.product and not special,
            fits=fits,
            heading="" if introduces else str(passage["heading"]),
            shared=shared,
            says=words,
        )
        ranked.append((-found.score_beside(()), place, found))
    return [found for _, _, found in sorted(ranked, key=lambda each: each[:2])]


def _bonus(size: float, headline: frozenset[str], words: frozenset[str]) -> float:
    return 1 + size * (len(headline & words) / len(headline) - 0.5)


def _standing(word: str, heading: Collection[str], title: Collection[str], words: Collection[str]) -> float:
    if word in heading:
        return _HEADING_WEIGHT
    if word in title:
        return _TITLE_WEIGHT if word in words else _TITLE_ALONE_WEIGHT
    return 1.0


def coverage(material: Mapping[str, Any], text: str) -> float:
    """Which share of what the ticket asks for ``text`` speaks of, from 0 to 1.

    Where ticket and articles are in different languages, only the words that both have can be compared.
    """
    matter = matter_of(material)
    asked = matter.central or matter.words
    articles = "\n".join(str(p["text"]) for article in material.get("articles") or () for p in passages_of(article)[:1])
    if language_of_customer(material) != language_of(articles):
        asked &= _known_words(material)
    return len(asked & subject_words(text)) / len(asked) if asked else 0.0


def _known_words(material: Mapping[str, Any]) -> frozenset[str]:
    return frozenset[str]().union(*map(_article_words, material.get("articles") or ()))


def passages_of(article: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    return [passage for passage in article.get("passages") or () if passage.get("text")]


def _products(article: Mapping[str, Any]) -> frozenset[str]:
    """The names in its title that it introduces as things: a Badger, your Keeper."""
    title = set(tokens(str(article.get("title") or "")))
    named = {name for passage in passages_of(article) for name in _NAMED.findall(str(passage["text"]))}
    return frozenset(stem for name in named if name.lower() in title for stem in stems(name))


def _passage_words(passage: Mapping[str, Any]) -> frozenset[str]:
    return subject_words(f"{passage.get('heading') or ''} {passage.get('text') or ''}")


def _article_words(article: Mapping[str, Any]) -> frozenset[str]:
    return subject_words(str(article.get("title") or "")).union(*map(_passage_words, passages_of(article)))
