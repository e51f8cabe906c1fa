"""From text to comparable words: clean, split, stem, look phrases up. All of it is linear in the text's length."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Generic, NamedTuple, TypeVar

_TAG = re.compile(r"</?[a-zA-Z!][^<>]{0,800}>")
_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)?")
_SENTENCE = re.compile(r"[^.!?\n]+[.!?]*")
_QUOTE_HEAD = re.compile(r"^\s*(?:>|\|\s*>)")
_STRONG = re.compile(r"\*\*|__|`")
_EMPHASIS = re.compile(r"(?<![\w*])\*([^\s*][^*\n]{0,200})\*(?![\w*])")
_LINK = re.compile(r"\[([^\[\]\n]{1,200})\]\(([^()\s]{1,500})\)")
_LONGEST_WORD = 40
_HEAD, _TAIL = 6_000, 2_000
"""What is read of a long text: people say what they want at the beginning, and sometimes again at the end."""

REPLY = re.compile(r"\s*(?:re|aw|antw|rv|sv)\s*:", re.IGNORECASE)
"""The beginning of a subject that belongs to an earlier message."""

# Sentences that speak to a machine rather than to a support team. They are left out of every judgement.
_COMMAND = re.compile(
    r"\b(?:ignore|disregard|forget|override)\b.{0,40}\b(?:instruction|prompt|rule|above|previous|prior)"
    r"|\byou are (?:now|an? (?:ai|assistant|bot|language))|\bas an? (?:ai|language model)\b"
    r"|\b(?:system|developer|admin(?:istrator)?) (?:prompt|mode|message)|\bsupport assistants?\b"
    r"|\b(?:mark|classify|categori[sz]e|label|flag) (?:this|the|it|my)\b.{0,30}\b(?:ticket|request|message|as)\b"
    r"|\bapprove (?:this|the) (?:ticket|request)"
    r"|\b(?:set|raise|change) (?:the |its |this )?(?:ticket )?(?:priority|category)\b"
    r"|\b(?:reply|respond|answer|output)\b.{0,20}\b(?:only with|exactly|nothing but)\b|\bskip (?:the |any )?review"
    r"|\b(?:modify|include|integrate|enhance|translate|begin|end|insert|write|rewrite|format|replace|encode|provide)\b"
    r".{0,60}\byour (?:response|answer|reply|output)\b|\bin your (?:response|answer|output)\b",
    re.IGNORECASE,
)


_REQUEST = re.compile(
    r"\b(?:please|pls|can you|could you|can i|could i|how (?:do|can) i|tell me|let me know|i (?:want|need|wish)"
    r"|(?:i|we) would (?:like|also|be grateful)|i'd like|would like|want to|my question is"
    r"|i wonder|bitte|möchte|muss ich|können sie|je voudrais"
    r"|pouvez-vous|quiero|quisiera|vorrei|graag)\b",
    re.IGNORECASE,
)


_REFUSAL = re.compile(
    r"\b(?:no longer (?:want|need)|(?:do not|don't) (?:want|need) (?:a|an|the|any)|please (?:do not|don't))\b",
    re.IGNORECASE,
)
_SPELLINGS = {"swop": "swap", "color": "colour", "center": "centre", "orderd": "ordered", "deletion": "deleting"}


def set_of(words: str) -> frozenset[str]:
    return frozenset(words.split())


# The words that say nothing about a subject, in the six languages that the rules know.
STOPWORDS: Mapping[str, frozenset[str]] = {
    "en": set_of(
        "the a an and or but if is are was were be been i you he she it we they my your our their this that these "
        "those to of in on at for with from by as not do does did have has had will would can could should there "
        "what when where how who which me us them him her its so just than then about into out up no yes any some "
        "all please hi hello thanks thank"
    ),
    "de": set_of(
        "der die das ein eine einen einem und oder aber ist sind war ich sie er es wir ihr mein meine meinen mir "
        "mich uns unser zu von in im auf an am für mit aus bei nicht kein keine habe hat haben wird werden kann "
        "können wie was wann wo wer den dem des als auch noch schon sich bitte guten tag hallo danke seit nach "
        "wenn dass"
    ),
    "fr": set_of(
        "le la les un une des et ou mais est sont je vous il elle nous ils mon ma mes votre vos notre de du dans "
        "sur pour avec par ne pas plus ce cette ces que qui quoi comment quand où ai a avez été au aux en bonjour "
        "merci svp se sa son leur"
    ),
    "es": set_of(
        "el la los las un una unos y o pero es son yo usted él ella nosotros mi mis su sus nuestro de del en por "
        "para con no que qué cómo cuándo dónde he ha han está estoy al lo se me le este esta hola gracias favor "
        "muy ya cuando desde"
    ),
    "it": set_of(
        "il lo la i gli le un una uno e o ma è sono io voi lui lei noi mio mia miei vostro di del della dei in "
        "nel su per con non che chi come quando dove ho ha hanno al alla da dal questo questa ciao buongiorno "
        "grazie si mi ci più anche"
    ),
    "nl": set_of(
        "de het een en of maar is zijn was ik u je jij hij zij we wij mijn uw jullie ons onze van in op voor met "
        "bij uit niet geen heb heeft hebben kan kunnen zal wat wie waar wanneer hoe dat die dit deze er aan naar "
        "te om ook nog hallo dank"
    ),
}
_NO_SUBJECT = frozenset(word for words in STOPWORDS.values() for word in words) | set_of(
    "am im ive dont doesnt didnt cant also still again now get got go after before back one two day days week "
    "weeks regards kind best sincerely dear team help need want like know tell let see say said way thing "
    "something anything whether because only going gone here make made use used first "
    "too much must myself yourself yourselves very more most even well such each same other"
)


@lru_cache(maxsize=256)  # each of the four tasks reads the same ticket and its conversation
def readable(text: str) -> str:
    """The text as a person would read it: no markup, no quoted lines, no sentences that command a machine."""
    if len(text) > _HEAD + _TAIL:
        text = f"{text[:_HEAD]}\n{text[-_TAIL:]}"
    lines = [line for line in plain(text).splitlines() if line and not _QUOTE_HEAD.match(line)]
    return "\n".join(
        " ".join(part for part in sentences(line) if not _COMMAND.search(part))
        if _COMMAND.search(line)
        else line.strip()
        for line in lines
    ).strip()


def plain(text: str) -> str:
    """Text without HTML: scripts and styles go with their content, other tags alone."""
    if "<" in text:
        for name in ("script", "style"):
            text = _without_element(text, name)
        text = _TAG.sub(" ", text)
    return html.unescape(text) if "&" in text else text


def unmarked(markdown: str) -> str:
    """Markdown as plain text, word for word: no emphasis, and links with their address behind them."""
    return _LINK.sub(r"\1 (\2)", _EMPHASIS.sub(r"\1", _STRONG.sub("", markdown)))


def _without_element(text: str, name: str) -> str:
    lower, kept, place = text.lower(), [], 0
    while (start := lower.find(f"<{name}", place)) >= 0:
        kept.append(text[place:start])
        end = lower.find(f"</{name}", start)
        if end < 0:
            return "".join(kept)
        place = end
    return "".join([*kept, text[place:]])


def sentences(text: str) -> list[str]:
    return [found.strip() for found in _SENTENCE.findall(text) if found.strip()]


def requests(text: str) -> str:
    """The sentences that ask or wish for something; empty where none does."""
    return "\n".join(each for each in sentences(text) if each.endswith("?") or _REQUEST.search(each))


def wishes(text: str) -> str:
    """The text without the sentences that say what is not wanted."""
    return "\n".join(each for each in sentences(text) if not _REFUSAL.search(each))


def tokens(text: str) -> list[str]:
    """The words in lower case, in order, with typewriter apostrophes; what is too long to be a word is left out."""
    folded = text.casefold().replace("\u2019", "'")
    return [word for word in _WORD.findall(folded) if len(word) <= _LONGEST_WORD]


@lru_cache(maxsize=20_000)
def stem(word: str) -> str:
    """A common beginning for a word's forms: charge, charged and charging are one. Crude, but alike on both sides."""
    word = word.replace("'s", "").replace("'", "")
    word = _SPELLINGS.get(word, word)
    if len(word) > 4 and word.endswith(("ies", "ied")):
        return word[:-3] + "y"
    for ending, shortest in (("ing", 6), ("ed", 5), ("es", 5), ("en", 7), ("s", 4)):
        if len(word) >= shortest and word.endswith(ending) and not word.endswith("ss"):
            word = word[: -len(ending)]
            break
    if len(word) > 3 and word[-1] == "e":
        word = word[:-1]
    if len(word) > 3 and word[-1] == word[-2] and word[-1] not in "aeiou":
        word = word[:-1]
    return word


def stems(text: str) -> list[str]:
    return [stem(word) for word in tokens(text)]


@lru_cache(maxsize=1_024)  # the same articles come up again and again
def subject_words(text: str) -> frozenset[str]:
    """The stems that say what a text is about."""
    return frozenset(
        stem(word) for word in tokens(text) if word not in _NO_SUBJECT and (len(word) > 2 or word.isdigit())
    )


ValueT = TypeVar("ValueT")


class Found(NamedTuple, Generic[ValueT]):
    place: int
    phrase: str
    value: ValueT


class Phrases(Generic[ValueT]):
    """A table of words and phrases, found by their stems; where two begin at the same word, the longer one counts."""

    def __init__(self, entries: Iterable[tuple[str, ValueT]]) -> None:
        self._by_first: dict[str, list[tuple[tuple[str, ...], str, ValueT]]] = {}
        for phrase, value in entries:
            words = tuple(stems(phrase))
            self._by_first.setdefault(words[0], []).append((words, phrase, value))
        for options in self._by_first.values():
            options.sort(key=lambda option: -len(option[0]))

    def find(self, text: Sequence[str]) -> Iterator[Found[ValueT]]:
        """All that occur in ``text``, a list of stems, without overlaps."""
        place = 0
        while place < len(text):
            for words, phrase, value in self._by_first.get(text[place], ()):
                if tuple(text[place : place + len(words)]) == words:
                    yield Found(place, phrase, value)
                    place += len(words)
                    break
            else:
                place += 1
