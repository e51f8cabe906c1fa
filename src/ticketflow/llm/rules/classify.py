"""Category, priority and language by weighted words."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from typing import Any, NamedTuple

from ticketflow.llm.rules.concerns import Concern, concern_of
from ticketflow.llm.rules.conversation import language_of_customer, of_ticket
from ticketflow.llm.rules.lexicon import CATEGORY_CUES, NEGATIONS, PRIORITY_CUES, Cue
from ticketflow.llm.rules.words import REPLY, Phrases, stems

_SENTENCE_END = re.compile(r"[.!?]+")
_SUBJECT_WEIGHT = 1.6
_REPLY_SUBJECT_WEIGHT = 0.4
_EARLY, _LATE, _LATE_WEIGHT = 120, 400, 0.6
_REPEAT_WEIGHT = 0.25
_GENERAL_START = 0.9
"""What speaks for ``general`` before a word is read: it is where a ticket belongs that nothing else claims."""


class Reading(NamedTuple):
    """How strongly a ticket speaks for each category and, within it, for each kind of issue; and the phrases that did.

    A category adds its cues up; an issue is as strong as its strongest cue, so that a telling phrase beats many hints.
    """

    categories: dict[str, float]
    issues: dict[str, dict[str, float]]
    phrases: dict[str, list[str]]

    @property
    def category(self) -> str:
        return max(self.categories, key=lambda category: self.categories[category])


def classify(material: Mapping[str, Any]) -> dict[str, Any]:
    subject, body = of_ticket(material)
    reading = read(subject, body)
    ranked = sorted(reading.categories.items(), key=lambda item: -item[1])
    (category, best), (_, second) = ranked[0], ranked[1]
    matched = reading.phrases.get(category, [])
    confidence = 0.3 + 0.65 * (best - second) / (best + 1.5) if matched else 0.3
    priority, causes = _priority(material, subject, body)
    because = f"matched {', '.join(matched[:4])}" if matched else "no telling words"
    urgency = f"; priority from {', '.join(causes[:3])}" if causes else ""
    return {
        "category": category,
        "priority": priority,
        "confidence": round(min(0.95, max(0.2, confidence)), 2),
        "language": language_of_customer(material),
        "reason": f"Rules: {because}{urgency}.",
    }


@lru_cache(maxsize=32)
def read(subject: str, body: str) -> Reading:
    """Shared between tasks, so not to be changed."""
    categories = {"general": _GENERAL_START, "billing": 0.0, "technical": 0.0, "account": 0.0}
    issues: defaultdict[str, dict[str, float]] = defaultdict(dict)
    phrases: defaultdict[str, list[str]] = defaultdict(list)
    seen: Counter[str] = Counter()
    headline = _REPLY_SUBJECT_WEIGHT if REPLY.match(subject) else _SUBJECT_WEIGHT
    for text, base in ((stems(subject), headline), (stems(body), 1.0)):
        for place, phrase, cue in _category_phrases().find(text):
            if cue.negatable and _negated(text, place):
                continue
            weight = cue.weight * base * _placed(place) * (_REPEAT_WEIGHT if seen[phrase] else 1.0)
            weight = 0.0 if seen[phrase] > 2 else weight
            seen[phrase] += 1
            categories[cue.category] += weight
            if cue.issue:
                strengths = issues[cue.category]
                strengths[cue.issue] = max(weight, strengths.get(cue.issue, 0.0))
            if phrase not in phrases[cue.category]:
                phrases[cue.category].append(phrase)
    return Reading(categories, issues, phrases)


def _priority(material: Mapping[str, Any], subject: str, body: str) -> tuple[str, list[str]]:
    asked = (material.get("given") or {}).get("priority")
    if asked in ("low", "medium", "high", "urgent"):
        return str(asked), ["the customer"]
    found = concern_of(material)
    if found in (Concern.SAFETY, Concern.SECURITY):
        return "urgent", [found.replace("_", " ")]
    raised, lowered, causes = [0.0], 0.0, list[str]()
    # A "not" in one sentence denies nothing in the next.
    for text in map(stems, _SENTENCE_END.split(f"{subject}. {body}")):
        for place, phrase, weight in _priority_phrases().find(text):
            if phrase in causes or (weight > 0 and _negated(text, place)):
                continue
            causes.append(phrase)
            if weight > 0:
                raised.append(weight)
            else:
                lowered += weight
    score = max(raised) + (sum(raised) - max(raised)) / 3 + lowered
    if subject.count("!") + body.count("!") >= 3:
        score += 0.5
    if sum(word.isupper() and len(word) > 3 for word in f"{subject} {body}".split()) >= 2:
        score += 0.5
    for floor, priority in ((4.5, "urgent"), (2.0, "high"), (-0.99, "medium")):
        if score >= floor:
            return priority, causes
    return "low", causes


def _placed(place: int) -> float:
    """People say what they want early; a long tail counts less."""
    if place < _EARLY:
        return 1.0
    return _LATE_WEIGHT if place > _LATE else 0.8


def _negated(text: Sequence[str], place: int) -> bool:
    return not _negations().isdisjoint(text[max(0, place - 3) : place])


@cache
def _negations() -> frozenset[str]:
    return frozenset(stems(NEGATIONS))


@cache
def _category_phrases() -> Phrases[Cue]:
    return Phrases(CATEGORY_CUES)


@cache
def _priority_phrases() -> Phrases[float]:
    return Phrases(PRIORITY_CUES)
