"""Guardrails: what code can judge about a reply, judged by code, whatever any model thinks of it.

Each objection is one sentence that names what is wrong, so that a revision can mend it and a person can see why.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

from ticketflow.domain.conversation import Message
from ticketflow.domain.tickets import Ticket
from ticketflow.llm.tasks import TaskName
from ticketflow.workflow.conversation import customer_texts, support_texts
from ticketflow.workflow.leaks import leak_problems
from ticketflow.workflow.promises import money_problems
from ticketflow.workflow.prompts import prompt
from ticketflow.workflow.published import Published
from ticketflow.workflow.questions import question_problems

_EMAIL = re.compile(r"[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9.-]{1,255}\.[A-Za-z]{2,24}")
_MARKUP = re.compile(
    r"<\s{0,3}(?:script|iframe|img|object|embed|style|link|form|svg|a)\b|<\s{0,3}/?[a-z][a-z0-9-]{0,20}(?:\s[^<>=]{0,100}=[^<>]{0,300})?\s?/?>"
    r"|\b(?:javascript|vbscript):|\bdata:[a-z]{1,20}/",
    re.IGNORECASE,
)
_SPELLED_OUT = re.compile(r"(?<!\w)(?:[^\W\d_][ .\u2010-\u2015-]{1,2}){4,60}[^\W\d_](?!\w)")
# Terminals and pages would obey them: control characters, and overrides of the direction of text.
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_URL = re.compile(
    r"(?<![@\w.-])(?:https?://[^\s)>\]]{1,2000}|www\.[^\s)>\]]{1,2000}"
    r"|(?:[a-z0-9-]{1,63}\.){1,8}(?:[a-z]{2,24}/[^\s)>\]]{0,2000}"
    # Without a path, only endings that do not look like the next sentence's first word.
    r"|(?:com|net|org|info|biz|io|co|app|dev|shop|store|online|site|link|xyz|top|click|example|de|ch|fr|nl|eu|uk|ru|cn)\b))",
    re.IGNORECASE,
)
# Greek and Cyrillic letters that pass for Latin ones; units such as μA and kΩ are written so by honest people.
_OTHER_ALPHABET = r"[\u0370-\u03a8\u03aa-\u03bb\u03bd-\u052f]"
_MIXED_ALPHABETS = re.compile(rf"[A-Za-z]{_OTHER_ALPHABET}|{_OTHER_ALPHABET}[A-Za-z]")
_LEAK_WORDS = 9
"""A reply that repeats this many words of a prompt in a row is quoting it."""

MAX_REPLY = 10_000


def problems_of(
    text: str,
    citations: Sequence[str],
    articles: Sequence[dict[str, Any]],
    ticket: Ticket,
    conversation: Sequence[Message] = (),
    *,
    asks: bool = False,
) -> list[str]:
    """Everything that keeps this reply from being sent; empty when nothing does.

    ``articles`` are those that research found, with ``id`` and ``passages``; ``asks`` says that the reply is a
    question. What the customer wrote since is known like the ticket itself; what support wrote is not.
    """
    if len(text) > MAX_REPLY:
        return [f"the reply is longer than {MAX_REPLY} characters"]
    published = Published(articles)
    own_words = "\n".join([ticket.subject, ticket.body, ticket.customer_email or "", *customer_texts(conversation)])
    seen = _as_seen(text)
    problems = []
    if not seen.strip():
        problems.append("the reply is empty")
    if _squeezed(seen) in {_squeezed(_as_seen(said)) for said in support_texts(conversation)}:
        problems.append("says to the customer word for word what they have been told before")
    if asks:
        problems += question_problems(seen, citations, published)
    ids = {article["id"] for article in articles}
    if unknown := [cited for cited in citations if cited not in ids]:
        problems.append(f"cites articles that were not found: {', '.join(unknown[:5])[:200]}")
    problems += money_problems(seen, published)
    problems += leak_problems(seen, published)
    if (named := _addresses(seen)) and (strangers := named - _addresses(published.text + own_words)):
        problems.append(f"names an e-mail address that is in neither the ticket nor the articles: {min(strangers)}")
    if _MARKUP.search(seen):
        problems.append("contains HTML or script")
    if (links := _links(seen)) and not links <= _links(published.text):
        problems.append("contains a link that is in none of the articles")
    if _CONTROL.search(text):
        problems.append("contains control characters")
    if _MIXED_ALPHABETS.search(seen):
        problems.append("mixes alphabets within a word")
    if _quotes_a_prompt(seen):
        problems.append("repeats internal instructions")
    return problems


def _as_seen(text: str) -> str:
    """The text as a reader takes it: without characters that have no width, with one form for letters that look alike,
    and with words put together that are spelled out."""
    if not text.isascii():
        plain = unicodedata.normalize("NFKC", text)
        text = "".join(character for character in plain if unicodedata.category(character) != "Cf")
    return _SPELLED_OUT.sub(lambda spelled: re.sub(r"[^\w]", "", spelled.group()), text)


def _squeezed(text: str) -> str:
    return " ".join(text.casefold().split())


def _addresses(text: str) -> set[str]:
    return {found.lower() for found in _EMAIL.findall(text)}


def _links(text: str) -> set[str]:
    """Links in one form: with or without scheme and ``www.``, a link is the same link."""
    return {re.sub(r"^(?:https?://)?(?:www\.)?", "", url.lower()).rstrip(".,;:!?/") for url in _URL.findall(text)}


def _quotes_a_prompt(text: str) -> bool:
    return not _prompt_runs().isdisjoint(_runs(text))


@cache
def _prompt_runs() -> frozenset[tuple[str, ...]]:
    return frozenset(run for task in TaskName for run in _runs(prompt(task).text))


def _runs(text: str) -> Iterator[tuple[str, ...]]:
    """Every ``_LEAK_WORDS`` words that follow one another."""
    words = re.findall(r"\w+", text.lower())
    return (tuple(words[i : i + _LEAK_WORDS]) for i in range(len(words) - _LEAK_WORDS + 1))
