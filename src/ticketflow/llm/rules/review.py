"""A reviewer that checks what words can show: sources, quotations, fit and manners. It understands nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from ticketflow.llm.rules.asking import lacks_order_number
from ticketflow.llm.rules.compose import split
from ticketflow.llm.rules.concerns import concern_of, thanks_alone
from ticketflow.llm.rules.extract import extract
from ticketflow.llm.rules.phrases import VOICES
from ticketflow.llm.rules.relevance import coverage, passages_of, ranked_passages
from ticketflow.llm.rules.words import plain, subject_words, unmarked

_LINK = re.compile(r"(?:https?://|www\.)[^\s<>()\"']{1,500}", re.IGNORECASE)
_AMOUNT = re.compile(
    r"[€$£]\s?\d[\d.,]{0,12}|\b\d[\d.,]{0,12}\s?(?:€|£|\$|eur|usd|gbp|chf|euros?|dollars?|pounds?)(?!\w)", re.IGNORECASE
)
_PROMISE = re.compile(
    r"\b(?:we|i)(?:'ll| will| have| are going to|'ve)\b.{0,60}\b"
    r"(?:refund|reimburs|credit|compensat|pay|discount|waive)",
    re.IGNORECASE,
)
_RUDE = re.compile(
    r"\b(?:stupid|idiot\w*|ridiculous|your (?:own )?fault|shut up|nonsense|liar|damn|obviously you)\b", re.IGNORECASE
)
_FEWEST_WORDS = 3
_GROUNDED_SHARE = 0.7
_LEAST_GROUNDED = 0.8
_QUOTED = 160
_LONGEST_REPLY = 5_000
_LEAST_COVERED = 0.25
"""A reply that passes over three quarters of what was asked is for a person to write."""
_GROUNDED_PART, _COVERED_PART = 0.5, 0.4
"""Accuracy is never 1: what is quoted faithfully may still be the wrong answer, and these rules cannot tell."""
_LEAST_TONE = 0.7
_PLEASANT_LENGTH, _LENGTH_MALUS = 120, 0.2


def review(material: Mapping[str, Any]) -> dict[str, Any]:
    draft = material.get("draft") or {}
    if draft.get("asks_customer"):
        return _of_question(material, str(draft.get("text") or ""))
    whole, cited = str(draft.get("text") or ""), [str(each) for each in draft.get("citations") or ()]
    text = whole[:_LONGEST_REPLY]
    articles = {str(article.get("id")): article for article in material.get("articles") or ()}
    unknown = [each for each in cited if each not in articles]
    sources = [articles[each] for each in cited if each in articles]
    known = _plain_text(sources)

    tone = _tone(text)
    breaches = list(_breaches(text, known))
    if len(whole) > _LONGEST_REPLY:
        breaches.append(f"is longer than {_LONGEST_REPLY} characters")
    loose, share = _loose_sentences(text, known)
    fits = bool(sources) and _fits(material, {str(source.get("id")) for source in sources})

    covered = coverage(material, text)

    problems = [f"cites {each[:80]}, which is not among the articles" for each in unknown]
    problems += breaches
    problems += [f'no cited article says: "{sentence[:_QUOTED]}"' for sentence in loose[:5]]
    problems += ["the tone is not that of a support reply"] if tone < _LEAST_TONE else []
    verdict = "revise" if unknown or breaches or share < _LEAST_GROUNDED or tone < _LEAST_TONE else "approve"
    found = concern_of(material)
    if not cited:
        verdict, problems = "escalate", ["no article answers this", *problems]
    elif not fits and not unknown:
        verdict, problems = "escalate", ["the cited article does not fit the ticket", *problems]
    elif covered < _LEAST_COVERED and verdict == "approve":
        verdict, problems = "escalate", [f"speaks of only {covered:.0%} of what the ticket asks for"]
    if thanks_alone(material):
        verdict, problems = "escalate", ["the ticket asks for nothing, it says thank you"]
    if found:
        verdict, problems = "escalate", [f"the ticket needs a person: {found.reason}", *problems]
    accuracy = (
        share * (_GROUNDED_PART + _COVERED_PART * covered) * (1.0 if fits else 0.4) * (0.5 if unknown else 1.0)
        if cited
        else 0.0
    )
    scores = {"accuracy": accuracy, "tone": tone, "policy": max(0.0, 1.0 - 0.4 * len(breaches))}
    return {
        "verdict": verdict,
        "scores": {name: round(score, 2) for name, score in scores.items()},
        "problems": [] if verdict == "approve" else problems,
    }


def _of_question(material: Mapping[str, Any], text: str) -> dict[str, Any]:
    """A question goes out when it asks for what is missing, and says nothing else."""
    tone, problems = _tone(text), list(_breaches(text, ""))
    problems += [f'says more than it asks: "{each[:_QUOTED]}"' for each in split(text) if not _is_our_own(each)]
    problems += ["the tone is not that of a support reply"] if tone < _LEAST_TONE else []
    verdict = "revise" if problems else "approve"
    if not lacks_order_number(material, extract(material)["order_id"]):
        verdict, problems = "escalate", ["the question asks for nothing that is missing", *problems]
    if found := concern_of(material):
        verdict, problems = "escalate", [f"the ticket needs a person: {found.reason}", *problems]
    accuracy = _GROUNDED_PART + _COVERED_PART if verdict == "approve" else 0.0
    scores = {"accuracy": accuracy, "tone": round(tone, 2), "policy": max(0.0, 1.0 - 0.4 * len(problems))}
    return {"verdict": verdict, "scores": scores, "problems": problems}


def _fits(material: Mapping[str, Any], cited: set[str]) -> bool:
    return any(passage.fits and passage.article_id in cited for passage in ranked_passages(material))


def _loose_sentences(text: str, known: str) -> tuple[list[str], float]:
    """The sentences whose words the sources do not hold, and the share of the others."""
    source_words = subject_words(known)
    loose, checked = [], 0
    for sentence in split(text):
        words = subject_words(sentence)
        if len(words) < _FEWEST_WORDS or _is_our_own(sentence):
            continue
        checked += 1
        if len(words & source_words) < _GROUNDED_SHARE * len(words):
            loose.append(sentence)
    return loose, 1 - len(loose) / checked if checked else 1.0


def _breaches(text: str, known: str) -> Iterator[str]:
    """Money, links and markup that the sources do not have."""
    flat_known = " ".join(known.lower().split())
    for sentence in split(text):
        flat = " ".join(sentence.lower().split())
        if flat in flat_known:
            continue
        foreign = [found[0] for pattern in (_LINK, _AMOUNT) for found in pattern.finditer(sentence)]
        if any(each.lower().rstrip(".,;") not in flat_known for each in foreign) or _PROMISE.search(sentence):
            yield f'promises or links to what no cited article has: "{sentence[:_QUOTED]}"'
    if plain(text) != text and "<" in text:
        yield "contains HTML"


def _tone(text: str) -> float:
    """Less for rude words and shouting, and a little less for every word that a hurried reader could do without."""
    words = text.split()
    shouted = sum(word.isupper() and len(word) > 3 for word in words)
    score = 1.0 - 0.5 * len(_RUDE.findall(text)) - 0.1 * text.count("!!") - 0.05 * max(0, shouted - 3)
    return max(0.0, score - min(_LENGTH_MALUS, max(0, len(words) - _PLEASANT_LENGTH) / 1_000))


def _plain_text(sources: Sequence[Mapping[str, Any]]) -> str:
    parts = [
        f"{source.get('title') or ''}\n{passage.get('heading') or ''}\n{passage['text']}"
        for source in sources
        for passage in passages_of(source)
    ]
    return unmarked("\n".join(parts))


def _is_our_own(sentence: str) -> bool:
    return sentence.startswith(_own_beginnings())


@cache
def _own_beginnings() -> tuple[str, ...]:
    """How our own sentences begin, up to where something is filled in."""
    spoken = [
        line
        for voice in VOICES.values()
        for line in (
            voice.greeting,
            *voice.thanks.values(),
            voice.quoting,
            voice.foreign,
            voice.more,
            voice.closing,
            voice.holding,
            voice.asking,
            voice.regards,
        )
    ]
    return tuple(part.partition("{")[0] for line in spoken for part in split(line))
