"""A reply made of article passages, word for word, between a few sentences of our own."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from ticketflow.llm.rules.asking import lacks_order_number
from ticketflow.llm.rules.concerns import concern_of, thanks_alone
from ticketflow.llm.rules.conversation import told
from ticketflow.llm.rules.language import language_of
from ticketflow.llm.rules.phrases import VOICES, Voice, voice
from ticketflow.llm.rules.relevance import Passage, matter_of, ranked_passages
from ticketflow.llm.rules.words import stem, unmarked

_ORDER = re.compile(r"#?[A-Z0-9][A-Z0-9-]{2,24}")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|\n+")
_LONGEST_PASSAGE = 900
_LONGEST_QUOTE = 1_500
_SAME_ARTICLE, _OTHER_ARTICLE = 0.37, 0.75
"""A further passage must add this share of what the first one gave to be worth the reader's time."""
_MOST_PASSAGES = 4
_FOR_OWNERS = re.compile(r"(?:With|If you have|For) (?:an?|your|the) ([A-Z][a-z]+)\b")
_TOPICS = {
    "payment": "payment",
    "payment_failed": "payment",
    "double_charge": "payment",
    "malfunction": "problem",
    "outage": "problem",
    "connectivity": "problem",
    "damaged": "problem",
    "password_reset": "account",
    "login": "account",
    "account_data": "account",
    "account_security": "account",
}
"""What kind of issue is thanked for how; all others are greeted without naming a matter."""


def draft(material: Mapping[str, Any]) -> dict[str, Any]:
    """A first draft, or on ``revision`` the earlier one without what was found wrong with it."""
    revision = material.get("revision")
    if revision:
        return _revised(material, revision.get("draft") or {}, [str(p) for p in revision.get("problems") or ()])
    if question := _question(material):
        return question
    return _composed(material, without=frozenset())


def _question(material: Mapping[str, Any]) -> dict[str, Any] | None:
    """The question for the order's number, where that is what is missing."""
    order = (material.get("extraction") or {}).get("order_id")
    if concern_of(material) or thanks_alone(material) or not lacks_order_number(material, order):
        return None
    speaks = voice((material.get("classification") or {}).get("language"))
    parts = [speaks.greeting, _thanks(material, speaks), speaks.asking, speaks.regards]
    return {"text": "\n\n".join(parts), "citations": [], "asks_customer": True}


def _composed(
    material: Mapping[str, Any], *, without: frozenset[str], at_most: int = _MOST_PASSAGES, struck: Sequence[str] = ()
) -> dict[str, Any]:
    """``without`` are articles, ``struck`` sentences that must not be used."""
    speaks = voice((material.get("classification") or {}).get("language"))
    chosen = [] if concern_of(material) else _chosen(material, without, at_most, struck)
    opening = f"{speaks.greeting}\n\n{_thanks(material, speaks)}"
    if not chosen:
        return {"text": f"{opening}\n\n{speaks.holding}\n\n{speaks.regards}", "citations": [], "asks_customer": False}
    parts, cited = [opening], list[str]()
    for passage, text in chosen:
        if passage.article_id not in cited:
            parts.append(_announced(passage, speaks, first=not cited))
            cited.append(passage.article_id)
        if passage.heading and _needs_heading(chosen):
            parts.append(f"{passage.heading.rstrip(':')}:")
        parts.append(text)
    return {"text": "\n\n".join([*parts, speaks.closing, speaks.regards]), "citations": cited, "asks_customer": False}


def _chosen(
    material: Mapping[str, Any], without: frozenset[str], at_most: int, struck: Sequence[str]
) -> list[tuple[Passage, str]]:
    """The best passage, then those that add nearly as much to it, each with the text that is shown of it."""
    words = matter_of(material).words
    candidates = [
        passage for passage in ranked_passages(material) if passage.fits and passage.article_id not in without
    ]
    chosen: list[tuple[Passage, str]] = []
    said: frozenset[str] = frozenset()
    length = 0
    while candidates and len(chosen) < at_most:
        best = max(candidates, key=lambda passage: passage.score_beside(said))
        candidates.remove(best)
        if chosen:
            same = any(best.article_id == earlier.article_id for earlier, _ in chosen)
            if best.score_beside(said) < (_SAME_ARTICLE if same else _OTHER_ARTICLE) * chosen[0][0].score:
                continue
        shown = _shown(best.text, struck, words)
        if shown and length + len(shown) <= _LONGEST_QUOTE:
            chosen.append((best, shown))
            said |= best.says
            length += len(shown)
    known = " ".join(_flat(text) for text in told(material))
    if chosen and _flat(chosen[0][1]) in known:
        return []  # the best there is has been said, and what comes after it would not help either
    chosen = [each for each in chosen if _flat(each[1]) not in known]
    # What comes from one article stands together, in the order in which the articles were chosen.
    order = [passage.article_id for passage, _ in chosen]
    return sorted(chosen, key=lambda each: order.index(each[0].article_id))


def _flat(text: str) -> str:
    return " ".join(text.split())


def _needs_heading(chosen: Sequence[tuple[Passage, str]]) -> bool:
    """Among several passages a reader wants to know which is which, and a list needs to say what it is of."""
    return len(chosen) > 1 or not chosen[0][1][:1].isalpha()


def _announced(passage: Passage, speaks: Voice, *, first: bool) -> str:
    written_in = language_of(passage.text)
    if first and speaks.languages.get(written_in) and VOICES[written_in] is not speaks:
        return speaks.foreign.format(title=passage.title, language=speaks.languages[written_in])
    return (speaks.quoting if first else speaks.more).format(title=passage.title)


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
    return _composed(
        material, without=frozenset(named & known), at_most=_MOST_PASSAGES if struck or named else 1, struck=struck
    )


def split(text: str) -> list[str]:
    """Sentences and list items, as they stand."""
    return [part.strip() for part in _SENTENCE_END.split(text) if part.strip()]


def _is_about(problem: str, sentence: str) -> bool:
    """Whether the problem quotes the sentence, or a good part of it (a reviewer may cut it short)."""
    flat, quoted = " ".join(sentence.lower().split()), " ".join(problem.lower().split())
    return len(flat) >= 12 and (flat in quoted or (len(flat) > 60 and flat[:60] in quoted))


def _thanks(material: Mapping[str, Any], speaks: Voice) -> str:
    extraction = material.get("extraction") or {}
    topic = _TOPICS.get(str(extraction.get("issue_type")), "general")
    order = str(extraction.get("order_id") or "").upper()
    shown = speaks.order.format(id=order) if _ORDER.fullmatch(order) else ""
    return speaks.thanks[topic].format(order=shown)


def _shown(passage: str, struck: Sequence[str], words: Collection[str]) -> str:
    """A passage as plain text: whole sentences from its start, as many as fit, none of them struck.

    Paragraphs for owners of something that the ticket does not name are left out.
    """
    text = unmarked(passage).strip()
    paragraphs = text.split("\n\n")
    meant = [each for each in paragraphs if not (found := _FOR_OWNERS.match(each)) or stem(found[1].lower()) in words]
    text = "\n\n".join(meant)
    for sentence in struck:
        text = text.replace(sentence, "")
    if len(text) <= _LONGEST_PASSAGE:
        return text.strip()
    ends = [found.start() for found in _SENTENCE_END.finditer(text, 0, _LONGEST_PASSAGE)]
    return text[: ends[-1]].strip() if ends else ""
