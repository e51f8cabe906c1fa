"""What no rule may answer, however well an article seems to fit: such a ticket is for a person."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from functools import cache
from typing import Any, Final

from ticketflow.llm.rules.conversation import asked, everything, new_words, of_ticket, told
from ticketflow.llm.rules.words import REPLY, Phrases, stems


class Concern(StrEnum):
    """Why a ticket needs a person, gravest first; the value is what ``issue_type`` says of it."""

    SAFETY = "safety"
    SECURITY = "account_security"
    LEGAL = "legal"
    COMPLAINT = "complaint"

    @property
    def reason(self) -> str:
        return _REASONS[self]


_REASONS: Final = {
    Concern.SAFETY: "it speaks of injury or danger",
    Concern.SECURITY: "somebody else seems to be in the customer's account",
    Concern.LEGAL: "it speaks of law, insurance or the press",
    Concern.COMPLAINT: "it is a complaint that earlier answers did not settle",
}

_PHRASES: Final = {
    Concern.SAFETY: (
        "hospital, injured, injury, hurt my, hurt myself, hurt me, cut my hand, cut my finger, swallowed a, "
        "swallowed the, suicide, kill myself, bleeding, unconscious, caught fire, catches fire, on fire, there "
        "was a fire, there is a fire, started a fire, fire started, fire broke out, house fire, fire hazard, fire "
        "risk, fire brigade, fire department, flames, smoke, spark, melt, scorched, explode, explosion, overheat, "
        "get so hot, get very hot, get too hot, get extremely hot, get really hot, got so hot, got very hot, got "
        "too hot, got extremely hot, got really hot, hot to touch, hot to the touch, too hot to, burning hot, is "
        "burning, was burning, burning smell, burnt smell, smell burnt, smell burning, smell of burning, smell "
        "like burning, smell something burning, burned me, burnt me, burned my, burnt my, burned his, burnt his, "
        "burned her, burnt her, burned our, burnt our, gas leak, gas smell, smell gas, smell of gas, smell like "
        "gas, electric shock, electrical shock, electrocuted, short circuit, bare wire, exposed wire, i am locked "
        "in, i'm locked in, we are locked in, we're locked in, locked in my flat, locked in my house, locked in "
        "my home, locked in my apartment, locked in the flat, locked in the house, locked in the room, locked in "
        "the bathroom, i am locked inside, we are locked inside, locked me in, locked us in, trapped inside, "
        "trapped in my, trapped in the, am stuck inside, are stuck inside, not open from inside, not open from "
        "the inside, won't open from inside, won't open from the inside, doesn't open from inside, doesn't open "
        "from the inside, "
        "verletzt, krankenhaus, rauch, raucht, qualm, qualmt, verbrannt, verschmort, verkohlt, es brennt, in "
        "brand geraten, feuer, funken, gasgeruch, riecht nach gas, nach gas riecht, riecht es nach gas, "
        "stromschlag, geschmolzen, überhitzt, wird so heiß, wird sehr heiß, wird zu heiß, explodiert, "
        "eingesperrt, bin eingeschlossen, sind eingeschlossen, von innen nicht, "
        "blessé, blessée, hôpital, fumée, brûlé, brûlée, étincelles, en feu, pris feu, un incendie, sent le gaz, "
        "odeur de gaz, choc électrique, décharge électrique, fondu, surchauffe, très chaud, explosé, enfermé, "
        "enfermée, "
        "herido, herida, humo, quemado, quemada, quemó, chispas, en llamas, incendio, huele a gas, olor a gas, "
        "descarga eléctrica, derretido, derritió, sobrecalienta, explotó, encerrado, encerrada, "
        "ferito, ferita, fumo, bruciato, bruciata, scintille, in fiamme, preso fuoco, incendio, odore di gas, "
        "puzza di gas, scossa elettrica, preso la scossa, surriscalda, esploso, chiuso dentro, chiusa dentro, "
        "rinchiuso, rinchiusa, "
        "gewond, komt rook, rook uit, er is rook, brandlucht, ruikt naar gas, ruik gas, verbrand, vonken, staat "
        "in brand, in brand gevlogen, vlammen, gaslucht, elektrische schok, gesmolten, oververhit, ontploft, "
        "opgesloten"
    ),
    Concern.SECURITY: (
        "hacked, hacker, account takeover, taken over my account, took over my account, someone is in my account, "
        "somebody is in my account, someone else is in my account, stranger in my account, in my account without, "
        "into "
        "my account without, broke into my account, broken into my account, someone logged in, somebody logged in, "
        "someone else logged in, logged in without my, logged in from, unauthorized access, unauthorised access, "
        "unauthorized login, unauthorised login, suspicious login, login that was not me, someone changed my, "
        "somebody "
        "changed my, someone else changed my, changed my password without, changed my email without, account was "
        "compromised, account is compromised, account has been compromised, account was stolen, stole my account, "
        "freeze my account, freeze the account, identity theft, data breach, security breach, gehackt, "
        "piraté, hackeado, hackeada, hackerato"
    ),
    Concern.LEGAL: (
        "insurer, lawyer, solicitor, attorney, legal action, take you to court, small claims, sue you, police, "
        "ombudsman, consumer protection, trading standards, discrimination, harassment, journalist, to the press, "
        "to the newspapers, to the media, anwalt, rechtsanwalt, verbraucherzentrale, anzeige erstatten, avocat, "
        "abogado, avvocato, advocaat"
    ),
    Concern.COMPLAINT: (
        "third time, fourth time, fifth time, third complaint, second complaint, third email, third message, third "
        "request, third ticket, second time i am writing, second time i write, second time i'm writing, time i am "
        "writing, time i write, already written twice, already wrote twice, written three times, wrote three times, "
        "written several times, contacted you several times, contacted you three times, nobody answers me, nobody "
        "replies, no one answers me, no one replies, never got an answer, never got a reply, no answer to my, no "
        "reply "
        "to my, ignored my, ignoring my, ignoring me, formal complaint, official complaint, file a complaint, make a "
        "complaint, chargeback, charge back, reverse the payment, reverse the charge, dispute the payment, dispute "
        "the "
        "charge, negative review, bad review, leave a review, one star review, trustpilot, zum dritten mal, zum "
        "wiederholten mal, beschwerde, troisième fois, tercera vez, queja, terza volta, derde keer, klacht"
    ),
}

# Each is longer than the phrase of danger in it, so it is found in its place.
_HARMLESS: Final = (
    "smoke detector, smoke alarm, smoke sensor, smoke test, smoke free, smoke grey, smoke gray, smoked oak, "
    "smoked glass, no smoking, non smoking, on fire tv, on fire hd, on fire os, on fire stick, on fire "
    "tablet, there is a fire sale, there was a fire sale, spark my, spark our, spark joy, détecteur de fumée, "
    "détecteurs de fumée, détecteur fumée, detector de humo, sensor de humo, rilevatore di fumo, sensore di "
    "fumo"
)

_THANKS: Final = "thank, thanks, thx, cheers, danke, dank, merci, gracias, grazie, bedankt"
_CONTENT: Final = (
    "thank thanks thx cheers you so much very many a lot for your the quick fast great kind help support reply "
    "answer that this it is now works work working worked solved solves fixed resolved sorted did trick again all "
    "perfect perfectly fine good well everything problem issue and have nice day best regards wishes i really "
    "appreciate am happy we hi hello dear team was has been just wanted to say danke dank vielen für die schnelle "
    "hilfe das hat geklappt funktioniert jetzt merci beaucoup pour votre aide gracias por su ayuda muchas grazie "
    "mille bedankt ça c est marche parfait résolu super bon tout klappt es geht wieder perfekt gut alles erledigt "
    "funciona perfecto ya todo bien funziona perfetto ora adesso tutto werkt het nu weer opgelost hartelijk"
)
_UNSETTLED: Final = (
    "did not help, didn't help, does not help, doesn't help, not help, didn't help me, no help, not helpful, "
    "unhelpful, useless, not solved, not resolved, not fixed, unsolved, not what i asked, not what i meant, not my "
    "question, doesn't answer my, does not answer my, didn't answer my, did not answer my, not an answer, no answer "
    "to my, you did not read, you didn't read, already tried, tried that, tried this, tried it all, tried "
    "everything, did all that, did that already, have done that, have done all, no difference, same problem, same "
    "issue, still the same, still not work, still doesn't work, still does not work, still isn't working, still "
    "broken, still offline, still happens, still happening, still nothing, did not work, didn't work, doesn't work, "
    "does not work, not working, no luck, without success, problem persists, not good enough, nicht geholfen, hilft "
    "nicht, hilft mir nicht, nicht weitergeholfen, hilft mir nicht weiter, keine hilfe, nicht gelöst, funktioniert "
    "nicht, funktioniert immer noch nicht, geht nicht, geht immer noch nicht, klappt nicht, schon probiert, schon "
    "versucht, bereits versucht, ohne erfolg, nicht meine frage, beantwortet meine frage nicht, pas aidé, n'aide "
    "pas, m'aide pas, pas résolu, toujours pas, ne marche pas, ne fonctionne pas, marche toujours pas, déjà essayé, "
    "sans succès, pas ma question, no me ayuda, no me ha ayudado, no ayuda, no ha servido, no sirve, no funciona, "
    "sigue sin, sigue igual, ya lo intenté, ya lo he intentado, ya lo probé, sin éxito, no es lo que, non aiuta, "
    "non mi aiuta, non mi ha aiutato, non è servito, non risolve, non risolto, non funziona, già provato, senza "
    "successo, non è quello che, niet geholpen, helpt niet, niet opgelost, werkt niet, werkt nog steeds niet, lukt "
    "niet, al geprobeerd, zonder succes, niet mijn vraag"
)
"""What is said of an answer that was none. On a first run there is no answer to say it of."""
_WANTS_A_PERSON: Final = (
    "speak to a human, speak to a person, speak to someone, speak with someone, speak with a human, talk to a "
    "human, talk to a person, talk to someone, real person, human being, a real human, call me, mit einem menschen, "
    "echten menschen, mit jemandem sprechen, parler à quelqu'un, parler à un humain, une vraie personne, hablar con "
    "una persona, hablar con alguien, parlare con una persona, parlare con qualcuno, iemand spreken, met iemand "
    "praten"
)
_WORD = re.compile(r"[^\W_]+")
_LONGEST_THANKS = 40


def concern(subject: str, body: str) -> Concern | None:
    """The gravest that the ticket's words speak of."""
    found = {found.value for text in (subject, body) for found in _phrases().find(stems(text))}
    return next((each for each in Concern if each in found), None)


def concern_of(material: Mapping[str, Any]) -> Concern | None:
    """The gravest in all that the customer has written; an answer that did not help is a complaint."""
    if found := concern(*everything(material)):
        return found
    if not told(material):
        return None
    said = {found.value for text in new_words(material) for found in _dissatisfied().find(stems(text))}
    # Who was asked something and says that nothing works says it of the matter, not of an answer.
    unhappy = "person" in said or ("unsettled" in said and not asked(material))
    return Concern.COMPLAINT if unhappy else None


def thanks_alone(material: Mapping[str, Any]) -> bool:
    """Whether the customer's latest words, or all that there are, thank and ask for nothing."""
    new = new_words(material)
    return only_thanks("", "\n".join(new)) if new else only_thanks(*of_ticket(material))


def only_thanks(subject: str, body: str) -> bool:
    """Whether the ticket thanks and asks for nothing. A reply's subject is an earlier message's."""
    words = _WORD.findall(body if REPLY.match(subject) else f"{subject}\n{body}")
    if len(words) > _LONGEST_THANKS or "?" in body:
        return False
    thanks, content = _thanks_words()
    strangers = [place for place, word in enumerate(words) if word.casefold() not in content]
    # What is no word of thanks may only be the name at the end.
    signed = all(place >= len(words) - 2 and words[place][0].isupper() for place in strangers)
    return signed and any(word.casefold() in thanks for word in words)


@cache
def _thanks_words() -> tuple[frozenset[str], frozenset[str]]:
    return frozenset(_THANKS.split(", ")), frozenset(_CONTENT.split())


@cache
def _dissatisfied() -> Phrases[str]:
    tables = (("unsettled", _UNSETTLED), ("person", _WANTS_A_PERSON))
    return Phrases((phrase.strip(), kind) for kind, listed in tables for phrase in listed.split(","))


@cache
def _phrases() -> Phrases[Concern | None]:
    tables: list[tuple[Concern | None, str]] = [*_PHRASES.items(), (None, _HARMLESS)]
    return Phrases((phrase.strip(), kind) for kind, listed in tables for phrase in listed.split(","))
