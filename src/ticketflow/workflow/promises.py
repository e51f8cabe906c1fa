"""Promises of money, in the words that models and customers use for them.

A promise needs a person. It is looked for sentence by sentence, and rather found once too often: what is found wrongly
is written anew or read by a person, what is missed is owed. Quoting what the shop has published is no promise.
"""

from __future__ import annotations

import re

from ticketflow.workflow.published import Published

_GAP = r"[^.!?\n]{0,60}"
_UNDENIED = r"(?:(?!\b(?:not|never|cannot|unable)\b|n't\b)[^.!?\n]){0,60}"
_NEAR = r"[^.!?\n]{0,25}"

_MONEY = (
    r"\b(?:re-?fund\w*|pay(?:ing)? (?:\w+ ){0,2}?back|paid back|(?:dollars?|euros?|pounds?|francs?|quid)"
    r"|reimburs\w*|credit(?:ed|s)?|compensat\w*|vouchers?|discount\w*|money back|goodwill"
    r"|store credit|gift cards?|free of charge|no (?:extra )?(?:cost|charge)|on the house|waiv\w+|half price"
    r"|free (?:\w+ ){0,2}?(?:replacement|repair|upgrade|month|year|gift|copy|unit|one)s?)\b"
    r"|\d\s?(?:%|percent) off\b"
)
_GIVE = (
    r"(?:issu|process|grant|giv|gave|send|sent|pay|paid|approv|offer|arrang|re-?fund|reimburs|credit|compensat|waiv"
    r"|transfer|appl(?:y|ied)|add)\w*"
)
_GRANTED = (
    r"(?:on (?:its|the|their) way|approved|granted|confirmed|coming|incoming|guaranteed|yours|initiated|scheduled)"
)
_MOVED = r"(?:issued|processed|sent|paid|transferred|completed?|arranged|applied|added|under ?way|started|done)"
_PAID_BACK = r"(?:refunded|reimbursed|credited|compensated|waived|discounted)"
_FEW_WORDS = r"(?:(?!not\b|never\b)\w+\s+){0,2}"
# The present tense alone ("refunds are paid within 14 days") explains a rule; these speak of this customer's money.
_COMMITMENT = re.compile(
    rf"\b(?:i|we|our team|the team)(?:'ll|'ve|'re|'m)?\b{_UNDENIED}(?<!your )(?<!the )(?<!any )\b{_GIVE}"
    r"|\byou(?:'ll|'ve|'re)?(?: (?:will|shall|now|also|have|are|then|soon|automatically))*"
    rf" (?:receive|get|getting|been|be|owed|due|entitled)\b(?!{_GAP}\b(?:after|once|as soon as|if|when)\b)"
    rf"|(?:{_MONEY}){_NEAR}(?<!not )\b(?:is|are|was|were|been|be|being)\s+{_FEW_WORDS}{_GRANTED}\b"
    rf"|(?:{_MONEY}){_NEAR}(?<!not )\b(?:was|were|been|be|being)\s+{_FEW_WORDS}{_MOVED}\b"
    rf"|\byour\b{_GAP}\b(?:is|are)\s+{_FEW_WORDS}(?:{_MOVED}|{_PAID_BACK})\b"
    r"|(?<!not )\b(?:was|were|been|be|being|get|gets|(?:it|this|that|you) (?:is|are)|it's|you're)\s+"
    rf"{_FEW_WORDS}{_PAID_BACK}\b"
    rf"|\brefund\w*\W+{_GRANTED}\b"
    r"|\bconsider (?:it|this|that|your\w*)\b|\b(?:here is|here's|enjoy)\b",
    re.IGNORECASE,
)
# Said without any word for money, or without anybody who gives it.
_OUTRIGHT = re.compile(
    r"\bwe(?:'ll| will| shall| are going to|'re going to)? (?:cover|pay for|pay (?:your|the))\b|\brefund follows\b"
    r"|\bmoney (?:will be|is|comes) (?:\w+ ){0,2}?back\b|\byou (?:don't|do not) (?:have|need) to pay\b"
    r"|\bübernehmen (?:\w+ ){0,3}?kosten\b|\bzahlen (?:ihnen|den schaden)\b|\bà notre charge\b"
    r"|\bargent sera (?:\w+ ){0,2}?retour\b"
    r"|\b(?:amount|sum|charge|payment)\b[^.!?\n]{0,25}\b(?:on (?:its|the) way|reversed|back (?:to|on) your)\b"
    r"|\btak(?:en|e|ing) \d+\s?% off\b",
    re.IGNORECASE,
)
_MONEY_WORD = re.compile(_MONEY, re.IGNORECASE)

# Other languages: the word for money beside a person is enough, unless it is denied nearby.
_ELSEWHERE = tuple(
    (re.compile(rf"\b(?:{person})\b", re.IGNORECASE), re.compile(rf"\b(?:{money})", re.IGNORECASE))
    for person, money in (
        (
            r"ich|wir|sie|ihnen|du|dir|uns",
            r"(?:rück)?erstatt\w*|rückzahl\w*|gutschrift\w*|gutgeschrieben|gutscheine?n?\b|rabatt\w*|entschädig\w*"
            r"|kostenlos\w*|kostenfrei\w*|(?:geld|betrag|kaufpreis)\b.{0,60}\bzurück|zurückzahlen|kulanz\w*|nachlass\b",
        ),
        (
            r"je|j|nous|vous|tu|te|toi|on",
            r"rembours\w*|bons? d.achat|remises?\b|réductions?\b|dédommag\w*"
            r"|(?:un|votre|cet) avoir\b|gratuit\w*|indemnis\w*"
            r"|offert\w*",
        ),
        (
            r"yo|nosotros|usted|ustedes|le|les|te|tú|\w+(?:remos|amos|emos)",
            r"reembols\w*|devolv(?:eremos|emos|eré|erán?)\b|devol\w+[^\n]{0,40}\b(?:dinero|importe)|descuentos?\b|vales?\b|compensa\w*|gratis\b|gratuit\w*|abonar\w*",
        ),
        (
            r"io|noi|lei|le|vi|voi|ti|tu|\w+(?:remo|iamo)",
            r"rimbors\w*|sconto\b|sconti\b|buon[oi]\b|risarci\w*|gratis\b|gratuit\w*|accredit\w*",
        ),
        (
            r"eu|nós|você|vocês|lhe|te|\w+(?:remos|amos)",
            r"reembols\w*|devol\w+[^\n]{0,40}\bdinheiro|descontos?\b|vales?\b|indeniz\w*|grátis\b|gratuit\w*",
        ),
        (
            r"ik|wij|we|u|je|jij|jou",
            r"terugbeta\w*|terugbetaling\b|vergoed\w*|geld terug|korting\w*|tegoed\w*|kosteloos\b|gratis\b",
        ),
    )
)
_AMOUNT = re.compile(
    r"(?:[€$£¥₹]|\b(?:eur|usd|gbp|chf|jpy|cad|aud|pln))\s?\d[\d.,]{0,15}"
    r"|\d[\d.,]{0,15}\s?(?:[€$£¥₹]|(?:eur|usd|gbp|chf|jpy|cad|aud|pln|euros?|dollars?|pounds?|francs?|quid)\b)",
    re.IGNORECASE,
)
_MENTION = re.compile(r"\b(?:you (?:asked|wrote)|your (?:question|request|message)) (?:about|for|on)\b", re.IGNORECASE)
_DENIAL = re.compile(
    r"\b(?:nicht|keine?[mnrs]?|nie|pas|jamais|aucune?|no|nunca|non|mai|não|niet|geen)\b", re.IGNORECASE
)
_FURTHER = re.compile(
    r"\b(?:zwróc\w*|zwrot\w*|rabat\w*|rekompensat\w*|верн[её]м\w*|возврат\w*|возмест\w*|компенс\w*|скидк\w*)"
    r"|返金|払い戻|割引|補償|退款|退还|退還|赔偿|賠償|折扣|优惠|優惠",
    re.IGNORECASE,
)
"""Polish, Russian, Japanese, Chinese: the word alone is enough."""

# A line that ends within a sentence; blank lines, lists, quotes and headings end one.
_LINE_BREAK = re.compile(r"(?<!\n)\n(?!\s*(?:[-*•>#\d]|\n|$))")


def money_problems(text: str, published: Published) -> list[str]:
    """One problem for each sentence that promises money, or names an amount that is not published."""
    problems = []
    for sentence in re.split(r"(?<=[.!?])\s+|\n+", _LINE_BREAK.sub(" ", re.sub(r"[*~`]+", "", text))):
        promises, amounts = _promises(_MENTION.sub(" ", sentence)), _amounts(sentence)
        if not (promises or amounts) or published.says(sentence):
            continue
        if promises:
            problems.append(f"promises money without approval: {sentence.strip()[:120]!r}")
        elif not amounts <= _amounts(published.text):
            problems.append(f"names an amount of money that no article names: {sentence.strip()[:120]!r}")
    return problems


def _promises(sentence: str) -> bool:
    speaks_of_money = _MONEY_WORD.search(sentence) or _AMOUNT.search(sentence)
    if speaks_of_money and _COMMITMENT.search(sentence):
        return True
    if _OUTRIGHT.search(sentence) or _FURTHER.search(sentence):
        return True
    return any(
        person.search(sentence) and any(not _denied(sentence, found) for found in money.finditer(sentence))
        for person, money in _ELSEWHERE
    )


def _denied(sentence: str, found: re.Match[str]) -> bool:
    return _DENIAL.search(sentence, max(0, found.start() - 30), found.end() + 25) is not None


def _amounts(text: str) -> set[str]:
    return {re.sub(r"\s", "", amount).lower().strip(".,") for amount in _AMOUNT.findall(text)}
