"""Which language a text is in, by its commonest words, else by its script."""

from __future__ import annotations

from collections import Counter, defaultdict

from ticketflow.llm.rules.words import STOPWORDS, tokens

_SCRIPTS = (
    ("\u3040", "\u30ff", "ja"),
    ("\uac00", "\ud7a3", "ko"),
    ("\u4e00", "\u9fff", "zh"),
    ("\u0400", "\u04ff", "ru"),
    ("\u0370", "\u03ff", "el"),
    ("\u0590", "\u05ff", "he"),
    ("\u0600", "\u06ff", "ar"),
)
_ENOUGH = 400
_LEAST_EVIDENCE = 2
"""So many different words must speak for another language than English: the "y" in a product's name is not Spanish."""


def language_of(text: str) -> str:
    """An ISO 639-1 code. ``en`` when in doubt, which is often so for a text of a few words."""
    counts, evidence = _signs(text)
    likely = [each for each in STOPWORDS if each == "en" or len(evidence[each]) >= _LEAST_EVIDENCE]
    # max keeps the first of equals, and English comes first
    best = max(likely, key=lambda language: counts[language])
    if counts[best]:
        return best
    return _by_script(text) or "en"


def sure_language_of(text: str) -> str | None:
    """The language of which the text has clearly more common words than of any other, or the script; else None."""
    counts, evidence = _signs(text)
    if not counts:
        return _by_script(text)
    (best, most), (_, second) = (*counts.most_common(2), ("", 0))[:2]
    return best if most > second and len(evidence[best]) >= _LEAST_EVIDENCE else None


def _signs(text: str) -> tuple[Counter[str], dict[str, set[str]]]:
    """How often each language's common words occur, and which of them that are longer than a letter."""
    counts: Counter[str] = Counter()
    evidence: defaultdict[str, set[str]] = defaultdict(set)
    for word in tokens(text[:4_000])[:_ENOUGH]:
        for language, common in STOPWORDS.items():
            if word in common:
                counts[language] += 1
                if len(word) > 1:
                    evidence[language].add(word)
    return counts, evidence


def _by_script(text: str) -> str | None:
    letters = [char for char in text[:_ENOUGH] if char.isalpha()]
    for first, last, language in _SCRIPTS:
        if sum(first <= char <= last for char in letters) * 4 > len(letters):
            return language
    return None
