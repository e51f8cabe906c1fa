"""Secrets in a reply, and requests for the customer's: what looks like one is found by its form."""

from __future__ import annotations

import re

from ticketflow.workflow.published import Published

_KEY = re.compile(
    r"\b(?:sk-[A-Za-z0-9_-]{16,}|[spr]k_(?:live|test)_\w{10,}|AKIA[A-Z0-9]{16}|AIza[\w-]{30,}|gh[pousr]_[A-Za-z0-9]{30,}"
    r"|github_pat_\w{20,}|xox[abprs]-[A-Za-z0-9-]{10,}|eyJ[A-Za-z0-9_-]{20,}\.[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,})"
    r"|-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----|\bBearer\s{1,3}[\w.~+/-]{12,}"
    r"|\b[a-z][a-z0-9+.-]{1,20}://[^\s/@:]{0,100}:[^\s/@]{1,100}@",
)
_PASSWORD = re.compile(
    r"\b(?:passwords?|passcode|passwort|kennwort|pin)\s{0,3}(?::|=|is|ist|lautet)\s{0,3}(?=\S{0,40}\d)\S{4,}",
    re.IGNORECASE,
)
_DIGIT_GROUPS = re.compile(r"\d(?:[ .\u2010-\u2015-]{0,2}\d){12,40}")
_IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b")
_HIDDEN = (
    r"(?:passwords?|passcode|pin(?: code| number)?|cvv|cvc|security code|card number|(?:verification|one-time|access"
    r"|login|sms) codes?|code (?:that )?we (?:just )?(?:sent|texted)|(?:six|four|\d) ?-?digits?|maiden name"
    r"|sides of (?:your|the) card|passwort|kennwort|prüfnummer|kartennummer|mot de passe|contraseña|wachtwoord)\b"
)
# Asked for by us: "enter your password in the app" is no request.
_ASKS = re.compile(
    r"\b(?:(?:tell|send|give|share|provide|email|read out|confirm)(?: it)?(?: to)? (?:us|me)"
    r"|(?:tell|send|share|provide|confirm|let us (?:have|know)) your|(?:we|i) need your|(?:what's|what (?:is|was)) your"
    r"|(?:reply|respond|answer) with|send (?:us )?a (?:photo|picture|copy)"
    r"|(?:schicken|senden|nennen|geben|teilen|schick|sende) (?:sie )?(?:uns|mir)|envoye[zr][ -](?:nous|moi)"
    r"|donne[zr][ -](?:nous|moi)|communique[zr][ -](?:nous|moi)|(?:envíe|díga|mánde)(?:nos|me)|stuur (?:ons|mij))\b"
    rf"[^.!?\n]{{0,60}}\b{_HIDDEN}",
    re.IGNORECASE,
)
_REFUSES = re.compile(
    r"\b(?:never|not|don't|cannot|can't|won't|nobody|no one|nie|niemals|nicht|jamais|pas|nunca|nooit)\b", re.IGNORECASE
)


def leak_problems(text: str, published: Published) -> list[str]:
    """What of ``text`` must not be sent, unless it is published. The problems do not repeat the secret."""
    problems = []
    if _KEY.search(text) or any(found.group() not in published.text for found in _PASSWORD.finditer(text)):
        problems.append("contains what looks like a password, key or token")
    if any(_holds_a_card(found.group()) for found in _DIGIT_GROUPS.finditer(text)):
        problems.append("contains a payment card number")
    if any(_is_iban(found.group()) and found.group() not in published.text for found in _IBAN.finditer(text)):
        problems.append("contains a bank account number that is in none of the articles")
    if _asks(text, published):
        problems.append("asks the customer for a password, code or card number")
    return problems


def _asks(text: str, published: Published) -> bool:
    return any(
        _ASKS.search(sentence) and not _REFUSES.search(sentence) and not published.says(sentence)
        for sentence in re.split(r"(?<=[.!?])\s+|\n+", text)
    )


def _holds_a_card(run: str) -> bool:
    """Whether neighbouring groups of digits make a payment card's number, with other digits around it or not."""
    groups = re.findall(r"\d+", run)
    joined = ("".join(groups[i:j]) for i in range(len(groups)) for j in range(i + 1, len(groups) + 1))
    return any(13 <= len(digits) <= 19 and digits[0] in "23456" and _luhn(digits) for digits in joined)


def _luhn(number: str) -> bool:
    """The check digit of payment cards (ISO/IEC 7812-1), to tell them from order and phone numbers."""
    digits = [int(character) for character in number]
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[-2::-2]]
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def _is_iban(candidate: str) -> bool:
    """The check digits of bank accounts (ISO 13616, modulo 97)."""
    compact = candidate.replace(" ", "")
    turned = compact[4:] + compact[:4]
    return 15 <= len(compact) <= 34 and int("".join(str(int(character, 36)) for character in turned)) % 97 == 1
