"""Guardrails: what code can judge about a reply, judged by code, whatever any model thinks of it.

Each objection is one sentence that names what is wrong, so that a revision can mend it and a person can see why.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

from ticketflow.domain.tickets import Ticket
from ticketflow.llm.tasks import TaskName
from ticketflow.workflow.prompts import prompt

_MONEY = (
    r"(?:refund|reimburs\w*|credit(?:ed)?|compensat\w*|voucher|discount|money back"
    r"|gutschrift|erstatt\w*|rembours\w*|reembols\w*|rimbors\w*)"
)
_PROMISE = re.compile(
    r"\b(?:i|we|our team)(?:'ll| will| have|'ve| can| are going to| am going to| just)?\b[^.!?\n]{0,60}"
    r"\b(?:issue|process|grant|give|send|pay|approve|offer|arrange|refund|reimburse|credit|compensate)\w*\b[^.!?\n]{0,60}"
    r"|\byou(?:'ll| will) (?:receive|get|be (?:refunded|credited|reimbursed|compensated))[^.!?\n]{0,60}"
    r"|\bwir (?:werden|erstatten|haben)\b[^.!?\n]{0,60}",
    re.IGNORECASE,
)
_MONEY_WORD = re.compile(rf"\b{_MONEY}\b", re.IGNORECASE)
_AMOUNT = re.compile(r"(?:[€$£]\s?\d|\d[\d.,]*\s?(?:€|\$|£|eur\b|usd\b|gbp\b|euros?\b|dollars?\b))", re.IGNORECASE)
_SECRET = re.compile(
    r"\b(?:sk-[A-Za-z0-9_-]{16,}|AKIA[A-Z0-9]{16}|gh[pousr]_[A-Za-z0-9]{30,}|xox[abprs]-[A-Za-z0-9-]{10,}"
    r"|eyJ[A-Za-z0-9_-]{20,}\.[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,})"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----|\b(?:amqps?|postgres(?:ql)?)://\S+:\S+@",
)
_CARD = re.compile(r"\b(?:\d[ -]?){13,19}\b")
_EMAIL = re.compile(r"[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9.-]{1,255}\.[A-Za-z]{2,24}")
_MARKUP = re.compile(r"<\s*(?:script|iframe|img|object|embed|style|link|form|svg|a)\b|javascript:", re.IGNORECASE)
_URL = re.compile(r"\bhttps?://[^\s)>\]]+", re.IGNORECASE)
_LEAK_WORDS = 9
"""A reply that repeats this many words of a prompt in a row is quoting it."""

MAX_REPLY = 10_000


def problems_of(text: str, citations: Sequence[str], articles: Sequence[dict[str, Any]], ticket: Ticket) -> list[str]:
    """Everything that keeps this reply from being sent; empty when nothing does.

    ``articles`` are those that research found, with ``id`` and ``passages``.
    """
    known = "\n".join(
        f"{article['title']}\n" + "\n".join(f"{p['heading']}\n{p['text']}" for p in article["passages"])
        for article in articles
    )
    own_words = f"{ticket.subject}\n{ticket.body}\n{ticket.customer_email or ''}"
    problems = []
    if not text.strip():
        problems.append("the reply is empty")
    if len(text) > MAX_REPLY:
        problems.append(f"the reply is longer than {MAX_REPLY} characters")
    ids = {article["id"] for article in articles}
    if unknown := [cited for cited in citations if cited not in ids]:
        problems.append(f"cites articles that were not found: {', '.join(unknown[:5])[:200]}")
    problems += _money_problems(text, known)
    if _SECRET.search(text):
        problems.append("contains what looks like a password, key or token")
    if any(_luhn(match.group()) for match in _CARD.finditer(text)):
        problems.append("contains a payment card number")
    if strangers := {found.lower() for found in _EMAIL.findall(text)} - {
        found.lower() for found in _EMAIL.findall(known + own_words)
    }:
        problems.append(f"names an e-mail address that is in neither the ticket nor the articles: {min(strangers)}")
    if _MARKUP.search(text):
        problems.append("contains HTML or script")
    if any(url.rstrip(".,;") not in known for url in _URL.findall(text)):
        problems.append("contains a link that is in none of the articles")
    if _quotes_a_prompt(text):
        problems.append("repeats internal instructions")
    return problems


def _money_problems(text: str, known: str) -> list[str]:
    """A promise of money needs a person. Quoting the shop's published policy is not a promise."""
    published = _squeezed(known)
    problems = []
    for sentence in re.split(r"(?<=[.!?])\s+|\n+", text):
        if _squeezed(sentence) in published:
            continue
        if _PROMISE.search(sentence) and (_MONEY_WORD.search(sentence) or _AMOUNT.search(sentence)):
            problems.append(f"promises money without approval: {sentence.strip()[:120]!r}")
        elif (amount := _AMOUNT.search(sentence)) and _squeezed(amount.group()) not in published:
            problems.append(f"names an amount of money that no article names: {sentence.strip()[:120]!r}")
    return problems


def _squeezed(text: str) -> str:
    return " ".join(re.sub(r"[*_`>#-]+", " ", text).lower().split())


def _quotes_a_prompt(text: str) -> bool:
    return not _prompt_runs().isdisjoint(_runs(text))


@cache
def _prompt_runs() -> frozenset[tuple[str, ...]]:
    return frozenset(run for task in TaskName for run in _runs(prompt(task).text))


def _runs(text: str) -> Iterator[tuple[str, ...]]:
    """Every ``_LEAK_WORDS`` words that follow one another."""
    words = re.findall(r"\w+", text.lower())
    return (tuple(words[i : i + _LEAK_WORDS]) for i in range(len(words) - _LEAK_WORDS + 1))


def _luhn(candidate: str) -> bool:
    """The check digit of payment cards (ISO/IEC 7812-1), to tell them from order and phone numbers."""
    digits = [int(character) for character in candidate if character.isdigit()]
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[-2::-2]]
    return 13 <= len(digits) <= 19 and (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0
