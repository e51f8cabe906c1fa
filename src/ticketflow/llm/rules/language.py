"""Which language a text is in, by its commonest words, else by its script."""

from __future__ import annotations

from collections import Counter

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


def language_of(text: str) -> str:
    """An ISO 639-1 code. ``en`` when in doubt, which is often so for a text of a few words."""
    words = tokens(text[:4_000])[:_ENOUGH]
    counts: Counter[str] = Counter()
    for word in words:
        for language, common in STOPWORDS.items():
            if word in common:
                counts[language] += 1
    if counts:
        # max keeps the first of equals, and English comes first
        return max(STOPWORDS, key=lambda language: counts[language])
    letters = [char for char in text[:_ENOUGH] if char.isalpha()]
    for first, last, language in _SCRIPTS:
        if sum(first <= char <= last for char in letters) * 4 > len(letters):
            return language
    return "en"
