"""What a customer hears when a person takes over: written by people, never by a model."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from enum import StrEnum
from typing import Final


class Occasion(StrEnum):
    """What a holding reply answers; each asks for another tone."""

    REQUEST = "request"
    URGENT = "urgent"
    HARM = "harm"
    COMPLAINT = "complaint"
    THANKS = "thanks"
    AGAIN = "again"
    AGAIN_URGENT = "again_urgent"
    THANKS_AGAIN = "thanks_again"


HOLDING_REPLIES: Final[Mapping[Occasion, Mapping[str, str]]] = {
    Occasion.REQUEST: {
        "en": "Thank you for writing to us. Your request needs a closer look, so one of our specialists is taking it "
        "over and will answer you personally.",
        "de": "Vielen Dank für Ihre Nachricht. Ihr Anliegen braucht einen genaueren Blick, deshalb übernimmt es "
        "jemand "
        "aus unserem Fachteam und antwortet Ihnen persönlich.",
        "fr": "Merci pour votre message. Votre demande mérite un examen plus attentif : un de nos spécialistes s'en "
        "charge et vous répondra personnellement.",
        "es": "Gracias por escribirnos. Su consulta necesita una revisión más detallada, así que uno de nuestros "
        "especialistas se ocupa de ella y le responderá personalmente.",
        "it": "Grazie per averci scritto. La sua richiesta merita un esame più attento: se ne occupa uno dei nostri "
        "specialisti, che le risponderà personalmente.",
        "nl": "Bedankt voor uw bericht. Uw vraag verdient een nadere blik; een van onze specialisten neemt hem over "
        "en "
        "antwoordt u persoonlijk.",
    },
    Occasion.URGENT: {
        "en": "Thank you for telling us. We have marked your message as urgent and passed it straight to one of our "
        "specialists, who will answer you personally. If anyone is in danger, please do not wait for us: call your "
        "local emergency number.",
        "de": "Danke, dass Sie uns das melden. Wir haben Ihre Nachricht als dringend gekennzeichnet und sofort an "
        "unser Fachteam gegeben; jemand von dort antwortet Ihnen persönlich. Ist jemand in Gefahr, warten Sie bitte "
        "nicht auf uns, sondern wählen Sie den örtlichen Notruf.",
        "fr": "Merci de votre signalement. Nous avons marqué votre message comme urgent et l'avons transmis "
        "aussitôt à un de nos spécialistes, qui vous répondra personnellement. Si quelqu'un est en danger, "
        "n'attendez "
        "pas notre réponse : appelez le numéro d'urgence local.",
        "es": "Gracias por avisarnos. Hemos marcado su mensaje como urgente y lo hemos pasado de inmediato a uno de "
        "nuestros especialistas, que le responderá personalmente. Si alguien está en peligro, no nos espere: llame "
        "al "
        "número de emergencias local.",
        "it": "Grazie per averci avvisato. Abbiamo segnato il suo messaggio come urgente e lo abbiamo passato subito "
        "a "
        "uno dei nostri specialisti, che le risponderà personalmente. Se qualcuno è in pericolo, non ci aspetti: "
        "chiami il numero di emergenza locale.",
        "nl": "Bedankt dat u dit meldt. We hebben uw bericht als dringend aangemerkt en meteen doorgegeven aan een "
        "van "
        "onze specialisten, die u persoonlijk antwoordt. Is er iemand in gevaar, wacht dan niet op ons maar bel het "
        "plaatselijke noodnummer.",
    },
    Occasion.HARM: {
        "en": "We are very sorry to hear what happened. Your message has gone to one of our colleagues, who will "
        "look "
        "into it with care and answer you personally. If anyone is in danger or needs medical help, please call your "
        "local emergency number.",
        "de": "Was geschehen ist, tut uns sehr leid. Ihre Nachricht liegt jetzt bei jemandem aus unserem Team, der "
        "sich sorgfältig darum kümmert und Ihnen persönlich antwortet. Ist jemand in Gefahr oder braucht ärztliche "
        "Hilfe, wählen Sie bitte den örtlichen Notruf.",
        "fr": "Nous sommes vraiment désolés de ce qui est arrivé. Votre message a été transmis à un de nos "
        "collègues, "
        "qui l'examinera avec soin et vous répondra personnellement. Si quelqu'un est en danger ou a besoin de "
        "soins, "
        "appelez le numéro d'urgence local.",
        "es": "Sentimos mucho lo ocurrido. Su mensaje está ya en manos de uno de nuestros compañeros, que lo "
        "atenderá "
        "con cuidado y le responderá personalmente. Si alguien está en peligro o necesita atención médica, llame al "
        "número de emergencias local.",
        "it": "Ci dispiace molto per quanto è accaduto. Il suo messaggio è ora nelle mani di un nostro collega, che "
        "se "
        "ne occuperà con cura e le risponderà personalmente. Se qualcuno è in pericolo o ha bisogno di cure mediche, "
        "chiami il numero di emergenza locale.",
        "nl": "We vinden het heel erg wat er is gebeurd. Uw bericht ligt nu bij een collega, die er zorgvuldig naar "
        "kijkt en u persoonlijk antwoordt. Is er iemand in gevaar of is er medische hulp nodig, bel dan het "
        "plaatselijke noodnummer.",
    },
    Occasion.COMPLAINT: {
        "en": "We are sorry for the trouble, and that you had to write to us about it. You should not have to "
        "explain "
        "it all again: one of our specialists will read your message together with what you sent us before, and will "
        "answer you personally.",
        "de": "Es tut uns leid, dass Sie solchen Ärger haben und uns deswegen schreiben mussten. Sie sollen nicht "
        "alles noch einmal erklären müssen: Jemand aus unserem Fachteam liest Ihre Nachricht und was Sie uns vorher "
        "geschickt haben, und antwortet Ihnen persönlich.",
        "fr": "Nous sommes désolés de ces désagréments et que vous ayez dû nous écrire à ce sujet. Vous n'aurez pas "
        "à "
        "tout réexpliquer : un de nos spécialistes lira votre message avec ce que vous nous avez déjà envoyé, et "
        "vous "
        "répondra personnellement.",
        "es": "Lamentamos las molestias y que haya tenido que escribirnos por ello. No tendrá que explicarlo todo "
        "otra "
        "vez: uno de nuestros especialistas leerá su mensaje junto con lo que nos envió antes y le responderá "
        "personalmente.",
        "it": "Ci dispiace per i disagi e che abbia dovuto scriverci per questo. Non dovrà spiegare tutto di nuovo: "
        "uno dei nostri specialisti leggerà il suo messaggio insieme a quanto ci ha già inviato e le risponderà "
        "personalmente.",
        "nl": "Het spijt ons dat u hier last van hebt en ons erover moest schrijven. U hoeft niet alles opnieuw uit "
        "te "
        "leggen: een van onze specialisten leest uw bericht en wat u ons eerder stuurde, en antwoordt u persoonlijk.",
    },
    Occasion.THANKS: {
        "en": "Thank you for letting us know, we are glad to hear from you. If anything else comes up, just write "
        "to us.",
        "de": "Danke für Ihre Rückmeldung, darüber freuen wir uns. Wenn noch etwas ist, schreiben Sie uns einfach.",
        "fr": "Merci pour ce retour, il nous fait plaisir. Si vous avez une autre question, écrivez-nous.",
        "es": "Gracias por decírnoslo, nos alegra mucho. Si necesita algo más, escríbanos.",
        "it": "Grazie di avercelo detto, ci fa piacere. Se le serve altro, ci scriva.",
        "nl": "Bedankt voor uw bericht, dat horen we graag. Is er nog iets, schrijf ons dan gerust.",
    },
    Occasion.AGAIN: {
        "en": "Thank you for your further message. We have put it with what you wrote before, and one of our "
        "specialists "
        "will read it all and answer you personally.",
        "de": "Vielen Dank für Ihre weitere Nachricht. Wir haben sie zu dem gelegt, was Sie vorher geschrieben "
        "haben; "
        "jemand aus unserem Fachteam liest alles und antwortet Ihnen persönlich.",
        "fr": "Merci pour votre nouveau message. Nous l'avons joint à ce que vous avez écrit auparavant : un de nos "
        "spécialistes lira le tout et vous répondra personnellement.",
        "es": "Gracias por su nuevo mensaje. Lo hemos unido a lo que nos escribió antes; uno de nuestros "
        "especialistas lo "
        "leerá todo y le responderá personalmente.",
        "it": "Grazie per il suo nuovo messaggio. Lo abbiamo unito a quanto ci ha scritto prima: uno dei nostri "
        "specialisti "
        "leggerà tutto e le risponderà personalmente.",
        "nl": "Bedankt voor uw nieuwe bericht. We hebben het gevoegd bij wat u eerder schreef; een van onze "
        "specialisten "
        "leest alles en antwoordt u persoonlijk.",
    },
    Occasion.AGAIN_URGENT: {
        "en": "Your further message has gone straight to the specialist who has your urgent request, and who will "
        "answer you "
        "personally. Should anyone be in danger, please call your local emergency number first.",
        "de": "Ihre weitere Nachricht ist sofort an unser Fachteam gegangen, bei dem Ihr dringendes Anliegen liegt; "
        "jemand "
        "von dort antwortet Ihnen persönlich. Sollte jemand in Gefahr sein, wählen Sie bitte zuerst den örtlichen "
        "Notruf.",
        "fr": "Votre nouveau message a été transmis aussitôt au spécialiste chargé de votre demande urgente, qui "
        "vous "
        "répondra personnellement. Si quelqu'un est en danger, appelez d'abord le numéro d'urgence local.",
        "es": "Su nuevo mensaje ha pasado de inmediato al especialista que lleva su petición urgente, que le "
        "responderá "
        "personalmente. Si alguien está en peligro, llame primero al número de emergencias local.",
        "it": "Il suo nuovo messaggio è passato subito allo specialista che segue la sua richiesta urgente e che le "
        "risponderà personalmente. Se qualcuno è in pericolo, chiami prima il numero di emergenza locale.",
        "nl": "Uw nieuwe bericht is meteen doorgegeven aan de specialist die uw dringende verzoek heeft en u "
        "persoonlijk "
        "antwoordt. Is er iemand in gevaar, bel dan eerst het plaatselijke noodnummer.",
    },
    Occasion.THANKS_AGAIN: {
        "en": "You are welcome.",
        "de": "Gern geschehen.",
        "fr": "Avec plaisir.",
        "es": "No hay de qué.",
        "it": "Non c'è di che.",
        "nl": "Graag gedaan.",
    },
}

_ISSUES: Final = {
    "safety": Occasion.HARM,
    "injury": Occasion.HARM,
    "complaint": Occasion.COMPLAINT,
    "legal": Occasion.COMPLAINT,
    "account_security": Occasion.URGENT,
    "thanks": Occasion.THANKS,
}


_AGAIN: Final = {
    Occasion.REQUEST: Occasion.AGAIN,
    Occasion.COMPLAINT: Occasion.AGAIN,
    Occasion.URGENT: Occasion.AGAIN_URGENT,
    Occasion.HARM: Occasion.AGAIN_URGENT,
    Occasion.THANKS: Occasion.THANKS_AGAIN,
}
"""What follows on each: nobody is told the same twice."""


def occasion(priority: str, issue_type: object) -> Occasion:
    """What a ticket calls for, by what was classified and extracted."""
    default = Occasion.URGENT if priority == "urgent" else Occasion.REQUEST
    return _ISSUES.get(str(issue_type), default)


def holding_reply(language: str, occasion: Occasion = Occasion.REQUEST, said: Collection[str] = ()) -> str:
    """The reply in the customer's language (ISO 639-1, any case or region), else in English.

    To whoever was ``said`` this before it says something else, which is repeated from the third time on.
    """
    spoken = language.lower().split("-")[0].split("_")[0]
    first, second = (
        replies.get(spoken, replies["en"]) for replies in (HOLDING_REPLIES[occasion], HOLDING_REPLIES[_AGAIN[occasion]])
    )
    return second if first in said else first
