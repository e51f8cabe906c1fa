"""What the customer has written, from the ticket to their newest message, as the rules read it.

The newest words weigh most: a message that asks something of its own is read alone, one that only adds to what was said
before is read before it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ticketflow.llm.rules.language import language_of, sure_language_of
from ticketflow.llm.rules.words import readable, requests, sentences, stems, subject_words

_ASKS_ENOUGH = 2
"""Telling words in what a message asks, from which on it can be understood without the messages before it."""
_LAST_SENTENCES = 4
"""A question, what to do about it, and two lines of regards."""
_NUMBER = re.compile(r"(?<![^\s,;:()])(?=[^\s,;:()]{0,20}\d{3})[^\s,;:()]{3,40}\b")
_NAMES_AN_ORDER = frozenset(
    stems(
        "order number id no nr check look find please purchase confirmation bestellung bestellnummer auftrag nummer "
        "commande numéro pedido número ordine numero bestelling bestelnummer ordernummer lautet ist es est son è "
        "het"
    )
)


def of_ticket(material: Mapping[str, Any]) -> tuple[str, str]:
    """Subject and body of what the customer writes about now; no subject where that was about another matter."""
    subject, body = _first_words(material)
    new = new_words(material)
    if _stands_alone(material, new):
        return "", "\n".join(new)
    said = [each for text in _customer_messages(material) for each in sentences(text)]
    naming = [each for each in said if _only_names_an_order(each)]
    added = "\n".join(each for each in said if each not in naming)
    numbers = {number for each in naming for number in _NUMBER.findall(each)}
    # As if the ticket had said it: with the number, and without the words of whoever was asked for it.
    named = [f"Order {' '.join(sorted(numbers))}."] if numbers and language_of_customer(material) == "en" else []
    return subject, "\n".join(text for text in [added, body, *named] if text)


def everything(material: Mapping[str, Any]) -> tuple[str, str]:
    """The subject, and all that the customer has written, newest first."""
    subject, body = _first_words(material)
    return subject, "\n".join([*_customer_messages(material), body])


def texts(material: Mapping[str, Any]) -> list[str]:
    """What the customer has written, message by message, newest first and the ticket with its subject last."""
    return [*_customer_messages(material), "\n".join(_first_words(material))]


def said_as_it_is(material: Mapping[str, Any]) -> list[str]:
    """The customer's messages and the ticket's body, newest first, with their markup and line breaks."""
    said = [str(each.get("text") or "") for each in reversed(_conversation(material)) if each.get("from") == "customer"]
    return [*said, str((material.get("ticket") or {}).get("body") or "")]


def new_words(material: Mapping[str, Any]) -> list[str]:
    """What the customer has written since support spoke last, newest first; empty on a first run."""
    new: list[str] = []
    for each in reversed(_conversation(material)):
        if each.get("from") != "customer":
            break
        new.append(readable(str(each.get("text") or "")))
    return new


def told(material: Mapping[str, Any]) -> list[str]:
    """What support has written, newest first."""
    return [str(each.get("text") or "") for each in reversed(_conversation(material)) if each.get("from") != "customer"]


def asked(material: Mapping[str, Any]) -> bool:
    """Whether support's last message ends by asking something: before its regards, if any, stands a question."""
    spoken = told(material)
    return bool(spoken) and any(each.endswith("?") for each in sentences(spoken[0])[-_LAST_SENTENCES:])


def language_of_customer(material: Mapping[str, Any]) -> str:
    """That of the newest message which leaves no doubt, else of all together. An order number has no language."""
    written = [text for text in texts(material) if text]
    clear = (found for text in written if (found := sure_language_of(text)))
    return next(clear, None) or language_of("\n".join(written))


def _stands_alone(material: Mapping[str, Any], new: list[str]) -> bool:
    if not new or asked(material):
        return False
    wanted = frozenset[str]().union(*(subject_words(requests(text)) for text in new))
    return len({word for word in wanted if word.isalpha()} - _NAMES_AN_ORDER) >= _ASKS_ENOUGH


def _only_names_an_order(sentence: str) -> bool:
    """Whether the sentence says which order it is, and nothing about it."""
    telling = {word for word in subject_words(sentence) if word.isalpha()} - _NAMES_AN_ORDER
    return not telling and _NUMBER.search(sentence) is not None


def _first_words(material: Mapping[str, Any]) -> tuple[str, str]:
    ticket = material.get("ticket") or {}
    return readable(str(ticket.get("subject") or "")), readable(str(ticket.get("body") or ""))


def _customer_messages(material: Mapping[str, Any]) -> list[str]:
    return [
        readable(str(each.get("text") or ""))
        for each in reversed(_conversation(material))
        if each.get("from") == "customer"
    ]


def _conversation(material: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return list((material.get("ticket") or {}).get("conversation") or ())
