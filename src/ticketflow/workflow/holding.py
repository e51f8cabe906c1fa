"""What a customer hears when a person takes over: written by people, never by a model."""

from __future__ import annotations

HOLDING_REPLIES = {
    "en": "Thank you for writing to us. Your request needs a closer look, so one of our specialists is taking it over "
    "and will answer you personally. You do not need to do anything in the meantime.",
    "de": "Vielen Dank für Ihre Nachricht. Ihr Anliegen braucht einen genaueren Blick, deshalb übernimmt es jemand aus "
    "unserem Fachteam und antwortet Ihnen persönlich. Sie müssen in der Zwischenzeit nichts tun.",
    "fr": "Merci pour votre message. Votre demande mérite un examen plus attentif : un de nos spécialistes s'en charge "
    "et vous répondra personnellement. Vous n'avez rien à faire d'ici là.",
    "es": "Gracias por escribirnos. Su consulta necesita una revisión más detallada, así que uno de nuestros "
    "especialistas se ocupa de ella y le responderá personalmente. Mientras tanto no tiene que hacer nada.",
    "it": "Grazie per averci scritto. La sua richiesta merita un esame più attento: se ne occupa uno dei nostri "
    "specialisti, che le risponderà personalmente. Nel frattempo non deve fare nulla.",
    "nl": "Bedankt voor uw bericht. Uw vraag verdient een nadere blik; een van onze specialisten neemt hem over en "
    "antwoordt u persoonlijk. U hoeft intussen niets te doen.",
}


def holding_reply(language: str) -> str:
    """The reply in the customer's language (ISO 639-1, any case or region), else in English."""
    return HOLDING_REPLIES.get(language.lower().split("-")[0].split("_")[0], HOLDING_REPLIES["en"])
