"""The facts of a ticket by patterns: order id, product, kind of issue, urgency, and any configured field."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from itertools import islice
from typing import Any

from ticketflow.llm.rules.classify import read
from ticketflow.llm.rules.concerns import concern_of, thanks_alone
from ticketflow.llm.rules.conversation import language_of_customer, of_ticket, said_as_it_is, texts
from ticketflow.llm.rules.words import plain, requests, set_of, stems

# CL-48213, BR-20417-X, ORD-2024-00017: letters, then groups with dashes between.
_DASHED = re.compile(r"(?<![\w-])[A-Za-z]{1,6}(?:-[A-Za-z0-9]{1,12}){1,3}(?![\w-])")
_THREE_DIGITS = re.compile(r"\d{3}")
_HASHED = re.compile(r"(?<![\w#&])#\s?(\d{4,12})(?!\w)")
_NAMED = re.compile(
    r"\b(?:orders?|purchase|bestellung|bestellnummer|auftrag|commande|pedido|ordine|bestelling|ordernummer)\b"
    r"(?:\s{0,2}(?:number|numero|número|numéro|nummer|no|nr|id|ref|reference)\b)?"
    r"[\s.:#(]{0,4}(?:is\s)?[\s.:#(]{0,3}([A-Za-z]{0,4}\d[\dA-Za-z]{3,14})(?![\w-])",
    re.IGNORECASE,
)
_ORDER_WORD = re.compile(r"order|purchase|bestell|auftrag|commande|pedido|ordine", re.IGNORECASE)
_OTHER_WORD = re.compile(
    r"invoice|ticket|case|error|model|version|serial|tracking|rechnung|facture", re.IGNORECASE
)  # fmt: skip
_OTHER_ID = re.compile(r"(?:iso|rfc|utf|sha|cve|din|inv|sn|sku|tkt|covid)-", re.IGNORECASE)
_NEARBY = 24
_MOST_CANDIDATES = 100

_NAME = re.compile(
    r"(?<!\w)(?:[A-Z][a-zA-Z0-9]{2,20}|[a-z][A-Z][a-zA-Z]{2,20})"
    r"(?:[ -](?:[A-Z][a-zA-Z0-9]{1,20}|[A-Z]?\d{1,5}[A-Za-z]{0,3})(?!\w)){0,3}"
)
_DETERMINERS = {
    "en": "my|our|your|the|this|a|an|one|two|both",
    "de": "mein|meine|meinen|unser|unsere|der|die|das|den|dem",
    "fr": "mon|ma|mes|notre|le|la|un|une",
    "es": "mi|mis|nuestro|el|la|un|una",
    "it": "il|mio|mia|nostro|un|una",
    "nl": "mijn|onze|de|het|een",
}
_IS_DETERMINER = {language: re.compile(words, re.IGNORECASE) for language, words in _DETERMINERS.items()}
_INTRODUCED = {
    language: re.compile(rf"(?:\b(?:{words})|\b\d{{1,4}})\s$", re.IGNORECASE)
    for language, words in _DETERMINERS.items()
}
_STREET = re.compile(
    r"\b(?:street|road|avenue|lane|an der|auf der|am|rue|rua|via|viale|calle|avenida|platz|weg|plein)\b"
    r"|(?:stra(?:ß|ss)e|straat|laan)\b",
    re.IGNORECASE,
)
_PLACE = re.compile(r"\b(?:to|in|from|at|near|nach|aus)\s$")
_BEFORE = 12
_SIGN_OFF = re.compile(
    r"\b(?:(?:kind|best|warm) (?:regards|wishes)|regards|sincerely|faithfully|cheers|thanks|thank you|greetings"
    r"|freundliche|grüße|cordialement|saludos|cordiali|groet|groeten)\b",
    re.IGNORECASE,
)
_NOT_PRODUCTS = set_of(
    "monday tuesday wednesday thursday friday saturday sunday january february march april may june july august "
    "september october november december christmas easter paypal visa mastercard amex bancontact klarna english "
    "german french spanish italian dutch dear hello team sirs madam madams mrs email mail internet google apple "
    "europe swiss belgian germany france spain italy belgium denmark norway monsieur madame herr frau urgent refund "
    "order invoice account password parcel package delivery warranty repair payment netherlands denmark app mum mom "
    "dad wife husband privacy paket bestellung konto rechnung passwort "
    "lieferung garantie rücksendung"
)
_FEWEST_SIGNS = 3
_ASKED_WEIGHT = 1.5
_LONGEST_VALUE = 200


def extract(material: Mapping[str, Any]) -> dict[str, str | None]:
    subject, body = of_ticket(material)
    classification = material.get("classification") or {}
    language = str(classification.get("language") or language_of_customer(material))
    facts: dict[str, str | None] = {
        "order_id": next((found for text in texts(material) if (found := order_id(text))), None),
        "product": _product(material, subject, body, language),
        "issue_type": _issue(material, subject, body, classification.get("category")),
        "urgency": str(classification["priority"]) if classification.get("priority") else None,
    }
    lines = [line for text in said_as_it_is(material) for line in plain(text).splitlines()]
    for name in material.get("extra_fields") or {}:
        facts[str(name)] = _line_value(lines, str(name))
    return facts


def _product(material: Mapping[str, Any], subject: str, body: str, language: str) -> str | None:
    """That of the newest message that names one, as long as it is about the same matter as those before."""
    new = [] if body and not subject else texts(material)[:-1]
    named = (found for text in new if (found := product("", text, language)))
    return next(named, None) or product(subject, body, language)


def _issue(material: Mapping[str, Any], subject: str, body: str, category: object) -> str:
    """What concerns a person most, else the issue with the strongest cue, within the ticket's category if it has one.

    What the customer asks for decides before what they tell.
    """
    if thanks_alone(material):
        return "thanks"
    if found := concern_of(material):
        return found.value
    told, asked = read(subject, body), read("", requests(body))
    strengths = dict(told.issues.get(str(category)) or told.issues.get(told.category) or {})
    for issue, strength in asked.issues.get(str(category), {}).items():
        strengths[issue] = max(strengths.get(issue, 0.0), strength * _ASKED_WEIGHT)
    return max(strengths, key=lambda issue: strengths[issue], default="question")


def order_id(text: str) -> str | None:
    """The likeliest order number: one that is called so, else a dashed id, else a number after ``#``."""
    candidates = [
        *(
            (_likelihood(text, found.start()) + 1, -found.start(), found[0].upper())
            for found in islice(_DASHED.finditer(text), _MOST_CANDIDATES)
            if _THREE_DIGITS.search(found[0]) and not _OTHER_ID.match(found[0])
        ),
        *(
            (_likelihood(text, found.start()), -found.start(), f"#{found[1]}")
            for found in islice(_HASHED.finditer(text), _MOST_CANDIDATES)
        ),
        *((1, -found.start(1), found[1].upper()) for found in islice(_NAMED.finditer(text), _MOST_CANDIDATES)),
    ]
    best = max(candidates, default=None)
    return best[2] if best and best[0] >= 0 else None


def _likelihood(text: str, place: int) -> int:
    before = text[max(0, place - _NEARBY) : place]
    last_order = max((found.end() for found in _ORDER_WORD.finditer(before)), default=0)
    last_other = max((found.end() for found in _OTHER_WORD.finditer(before)), default=0)
    if last_order > last_other:
        return 2
    return -2 if last_other else 0


def product(subject: str, body: str, language: str = "en") -> str | None:
    """The capitalised name that the ticket speaks of most, in the singular; None where nothing stands out."""
    speech = language if language in _DETERMINERS else "en"
    signs: Counter[str] = Counter()
    said = set(stems(body))
    for text, weight in ((subject, 2), (_before_sign_off(body), 1)):
        for found in _NAME.finditer(text):
            first, _, rest = found[0].partition(" ")
            starts_with_determiner = _IS_DETERMINER[speech].fullmatch(first) is not None
            name = rest if starts_with_determiner else found[0]
            numbered = any(map(str.isdigit, name))
            before = text[max(0, found.start() - _BEFORE) : found.start()]
            if (
                not name
                or not _NOT_PRODUCTS.isdisjoint((name.casefold(), name.casefold().split()[0]))
                or (name.isupper() and not numbered)
            ):
                continue
            if _PLACE.search(before) or (numbered and _STREET.search(before + name)):
                continue
            if starts_with_determiner or _INTRODUCED[speech].search(before):
                signs[_singular(name)] += (3 if numbered else 2) * weight
            elif before.strip() and before.rstrip()[-1] not in ".!?:,;-\n>":
                signs[_singular(name)] += weight
            elif before.strip() and text is subject and speech != "de" and set(stems(name)) <= said:
                signs[_singular(name)] += _FEWEST_SIGNS
    # German capitalises every noun, so one sign is not enough, unless the subject holds the name too.
    headline = set(stems(subject))
    likely = [
        (n, len(name), name)
        for name, n in signs.items()
        if n >= _FEWEST_SIGNS or headline >= set(stems(name)) or (n >= 2 and speech != "de" and " " not in name)
    ]
    return max(likely)[2] if likely else None


def _singular(name: str) -> str:
    return name[:-1] if name.endswith("s") and not name.endswith("ss") else name


def _before_sign_off(body: str) -> str:
    """The body without its closing formula and what follows, which is where people's names are."""
    last = None
    for found in _SIGN_OFF.finditer(body, len(body) // 2):
        last = found.start()
    return body if last is None else body[:last]


def _line_value(lines: list[str], name: str) -> str | None:
    wanted = re.sub(r"[\s_-]+", "", name).casefold()
    for line in lines:
        label, colon, value = line.partition(":")
        if colon and value.strip() and re.sub(r"[\s_*-]+", "", label).casefold() == wanted:
            return value.strip(" *\t\r")[:_LONGEST_VALUE] or None
    return None
