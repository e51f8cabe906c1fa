"""What the rules listen for: words and phrases with the category, kind of issue or urgency that they speak for.

Weights are a judgement, not a measurement: 1 hints, 2 speaks for it, 3 and more settle it. The forms of a word
need no entries of their own.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

Category = Literal["billing", "technical", "account", "general"]


class Cue(NamedTuple):
    """What a phrase speaks for. A ``negatable`` cue counts for nothing after "no", "not" or "without"."""

    category: Category
    weight: float
    issue: str | None = None
    negatable: bool = False


def _cues(
    category: Category, weight: float, phrases: str, issue: str | None = None, *, negatable: bool = False
) -> list[tuple[str, Cue]]:
    cue = Cue(category, weight, issue, negatable)
    return [(phrase.strip(), cue) for phrase in phrases.split(",") if phrase.strip()]


CATEGORY_CUES: Final[list[tuple[str, Cue]]] = [
    # --- billing: money that has changed hands or should not have
    *_cues("billing", 4, "charged twice, double charge, charged me twice, paid twice, billed twice, duplicate "
                         "charge, duplicate payment, twice on my card, overcharged, wrong amount, unexpected charge, "
                         "extra charge", "double_charge"),
    *_cues("billing", 3, "refund, money back, reimburse, reimbursement, chargeback, reverse the payment, where is my "
                         "money, credited back, my money", "refund"),
    *_cues("billing", 3, "invoice, receipt, vat, tax invoice, billing statement, invoice number, purchase order "
                         "number, credit note, customs charge, customs fee, import tax", "invoice"),
    *_cues("billing", 3, "payment declined, payment failed, card declined, card was declined, payment was declined, "
                         "payment not accepted, declined, cannot pay, can't pay, unable to pay, payment error, top "
                         "up failed, transfer failed", "payment_failed"),
    *_cues("billing", 2.5, "payment, billing, billed, charge, fee, direct debit, bank transfer, credit card, debit "
                           "card, paypal, bank statement, withdrawal, withdraw, withdrew, deducted, debited, "
                           "transaction, cash, cheque, salary, transfer money, money transfer, top up, balance, "
                           "exchange rate", "payment"),
    *_cues("billing", 2, "price, pricing, cost, transfer, tax, currency, deposit, instalment, funds, money, paying",
                         "payment"),
    *_cues("billing", 2.5, "discount, voucher, coupon, promo code, discount code, gift card", "voucher"),
    *_cues("billing", 3, "cancel my subscription, subscription, subscribed, renewal, renew, downgrade, upgrade my "
                         "plan, free trial, annual plan, monthly plan, yearly plan, change my plan, rest of the "
                         "month", "subscription"),
    *_cues("billing", 0.7, "paid, pay, bank, card, bill, plan, amount, euro, dollar, cancel, pending", "payment"),
    # --- technical: something that should work and does not, or how to make it work
    *_cues("technical", 3, "not working, isn't working, doesn't work, does not work, do not work, don't work, didn't "
                           "work, stopped working, won't work, no longer works, not respond, doesn't respond, won't "
                           "turn on, won't start, not start, will not open, won't open, won't load, not load, not "
                           "connect, won't connect, can't connect, cannot connect, does nothing, nothing happens, "
                           "keeps crashing, keeps freezing, keeps disconnecting, not opening, blank screen, white "
                           "screen, black screen, not syncing, won't sync, not sending, stopped suddenly",
                           "malfunction"),
    *_cues("technical", 2.5, "crash, bug, error message, error code, stack trace, exception, freeze, glitch, "
                             "malfunction, timeout, timed out, 404, 500 error, 502, 503, internal server error, "
                             "defect, unresponsive", "malfunction", negatable=True),
    *_cues("technical", 3, "offline, outage, is down, are down, went down, service down, site down, downtime, "
                           "unavailable", "outage", negatable=True),
    *_cues("technical", 2.5, "wifi, wi fi, wlan, router, bluetooth, connection lost, disconnect, pairing, pair, "
                             "network, signal, no connection", "connectivity", negatable=True),
    *_cues("technical", 2, "firmware, software update, app update, latest version, install, reinstall, uninstall, "
                           "configure, configuration, calibrate, calibration, integration, api, rest api, sdk, "
                           "webhook, mqtt, sso, documentation for developers, export, import, dashboard, plugin, "
                           "browser, android, iphone, ios, sync, synchronize, server, database, log file, battery, "
                           "sensor, motor, reset the device, factory reset, contactless", "how_to"),
    *_cues("technical", 1.5, "error, broken, fault, faulty, slow, fail, noise, half way, blink, flash, stops, leak, "
                             "inaccurate, stuck, too fast, too slow, fast, minutes late, minutes a week, minutes a "
                             "day, loses time, gains, alarm, silent",
                             "malfunction", negatable=True),
    *_cues("technical", 0.8, "app, website, screen, button, feature, device, setting, page, isn't, doesn't, won't",
                             "how_to"),
    # --- account: who someone is and what they may do
    *_cues("account", 4, "reset my password, password reset, forgot my password, forgot password, forgotten "
                         "password, reset link, new password, change my password, lost my password, password does "
                         "not work, wrong password, wrong credentials, forgotten my pin, forgot my pin",
                         "password_reset"),
    *_cues("account", 4, "log in, can't log in, cannot log in, log into, sign in, unable to log in, locked out of my "
                         "account, account locked, account is locked, account blocked, login, signin, cannot access "
                         "my account, activation, confirmation email, activation mail", "login"),
    *_cues("account", 3.5, "two factor, two step, 2fa, mfa, authenticator, verification code, backup code, one time "
                           "code, security code, six digit code, verify my identity, identity verification, "
                           "verification, identity, verify, passcode, pin, lost my phone, lost phone", "login"),
    *_cues("account", 4, "in my account without, someone is in my account, somebody is in my account, hacked, "
                         "compromised, unauthorized access, someone else, logged in from, stolen phone, phone was "
                         "stolen, phishing, freeze the account, suspicious login, fraudulent, fraud, "
                         "stolen, using my card, been stolen", "account_security"),
    *_cues("account", 4, "delete my account, close my account, deactivate my account, terminate my account, personal "
                         "data, gdpr, data protection, copy of my data, all my data, right to be forgotten, "
                         "unsubscribe, newsletter", "account_data"),
    *_cues("account", 3, "change my email, email address of my account, update my email, change my name, change my "
                         "phone number, change my address, update my address, update my profile, profile, username, "
                         "merge accounts, transfer my account, personal details, personal information, my details",
                         "account_data"),
    *_cues("account", 3, "invite, permission, user role, add a user, add user, remove user, team member, household, "
                         "ownership, owner, guest access, share access, grant access, access for, his access, her "
                         "access, their access, seat, admin rights, access code, a code for, her a code, him a code, "
                         "them a code", "access"),
    *_cues("account", 2, "password, my email address, register, registration, sign up, credentials", "login"),
    *_cues("account", 1.3, "account", "login"),
    # --- general: orders on their way, goods in hand, sales, and everything else
    *_cues("general", 3, "where is my order, where is my parcel, where is my package, tracking, track my order, not "
                         "arrived, hasn't arrived, not been delivered, delivery date, delivery time, delivery "
                         "status, lost parcel, shipping, shipment, where is it, where's my order, where's my parcel, "
                         "where's my package", "delivery"),
    *_cues("general", 3, "delivery address, wrong address, shipping address, change the address, change my order, "
                         "cancel my order, cancel the order, cancel order, order by mistake, add to my order",
                         "order_change"),
    *_cues("general", 3, "arrived damaged, arrived broken, arrived with, damaged, cracked, crack, scratched, dented, "
                         "smashed, in pieces, missing part, missing item, wrong item, incomplete order, replacement",
                         "damaged"),
    *_cues("general", 2.5, "return the, send it back, send them back, send back, return an item, return label, "
                           "return it, would like to return, i returned", "return"),
    *_cues("general", 3, "exchange it, exchange for, swap, swop, wrong size, wrong colour, wrong color, different "
                         "size, other colour", "exchange"),
    *_cues("general", 3.5, "warranty, guarantee, repair, spare part, workshop, send it in", "warranty"),
    *_cues("general", 3, "sales team, trade customer, wholesale, bulk order, partnership, reseller, quote for, "
                         "samples, buying for, demo, in stock, back in stock, availability, catalogue, opening "
                         "hours, vacancy, job application, press enquiry, do you ship, do you deliver", "sales"),
    *_cues("general", 2, "feedback, suggestion, feature request, compliment, complaint, feature idea, recommend",
                         "feedback"),
    *_cues("general", 3, "hospital, injured, injury, hurt, insurer, insurance, lawyer, solicitor, legal action",
                         "safety", negatable=True),
    *_cues("general", 1.3, "delivery, parcel, package, courier, carrier, ship", "delivery"),
    *_cues("general", 0.4, "order, present, gift, shop", "delivery"),
    # --- the same in German, French, Spanish, Italian and Dutch, the commonest words only
    *_cues("billing", 3, "rechnung, zahlung, abgebucht, doppelt abgebucht, erstattung, geld zurück, mehrwertsteuer, "
                         "lastschrift, facture, remboursement, rembourser, paiement, prélevé, débité, factura, "
                         "reembolso, pago, cobro, cobrado, fattura, rimborso, pagamento, addebito, factuur, "
                         "terugbetaling, betaling, betaald, afgeschreven, abonnement, abo, suscripción, abbonamento, "
                         "gutschein, kündigen, résilier", "payment"),
    *_cues("technical", 3, "funktioniert nicht, geht nicht, fehlermeldung, störung, absturz, stürzt ab, lässt sich "
                           "nicht, ne fonctionne pas, ne marche pas, panne, hors ligne, no funciona, se bloquea, "
                           "caído, non funziona, guasto, si blocca, werkt niet, doet het niet, storing, vastgelopen, "
                           "kapot", "malfunction"),
    *_cues("technical", 1.5, "fehler, verbindung, erreur, connexion, conexión, errore, connessione, foutmelding, "
                             "verbinding, lampe, aktualisierung, mise à jour, actualización, aggiornamento",
                             "malfunction"),
    *_cues("account", 3, "passwort, kennwort, konto, anmelden, einloggen, zugang, gesperrt, mot de passe, mon "
                         "compte, me connecter, contraseña, mi cuenta, iniciar sesión, mio account, accedere, "
                         "wachtwoord, mijn account, inloggen", "login"),
    *_cues("general", 2.5, "lieferung, bestellung, paket, rücksendung, umtausch, beschädigt, garantie, livraison, "
                           "commande, colis, retour, échange, endommagé, entrega, pedido, paquete, devolución, "
                           "garantía, consegna, ordine, pacco, reso, garanzia, levering, bestelling, pakket, "
                           "retourneren, beschadigd", "delivery"),
]  # fmt: skip

_Urgency = tuple[str, float]


def _urgency(weight: float, phrases: str) -> list[_Urgency]:
    return [(phrase.strip(), weight) for phrase in phrases.split(",") if phrase.strip()]


# The strongest cue counts in full, further ones a third. From 4.5 a ticket is urgent, from 2 high, from -1 down low.
PRIORITY_CUES: Final[list[_Urgency]] = [
    *_urgency(5, "outage, emergency, production is down, system is down, site is down, service is down, everything "
                 "is down, all offline, no water, no heating, flooding, gas leak, data loss, data breach, security "
                 "breach, urgent, urgently, dringend, notfall, urgence, urgente, emergencia, emergenza, spoedeisend, "
                 "dringende, noodgeval"),
    *_urgency(3, "locked out, asap, as soon as possible, immediately, right now, right away, at once, sofort, "
                 "subito, critical, fraud, fraudulent, stolen, hacked, compromised, unauthorized, is down, are down, "
                 "someone is in my account, somebody is in my account, unsafe, dangerous"),
    *_urgency(2.4, "hospital, injured, injury, hurt, lawyer, legal action, solicitor, insurer, third time, "
                   "unacceptable, still no answer, still no refund, no response, deadline, before it leaves, before "
                   "it ships, minutes ago, customers are waiting, blocking us, all our users, whole team, entire "
                   "company, cannot get past"),
    *_urgency(1.6, "charged twice, billed twice, paid twice, can't log in, cannot log in, unable to log in, lost my "
                   "phone, chargeback, complaint, disappointed, angry, frustrated, weeks ago, on friday, not "
                   "respond, crash"),
    *_urgency(0.8, "tomorrow, today, tonight, this morning, this afternoon, quickly, still waiting, worst, again and "
                   "again"),
    *_urgency(-3, "no rush, no hurry, not urgent, not in a hurry, isn't urgent, whenever you can, whenever you have "
                  "time, when you have time, just curious, just wondering, take your time, no need to hurry, keine "
                  "eile, pas urgent, no es urgente, non urgente, geen haast, low priority"),
    *_urgency(-1.5, "feature request, suggestion, idea for, feedback, would be nice, nice to have, general question, "
                    "quick question, could you tell me, is there a way, is it possible, i was wondering, i wonder, "
                    "can i give, samples, quote, sales team, swap, swop, in stock, opening hours, exchange it, "
                    "cancel my subscription"),
]  # fmt: skip

# After one of these, a negatable cue says the opposite.
NEGATIONS: Final = (
    "no, not, never, without, neither, nor, none, isn't, aren't, wasn't, nicht, kein, keine, ohne, pas, sans, sin, "
    "non, senza, niet, geen, zonder"
)
