"""When a ticket lacks its order's number: whoever asks where their order, parcel or refund is, has to say which."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ticketflow.llm.rules.conversation import of_ticket, told
from ticketflow.llm.rules.words import sentences

_GAP = r"[^.!?\n]{0,40}?"
# Where an order number is printed and how to track a parcel, any article may say.
_NO_GOODS = r"(?![\s-]+(?:confirmation|e-?mail|mail|number|history|page|link|code|bestätigung|nummer)\b)"


def _status(goods: str, *sayings: str) -> re.Pattern[str]:
    """``GOODS`` in a saying is a word for what is on its way."""
    named = rf"(?:\w+ ){{0,2}}?(?:{goods})\b{_NO_GOODS}"
    return re.compile("|".join(saying.replace("GOODS", named) for saying in sayings), re.IGNORECASE)


_STATUS = (
    _status(
        r"orders?|parcels?|packages?|packet|delivery|shipments?|refunds?|purchase",
        r"\bwhere(?:'s| is| are| has| have)? (?:my|our) GOODS",
        r"\b(?:my|our|the) GOODS"
        + _GAP
        + r"\b(?:not|never|\w+n't|nowhere) (?:yet )?(?:\w+ ){0,2}?(?:arrived?|come|came|received"
        r"|delivered|here|shipped|moved|show(?:n|ed) up|turned up)\b",
        r"\b(?:not|never|\w+n't) (?:yet )?(?:received?|got|gotten|get|seen|had) (?:my|our|the) GOODS",
        r"\b(?:waiting|waited|wait) (?:\w+ ){0,3}?for (?:my|our) GOODS",
        r"\bstill no GOODS",
        r"\b(?:status|whereabouts) of (?:my|our) GOODS",
        r"\bwhen (?:will|does|do|is|are|can|should) (?:(?:i|we) (?:get|receive|see|have|expect) )?(?:my|our) GOODS",
        r"\btracking (?:\w+ ){0,3}?(?:not|never|\w+n't|stuck)\b",
    ),
    _status(
        r"bestellung|paket|päckchen|lieferung|sendung|(?:rück)?erstattung",
        r"\bwo (?:ist|bleibt|sind|steckt) (?:denn )?(?:meine?|unsere?) GOODS",
        r"\b(?:meine?|unsere?|das|die) GOODS"
        + _GAP
        + r"\b(?:nicht|nie) (?:\w+ ){0,2}?(?:angekommen|da|erhalten|bekommen|geliefert"
        r"|gekommen|eingetroffen|versendet|verschickt)\b",
        r"\bwarte[n]? (?:\w+ ){0,4}?auf (?:meine?|unsere?) GOODS",
        r"\bwann (?:kommt|kommen|erhalte ich|bekomme ich|erhalten wir|bekommen wir|wird) (?:meine?|unsere?) GOODS",
    ),
    _status(
        r"commande|colis|livraison|paquet|remboursement",
        r"\boù (?:est|en est|se trouve|reste) (?:donc )?(?:ma|mon|notre) GOODS",
        r"\b(?:ma|mon|notre|la|le) GOODS"
        + _GAP
        + r"\b(?:pas|jamais) (?:encore )?(?:été )?(?:arrivée?|reçue?|livrée?|expédiée?|venue?)\b",
        r"\b(?:pas|jamais) (?:encore |toujours )?reçu (?:ma|mon|notre) GOODS",
        r"\battend[a-z]* (?:\w+ ){0,3}?(?:ma|mon|notre) GOODS",
        r"\bquand (?:vais-je recevoir|recevrai-je|arrive|arrivera|est-ce que je reçois) (?:ma|mon|notre) GOODS",
    ),
    _status(
        r"pedido|paquete|envío|entrega|reembolso",
        r"\bdónde (?:está|esta|queda) (?:mi|nuestro|nuestra) GOODS",
        r"\b(?:mi|nuestro|nuestra|el|la) GOODS"
        + _GAP
        + r"\bno (?:me |nos )?(?:ha |han )?(?:llegado|llega|llegó|sido entregado)\b",
        r"\bno (?:he |hemos |me ha |nos ha )?(?:\w+ )?(?:recibido|recibí|llegado) (?:todavía |aún )?(?:mi|nuestro"
        r"|nuestra|el) GOODS",
        r"\besper\w+ (?:\w+ ){0,2}?(?:mi|nuestro|nuestra) GOODS",
        r"\bcuándo (?:llega|llegará|recibiré|recibo) (?:mi|nuestro|nuestra) GOODS",
    ),
    _status(
        r"ordine|pacco|spedizione|consegna|rimborso",
        r"\b(?:dov'è|dove è|dove si trova|dove sta) (?:il mio|la mia|il nostro|la nostra) GOODS",
        r"\b(?:il mio|la mia|il nostro|la nostra|il|la) GOODS"
        + _GAP
        + r"\bnon (?:mi |ci )?(?:è |ha )?(?:ancora )?(?:stat[oa] )?"
        r"(?:arrivat[oa]|arriva|consegnat[oa])\b",
        r"\bnon (?:ho |abbiamo )?(?:ancora )?ricevuto (?:ancora )?(?:il mio|la mia|il nostro|la nostra|il) GOODS",
        r"\b(?:aspetto|aspettiamo|attendo|attesa) (?:\w+ ){0,3}?(?:il mio|la mia|del mio|della mia) GOODS",
        r"\bquando (?:arriva|arriverà|ricevo|riceverò) (?:il mio|la mia|il nostro|la nostra) GOODS",
    ),
    _status(
        r"bestelling|pakket(?:je)?|levering|zending|terugbetaling",
        r"\bwaar (?:is|blijft|zit) (?:mijn|onze|ons) GOODS",
        r"\b(?:mijn|onze|ons|de|het) GOODS"
        + _GAP
        + r"\bniet (?:\w+ ){0,2}?(?:aangekomen|ontvangen|geleverd|binnen|gekomen|er)\b",
        r"\bwacht(?:en)? (?:\w+ ){0,4}?op (?:mijn|onze|ons) GOODS",
        r"\bwanneer (?:komt|krijg ik|ontvang ik|krijgen we) (?:mijn|onze|ons) GOODS",
    ),
)
_ORDER = re.compile(r"order|bestell|commande|pedido|ordine|bestel", re.IGNORECASE)


def lacks_order_number(material: Mapping[str, Any], order_id: object) -> bool:
    """Whether the customer wants to know where something is, has not said which order, and was not asked for it yet."""
    ""
    if order_id or any(_asks_for_an_order(text) for text in told(material)):
        return False
    wanted = "\n".join(of_ticket(material)).replace("\u2019", "'")
    return any(status.search(wanted) for status in _STATUS)


def _asks_for_an_order(text: str) -> bool:
    return any(each.endswith("?") and _ORDER.search(each) for each in sentences(text))
