"""The few sentences that the rules say in their own voice, in the customer's language."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple


class Voice(NamedTuple):
    """``thanks`` is by topic; ``{order}``, ``{title}`` and ``{language}`` are filled in.

    ``asking`` is the question for the order's number. ``foreign`` stands in place of ``quoting`` above an article in
    another language, which ``languages`` names.
    """

    greeting: str
    thanks: Mapping[str, str]
    order: str
    quoting: str
    foreign: str
    more: str
    closing: str
    holding: str
    asking: str
    regards: str
    languages: Mapping[str, str]


def _languages(names: str) -> Mapping[str, str]:
    return dict(zip(("en", "de", "fr", "es", "it", "nl"), names.split(), strict=True))


_EN: Final = Voice(
    greeting="Hello,",
    thanks={
        "payment": "Thank you for writing to us about your payment{order}.",
        "problem": "Thank you for telling us about this problem{order}. We are sorry for the trouble.",
        "account": "Thank you for writing to us about your account{order}.",
        "general": "Thank you for getting in touch{order}.",
    },
    order=" (order {id})",
    quoting="This is what our help article “{title}” says:",
    foreign="Our help article “{title}” is in {language}. This is what it says:",
    more="And from “{title}”:",
    closing="If that does not settle it, just answer this message and one of us will look into it with you.",
    holding="We have no ready answer to this, so a colleague will read your message and get back to you personally.",
    asking="Could you tell us the number of the order that this is about? Just reply to this message, and we "
    "will go on from there.",
    regards="Kind regards\nYour support team",
    languages=_languages("English German French Spanish Italian Dutch"),
)
_DE: Final = Voice(
    greeting="Guten Tag,",
    thanks={
        "payment": "vielen Dank für Ihre Nachricht zu Ihrer Zahlung{order}.",
        "problem": "vielen Dank für Ihren Hinweis{order}. Es tut uns leid, dass etwas nicht klappt.",
        "account": "vielen Dank für Ihre Nachricht zu Ihrem Konto{order}.",
        "general": "vielen Dank für Ihre Nachricht{order}.",
    },
    order=" (Bestellung {id})",
    quoting="In unserem Hilfeartikel „{title}“ steht dazu:",
    foreign="Unser Hilfeartikel „{title}“ liegt auf {language} vor. Darin steht:",
    more="Und in „{title}“:",
    closing="Falls das nicht hilft, antworten Sie einfach auf diese Nachricht, dann kümmert sich jemand von uns darum.",
    holding="Dazu haben wir keine fertige Antwort. Jemand aus unserem Team liest Ihre Nachricht und meldet sich.",
    asking="Könnten Sie uns die Nummer der Bestellung nennen, um die es geht? Antworten Sie einfach auf diese "
    "Nachricht, dann machen wir damit weiter.",
    regards="Freundliche Grüße\nIhr Support-Team",
    languages=_languages("Englisch Deutsch Französisch Spanisch Italienisch Niederländisch"),
)
_FR: Final = Voice(
    greeting="Bonjour,",
    thanks={
        "payment": "Merci pour votre message au sujet de votre paiement{order}.",
        "problem": "Merci pour votre signalement{order}. Nous sommes désolés de ce problème.",
        "account": "Merci pour votre message au sujet de votre compte{order}.",
        "general": "Merci pour votre message{order}.",
    },
    order=" (commande {id})",
    quoting="Voici ce que dit notre article d'aide « {title} » :",
    foreign="Notre article d'aide « {title} » est rédigé en {language}. Voici ce qu'il dit :",
    more="Et dans « {title} » :",
    closing="Si cela ne suffit pas, répondez simplement à ce message et l'un de nous s'en occupera.",
    holding="Nous n'avons pas de réponse toute prête : un collègue lira votre message et reviendra vers vous.",
    asking="Pourriez-vous nous donner le numéro de la commande concernée ? Répondez simplement à ce message, et "
    "nous reprendrons à partir de là.",
    regards="Cordialement\nVotre équipe d'assistance",
    languages=_languages("anglais allemand français espagnol italien néerlandais"),
)
_ES: Final = Voice(
    greeting="Hola:",
    thanks={
        "payment": "Gracias por escribirnos sobre su pago{order}.",
        "problem": "Gracias por avisarnos de este problema{order}. Lamentamos las molestias.",
        "account": "Gracias por escribirnos sobre su cuenta{order}.",
        "general": "Gracias por ponerse en contacto con nosotros{order}.",
    },
    order=" (pedido {id})",
    quoting="Esto dice nuestro artículo de ayuda «{title}»:",
    foreign="Nuestro artículo de ayuda «{title}» está en {language}. Esto es lo que dice:",
    more="Y en «{title}»:",
    closing="Si esto no lo resuelve, responda a este mensaje y uno de nosotros lo revisará con usted.",
    holding="No tenemos una respuesta preparada para esto: un compañero leerá su mensaje y le contestará.",
    asking="¿Podría decirnos el número del pedido del que se trata? Responda a este mensaje y seguiremos a "
    "partir de ahí.",
    regards="Un cordial saludo\nSu equipo de soporte",
    languages=_languages("inglés alemán francés español italiano neerlandés"),
)
_IT: Final = Voice(
    greeting="Buongiorno,",
    thanks={
        "payment": "grazie per averci scritto riguardo al suo pagamento{order}.",
        "problem": "grazie per la segnalazione{order}. Ci dispiace per il disagio.",
        "account": "grazie per averci scritto riguardo al suo account{order}.",
        "general": "grazie per averci contattato{order}.",
    },
    order=" (ordine {id})",
    quoting="Ecco che cosa dice il nostro articolo «{title}»:",
    foreign="Il nostro articolo «{title}» è in {language}. Ecco che cosa dice:",
    more="E in «{title}»:",
    closing="Se questo non basta, risponda a questo messaggio e uno di noi se ne occuperà con lei.",
    holding="Non abbiamo una risposta pronta: un collega leggerà il suo messaggio e le risponderà.",
    asking="Potrebbe indicarci il numero dell'ordine in questione? Risponda a questo messaggio e riprenderemo da lì.",
    regards="Cordiali saluti\nIl suo team di assistenza",
    languages=_languages("inglese tedesco francese spagnolo italiano olandese"),
)
_NL: Final = Voice(
    greeting="Goedendag,",
    thanks={
        "payment": "Bedankt voor uw bericht over uw betaling{order}.",
        "problem": "Bedankt voor uw melding{order}. Het spijt ons dat er iets niet werkt.",
        "account": "Bedankt voor uw bericht over uw account{order}.",
        "general": "Bedankt voor uw bericht{order}.",
    },
    order=" (bestelling {id})",
    quoting="Dit staat in ons hulpartikel “{title}”:",
    foreign="Ons hulpartikel “{title}” is in het {language}. Dit staat erin:",
    more="En in “{title}”:",
    closing="Helpt dit niet, beantwoord dan gewoon dit bericht; een van ons kijkt er dan met u naar.",
    holding="Hier hebben we geen kant-en-klaar antwoord op. Een collega leest uw bericht en komt bij u terug.",
    asking="Kunt u ons het nummer geven van de bestelling waar het om gaat? Beantwoord gewoon dit bericht, dan "
    "gaan we van daaruit verder.",
    regards="Met vriendelijke groet\nUw supportteam",
    languages=_languages("Engels Duits Frans Spaans Italiaans Nederlands"),
)
VOICES: Final[Mapping[str, Voice]] = {"en": _EN, "de": _DE, "fr": _FR, "es": _ES, "it": _IT, "nl": _NL}


def voice(language: object) -> Voice:
    """The voice for an ISO 639-1 code of any case or region; English for what is not spoken here."""
    return VOICES.get(str(language or "en").lower()[:2], _EN)
