"""The few sentences that the rules say in their own voice, in the customer's language."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple


class Voice(NamedTuple):
    """``thanks`` is by category; ``{order}`` and ``{title}`` are filled in."""

    greeting: str
    thanks: Mapping[str, str]
    order: str
    quoting: str
    more: str
    closing: str
    holding: str
    regards: str


_EN: Final = Voice(
    greeting="Hello,",
    thanks={
        "billing": "thank you for writing to us about your payment{order}.",
        "technical": "thank you for telling us about this problem{order}. We are sorry for the trouble.",
        "account": "thank you for writing to us about your account{order}.",
        "general": "thank you for getting in touch{order}.",
    },
    order=" (order {id})",
    quoting="This is what our help article “{title}” says:",
    more="And from “{title}”:",
    closing="If that does not settle it, just answer this message and one of us will look into it with you.",
    holding="We have no ready answer to this, so a colleague will read your message and get back to you personally.",
    regards="Kind regards\nYour support team",
)
_DE: Final = Voice(
    greeting="Guten Tag,",
    thanks={
        "billing": "vielen Dank für Ihre Nachricht zu Ihrer Zahlung{order}.",
        "technical": "vielen Dank für Ihren Hinweis{order}. Es tut uns leid, dass etwas nicht klappt.",
        "account": "vielen Dank für Ihre Nachricht zu Ihrem Konto{order}.",
        "general": "vielen Dank für Ihre Nachricht{order}.",
    },
    order=" (Bestellung {id})",
    quoting="In unserem Hilfeartikel „{title}“ steht dazu:",
    more="Und in „{title}“:",
    closing="Falls das nicht hilft, antworten Sie einfach auf diese Nachricht, dann kümmert sich jemand von uns darum.",
    holding="Dazu haben wir keine fertige Antwort. Jemand aus unserem Team liest Ihre Nachricht und meldet sich.",
    regards="Freundliche Grüße\nIhr Support-Team",
)
_FR: Final = Voice(
    greeting="Bonjour,",
    thanks={
        "billing": "merci pour votre message au sujet de votre paiement{order}.",
        "technical": "merci de nous avoir signalé ce problème{order}. Nous en sommes désolés.",
        "account": "merci pour votre message au sujet de votre compte{order}.",
        "general": "merci de nous avoir écrit{order}.",
    },
    order=" (commande {id})",
    quoting="Voici ce que dit notre article d'aide « {title} » :",
    more="Et dans « {title} » :",
    closing="Si cela ne suffit pas, répondez simplement à ce message et l'un de nous s'en occupera.",
    holding="Nous n'avons pas de réponse toute prête : un collègue lira votre message et reviendra vers vous.",
    regards="Cordialement\nVotre équipe d'assistance",
)
_ES: Final = Voice(
    greeting="Hola:",
    thanks={
        "billing": "gracias por escribirnos sobre su pago{order}.",
        "technical": "gracias por avisarnos de este problema{order}. Lamentamos las molestias.",
        "account": "gracias por escribirnos sobre su cuenta{order}.",
        "general": "gracias por ponerse en contacto con nosotros{order}.",
    },
    order=" (pedido {id})",
    quoting="Esto dice nuestro artículo de ayuda «{title}»:",
    more="Y en «{title}»:",
    closing="Si esto no lo resuelve, responda a este mensaje y uno de nosotros lo revisará con usted.",
    holding="No tenemos una respuesta preparada para esto: un compañero leerá su mensaje y le contestará.",
    regards="Un cordial saludo\nSu equipo de soporte",
)
_IT: Final = Voice(
    greeting="Buongiorno,",
    thanks={
        "billing": "grazie per averci scritto riguardo al suo pagamento{order}.",
        "technical": "grazie per la segnalazione{order}. Ci dispiace per il disagio.",
        "account": "grazie per averci scritto riguardo al suo account{order}.",
        "general": "grazie per averci contattato{order}.",
    },
    order=" (ordine {id})",
    quoting="Ecco che cosa dice il nostro articolo «{title}»:",
    more="E in «{title}»:",
    closing="Se questo non basta, risponda a questo messaggio e uno di noi se ne occuperà con lei.",
    holding="Non abbiamo una risposta pronta: un collega leggerà il suo messaggio e le risponderà.",
    regards="Cordiali saluti\nIl suo team di assistenza",
)
_NL: Final = Voice(
    greeting="Goedendag,",
    thanks={
        "billing": "bedankt voor uw bericht over uw betaling{order}.",
        "technical": "bedankt voor uw melding{order}. Het spijt ons dat er iets niet werkt.",
        "account": "bedankt voor uw bericht over uw account{order}.",
        "general": "bedankt voor uw bericht{order}.",
    },
    order=" (bestelling {id})",
    quoting="Dit staat in ons hulpartikel “{title}”:",
    more="En in “{title}”:",
    closing="Helpt dit niet, beantwoord dan gewoon dit bericht; een van ons kijkt er dan met u naar.",
    holding="Hier hebben we geen kant-en-klaar antwoord op. Een collega leest uw bericht en komt bij u terug.",
    regards="Met vriendelijke groet\nUw supportteam",
)
VOICES: Final[Mapping[str, Voice]] = {"en": _EN, "de": _DE, "fr": _FR, "es": _ES, "it": _IT, "nl": _NL}


def voice(language: object) -> Voice:
    """The voice for an ISO 639-1 code of any case or region; English for what is not spoken here."""
    return VOICES.get(str(language or "en").lower()[:2], _EN)
