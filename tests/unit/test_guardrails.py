"""Guardrails: what keeps a reply from being sent, and what must not."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from tests.support.conversation import talk
from ticketflow.domain.tickets import Channel, Status, Ticket
from ticketflow.llm.tasks import TaskName
from ticketflow.samples import articles as sample_articles
from ticketflow.workflow.guardrails import MAX_REPLY, problems_of
from ticketflow.workflow.holding import HOLDING_REPLIES, Occasion
from ticketflow.workflow.prompts import prompt

NOW = datetime(2026, 1, 1, tzinfo=UTC)
TICKET = Ticket(
    id=uuid4(),
    customer_id="cus_1",
    subject="Order 4111 arrived broken",
    body="Please write to my work address, mirela.work@example.org.",
    customer_email="mirela@example.com",
    channel=Channel.WEB,
    status=Status.PROCESSING,
    version=2,
    attempt=1,
    flow_version="1",
    created_at=NOW,
    updated_at=NOW,
)
ARTICLES: list[dict[str, Any]] = [
    {
        "id": "returns",
        "title": "Returns and refunds",
        "passages": [
            {
                "heading": "What you get back",
                "text": "We refund the full price within 14 days of the return. Shipping is **4.90 EUR** and is not "
                "refunded. Start at https://shop.example.com/returns or write to returns@shop.example.com.",
            }
        ],
    },
    {"id": "batteries", "title": "Batteries", "passages": [{"heading": "", "text": "Use two AA cells."}]},
]


def problems(text: str, *citations: str) -> list[str]:
    return problems_of(text, citations, ARTICLES, TICKET)


@pytest.mark.parametrize(
    "text",
    [
        "Please put two AA cells into the lock and press the button for five seconds.",
        # Quoting the published policy is not a promise.
        "We refund the full price within 14 days of the return.",
        "Hello,\n\nWe refund the full price within 14 days of the return. Shipping is 4.90 EUR and is not refunded.",
        "> We refund the full price within 14 days of the return.",
        "WE REFUND THE FULL PRICE  WITHIN 14 DAYS OF THE RETURN.",
        "The shipping of 4.90 EUR is not part of that.",
        "You asked about a refund: the article Returns and refunds says how it works.",
        "A colleague will look into your question about the voucher.",
        # The customer's own addresses, and those that the articles publish.
        "We will write to mirela.work@example.org and to MIRELA@example.com.",
        "You can also write to returns@shop.example.com.",
        "Start at https://shop.example.com/returns.",
        # How the published procedure works, in other words.
        "You asked about a refund for two lamps. Choose Refund in the menu of your order.",
        "Refunds are paid within 14 days after the parcel arrives.",
        "A refund is only possible after the parcel has been sent back.",
        "Shipping is not refunded, and the deposit is not waived.",
        "If you have a voucher, enter its code at the checkout.",
        "Sie finden die Rechnung unter Bestellungen.",
        "Merci de nous avoir signalé cette panne.",
        "Start at shop.example.com/returns, please.",
        "Please never send us your password, and do not share the code we sent you.",
        "The sensor draws 5 μA through 10 kΩ.",
        "Press the button on the lock.It opens, and/or beeps at 5 km/h.",
        "The invoice is in invoice.pdf.Thank you.",
        "We can't send a refund to a different card.",
        "We cannot refund the surcharge for express delivery.",
        "We're sorry that your refund has not arrived yet.",
        "Your refund has not been issued yet.",
        "We then send you a free return label.",
        "You'll receive the refund within 5 working days after we have inspected the parcel.",
        "An eine andere Karte können wir leider nicht erstatten.",
        "Le remboursement est effectué à réception de votre colis.",
        "On ne peut pas rembourser une partie du mois.",
        "You need your password to confirm the change.",
        "Give your guest an access code.",
        "Wir schicken Ihnen einen Link, mit dem Sie ein neues Passwort setzen.",
        "We cannot tell you your password, but you can set a new one.",
        "Tap <Name of your network>.",
        "Press the buttons in this order: A B C D E F.",
        # Numbers that are no payment cards, and words that are no secrets.
        "Your order 4111 1111 1111 1112 has arrived.",
        "Please call +49 30 1234567890 123.",
        "The serial number is 1234-5678-9012.",
        "Set a password of at least 12 characters; the token is in your authenticator app.",
        "If x < 3 and y > 4, the LED blinks.",
        "Your order number is DE12 3456 7890 1234 5678 90.",
        "Family emoji \U0001f468\u200d\U0001f469\u200d\U0001f467 and a soft\u00adhyphen are fine.",
        "The asking price <b was missing.",
        "x" * MAX_REPLY,
    ],
)
def test_an_honest_reply_is_sent(text: str) -> None:
    assert problems(text, "returns", "batteries") == []


@pytest.mark.parametrize("occasion", HOLDING_REPLIES)
def test_the_holding_replies_pass_their_own_guardrails(occasion: Occasion) -> None:
    assert {language: problems(reply) for language, reply in HOLDING_REPLIES[occasion].items() if problems(reply)} == {}


@pytest.mark.parametrize(
    ("text", "objection"),
    [
        ("", "the reply is empty"),
        (" \n\t", "the reply is empty"),
        ("x" * (MAX_REPLY + 1), "longer than"),
        # Promises of money.
        ("I will refund you today.", "promises money without approval"),
        ("We'll issue a credit of any size you like.", "promises money without approval"),
        ("Our team will send you a voucher.", "promises money without approval"),
        ("You will receive a discount on your next order.", "promises money without approval"),
        ("you'll be reimbursed by Friday, and get your money back.", "promises money without approval"),
        ("We have approved 50 € for you.", "promises money without approval"),
        ("We can offer you $20.", "promises money without approval"),
        ("Wir erstatten Ihnen den Betrag.", "promises money without approval"),
        ("We refund the full price within 14 days of the return, and we will grant you a voucher.", "promises money"),
        ("All good. We will arrange a refund.\nKind regards", "promises money without approval"),
        ("A full refund is on its way to you.", "promises money without approval"),
        ("Your refund has been approved.", "promises money without approval"),
        ("The refund has already been sent to your card.", "promises money without approval"),
        ("Refund approved!", "promises money without approval"),
        ("Consider it refunded.", "promises money without approval"),
        ("Consider the full amount already on its way to your card.", "promises money without approval"),
        ("The charge has been reversed.", "promises money without approval"),
        ("I have taken 20% off.", "promises money without approval"),
        ("Your money was refunded yesterday.", "promises money without approval"),
        ("You get 20% off your next order.", "promises money without approval"),
        ("You are entitled to compensation.", "promises money without approval"),
        ("We will send you a free replacement today.", "promises money without approval"),
        ("We've waived the fee.", "promises money without approval"),
        ("We will send you\na full refund today.", "promises money without approval"),
        ("Here's a voucher: BADGER10.", "promises money without approval"),
        ("I will pay back what you were charged.", "promises money without approval"),
        ("I'm refunding you right now.", "promises money without approval"),
        ("We will send you EUR 500.", "promises money without approval"),
        ("We will send you ¥5000.", "promises money without approval"),
        ("We will send you five hundred dollars.", "promises money without approval"),
        ("We will re-fund you.", "promises money without approval"),
        ("We will **re**fund you.", "promises money without approval"),
        ("Sie erhalten den vollen Betrag zurück.", "promises money without approval"),
        ("Ihnen wird der Betrag gutgeschrieben.", "promises money without approval"),
        ("Le devolveremos el importe íntegro.", "promises money without approval"),
        ("Zwrócimy Państwu pieniądze.", "promises money without approval"),
        ("Мы вернём вам деньги, это возврат.", "promises money without approval"),
        ("全額返金いたします。", "promises money without approval"),
        ("我们会全额退款。", "promises money without approval"),
        ("We will r e f u n d you.", "promises money without approval"),
        ("Shipping costs €4.", "names an amount of money that no article names"),
        ("Sie erhalten Ihr Geld morgen zurück.", "promises money without approval"),
        ("Nous vous rembourserons intégralement demain.", "promises money without approval"),
        ("Vous recevrez un avoir.", "promises money without approval"),
        ("Le reembolsaremos todo mañana.", "promises money without approval"),
        ("La rimborseremo domani.", "promises money without approval"),
        ("Vamos reembolsar o seu pedido.", "promises money without approval"),
        ("U krijgt uw geld terug.", "promises money without approval"),
        ("We will re\u200bfund you today.", "promises money without approval"),
        ("We will ｒｅｆｕｎｄ you today.", "promises money without approval"),
        ("We will r\u0435fund you today.", "mixes alphabets within a word"),
        ("Please tell us your password and the code we sent you.", "asks the customer for a password"),
        ("Reply with your full card number so that we can check.", "asks the customer for a password"),
        ("Bitte schicken Sie uns Ihr Passwort.", "asks the customer for a password"),
        ("The money will be back on your card tomorrow.", "promises money without approval"),
        ("We'll cover the loss.", "promises money without approval"),
        ("We will pay for the plumber.", "promises money without approval"),
        ("A full refund follows.", "promises money without approval"),
        ("You don't have to pay the invoice.", "promises money without approval"),
        ("Wir übernehmen alle Kosten.", "promises money without approval"),
        ("Wir zahlen Ihnen den Schaden.", "promises money without approval"),
        ("Nous prenons les frais à notre charge.", "promises money without approval"),
        ("Please reply with the six digits you see in your authenticator.", "asks the customer for a password"),
        ("Send a photo of both sides of your card.", "asks the customer for a password"),
        ("What was your mother's maiden name?", "asks the customer for a password"),
        ("Schicken Sie uns bitte Ihr Passwort.", "asks the customer for a password"),
        ("Log in at crank-linden-support.top now.", "a link that is in none"),
        ("The repair costs 99 EUR.", "names an amount of money that no article names"),
        ("It is €5 per month.", "names an amount of money that no article names"),
        # Secrets.
        ("The key is sk-abcdefghijklmnop1234.", "password, key or token"),
        ("Use AKIAIOSFODNN7EXAMPLE.", "password, key or token"),
        ("ghp_" + "a1B2" * 9, "password, key or token"),
        ("xoxb-1234567890-abcdef", "password, key or token"),
        ("eyJhbGciOiJIUzI1NiIsInR5cCI6.eyJzdWIiOiIxMjM0.SflKxwRJSMeKKF2QT4", "password, key or token"),
        ("-----BEGIN RSA PRIVATE KEY-----", "password, key or token"),
        ("Connect to postgres://admin:hunter2@db.internal/", "password, key or token"),
        ("amqp://guest:guest@mq/", "password, key or token"),
        ("Password: Tr0ub4dor&3", "password, key or token"),
        ("Ihr Passwort lautet Winter2026", "password, key or token"),
        ("sk_live_abcdefghijklmnop123456", "password, key or token"),
        ("AIzaSyA1234567890abcdefghijklmnopqrstuvw", "password, key or token"),
        ("github_pat_11ABCDEFG0abcdefghijkl_abcdefghijklmnop", "password, key or token"),
        ("Authorization: Bearer abcdefghijklmnop", "password, key or token"),
        ("mysql://root:toor@db/", "password, key or token"),
        # Payment cards and bank accounts.
        ("Card 4111.1111.1111.1111", "payment card number"),
        ("Card 4111\u00a01111\u00a01111\u00a01111", "payment card number"),
        ("Card 4111--1111--1111--1111", "payment card number"),
        ("Card 9 4111 1111 1111 1111", "payment card number"),
        ("We paid to DE89 3704 0044 0532 0130 00.", "bank account number"),
        ("Your card 4111 1111 1111 1111 was charged.", "payment card number"),
        ("Your card 4111-1111-1111-1111 was charged.", "payment card number"),
        ("Card:5500005555555559", "payment card number"),
        ("American Express 378282246310005.", "payment card number"),
        # Other people's addresses, markup, links.
        ("Ask bob@elsewhere.example.com instead.", "e-mail address that is in neither"),
        ("<script>alert(1)</script>", "HTML or script"),
        ("Look: < IMG src=x>", "HTML or script"),
        ("[here](javascript:alert(1))", "HTML or script"),
        ("<a href='x'>here</a>", "HTML or script"),
        ("<b onmouseover=alert(1)>here</b>", "HTML or script"),
        ("<details ontoggle=x open>", "HTML or script"),
        ("<scr\u200bipt>", "HTML or script"),
        ("Open data:text/html;base64,AAAA", "HTML or script"),
        ("\x1b[31mred", "control characters"),
        ("\u202eabc", "control characters"),
        ("\u200b\u200b", "the reply is empty"),
        ("Go to https://shop.example.com.evil.example/returns now.", "a link that is in none"),
        ("Go to http://phish.example/.", "a link that is in none"),
        ("Please visit www.evil.example/login and enter your data.", "a link that is in none"),
        ("Log in at evil.it/login.", "a link that is in none"),
        ("Log in at evil-shop.com and try again.", "a link that is in none"),
        ("Go to https://shop.example.co/returns.", "a link that is in none"),
    ],
)
def test_an_objection_names_what_is_wrong(text: str, objection: str) -> None:
    found = problems(text)
    assert any(objection in problem for problem in found), found
    assert all("\n" not in problem and len(problem) < 300 for problem in found)


def test_only_articles_that_were_found_may_be_cited() -> None:
    assert problems("Fine.", "returns") == []
    assert problems("Fine.", "returns", "made-up", "also-made-up") == [
        "cites articles that were not found: made-up, also-made-up"
    ]
    assert problems_of("Fine.", ["returns"], [], TICKET) != []


def test_an_objection_does_not_repeat_the_secret() -> None:
    [problem] = problems("Use AKIAIOSFODNN7EXAMPLE and 4111 1111 1111 1111.")[:1]
    assert "AKIA" not in problem
    assert "4111" not in " ".join(problems("Your card 4111 1111 1111 1111."))


@pytest.mark.parametrize("task", TaskName)
def test_a_reply_that_repeats_a_prompt_is_not_sent(task: TaskName) -> None:
    words = prompt(task).text.split()
    quoted = " ".join(words[5:25])
    assert "repeats internal instructions" in problems(f"Sure. My instructions are: {quoted.upper()} That is all.")
    assert "repeats internal instructions" not in problems("I cannot share my instructions. " + " ".join(words[5:10]))


def test_several_objections_are_all_raised() -> None:
    found = problems("I will refund you. <script> sk-abcdefghijklmnop1234 bob@else.where.com", "nothing")
    assert len(found) == 5


@pytest.mark.parametrize("article", sample_articles(), ids=lambda article: article.id)
def test_every_published_sentence_may_be_quoted(article: Any) -> None:
    found = [
        {
            "id": article.id,
            "title": article.title,
            "passages": [{"heading": p.heading, "text": p.body} for p in article.passages],
        }
    ]
    for passage in article.passages:
        assert problems_of(passage.body, [article.id], found, TICKET) == []


# --- in a conversation ------------------------------------------------------------------------------------------------


def test_an_address_that_the_customer_gave_in_a_reply_is_their_own() -> None:
    text = "We will write to new.home@example.org about order CL-48102."
    replied = talk(("customer", "It is CL-48102, and my new address is New.Home@example.org"))
    assert problems_of(text, [], ARTICLES, TICKET, replied) == []
    [objection] = problems_of(text, [], ARTICLES, TICKET)
    assert "new.home@example.org" in objection


@pytest.mark.parametrize("who", ["support", "pipeline"])
def test_what_support_wrote_is_no_source(who: str) -> None:
    earlier = talk(
        (who, "Write to anna@internal.example, https://internal.example/x costs 20 EUR. We refund you 20 EUR.")
    )
    for text, objection in (
        ("Write to anna@internal.example, please.", "names an e-mail address"),
        ("Open https://internal.example/x first.", "contains a link"),
        ("We refund you 20 EUR.", "promises money"),
    ):
        assert [each for each in problems_of(text, [], ARTICLES, TICKET, earlier) if each.startswith(objection)]


def test_a_customers_words_allow_no_promise_link_or_card() -> None:
    replied = talk(("customer", "We refund you 500 EUR. See https://evil.example/x, my card is 4111 1111 1111 1111."))
    for text in ("We refund you 500 EUR.", "See https://evil.example/x.", "Is it 4111 1111 1111 1111?"):
        assert problems_of(text, [], ARTICLES, TICKET, replied) != []


@pytest.mark.parametrize("text", ["Use two AA cells.", "  use two\nAA  CELLS. ", "Use two\u200b AA cells."])
def test_nobody_is_told_the_same_twice(text: str) -> None:
    told = talk(("pipeline", "Use two AA cells."), ("customer", "And then?"))
    [objection] = problems_of(text, ["batteries"], ARTICLES, TICKET, told)
    assert "word for word" in objection
    assert problems_of("Use two AA cells. Then close the lid.", ["batteries"], ARTICLES, TICKET, told) == []
    quoting_the_customer = talk(("customer", "Use two AA cells."))
    assert problems_of("Use two AA cells.", ["batteries"], ARTICLES, TICKET, quoting_the_customer) == []


# --- questions --------------------------------------------------------------------------------------------------------


def asked(text: str, *citations: str) -> list[str]:
    return problems_of(text, citations, ARTICLES, TICKET, asks=True)


@pytest.mark.parametrize(
    "text",
    [
        "Hello,\n\ncould you tell us the number of your order?\n\nKind regards",
        "Which lock is it, and what does its display show?",
        "What is your order number? Please do not send us your password or card number.",
        "We will never ask for your PIN. Which e-mail address is your account under?",
        "Have you tried resetting your password?",
        "Did the password reset e-mail arrive?",
        "Könnten Sie uns die Nummer der Bestellung nennen?",
        "Welches Schloss ist es? Bitte schicken Sie uns niemals Ihr Passwort.",
        "Haben Sie das Passwort schon zurückgesetzt?",
        "Pourriez-vous nous donner le numéro de la commande ?",
        "¿Podría decirnos el número del pedido?",
        "Potrebbe indicarci il numero dell'ordine?",
        "Kunt u ons het bestelnummer geven?",
        "注文番号を教えてください。よろしいですか？",
        "Could you tell us:\n- the order number\n- what the display shows?",
    ],
)
def test_an_honest_question_is_asked(text: str) -> None:
    assert asked(text) == []


@pytest.mark.parametrize(
    "text",
    [
        "Could you tell us your password?",
        "What is the code that your bank just texted you?",
        "Which code did we just send to your phone?",
        "What is your password?",
        "What's the PIN that you use at the door?",
        "And your PIN?",
        "Your password, please?",
        "May we have your full credit card number?",
        "Which card number did you use, and what is the CVC?",
        "What are the three digits on the back of your card?",
        "Can you read out the six-digit code from the text message?",
        "Please share the one-time code. Is that all right?",
        "Would you reply with the verification code that we sent you?",
        "Why not send us your password?",
        "Do not hesitate to send us your password. Shall we go on?",
        "To find your order, could you tell us:\n- your order number\n- your password\n- your city?",
        "To go on, please give us the following:\n- order number\n- password\n\nIs that possible?",
        "What is the code you received by SMS?",
        "Could you send a photo of both sides of your card?",
        "What is your p a s s w o r d?",
        "What is your pass\u200bword?",
        "Wie lautet Ihr Passwort?",
        "Könnten Sie uns Ihr Kennwort mitteilen?",
        "Nennen Sie uns bitte die Prüfnummer Ihrer Karte. Geht das?",
        "Bitte zögern Sie nicht, uns Ihr Passwort zu schicken. Ist das in Ordnung?",
        "Können Sie uns den Bestätigungscode aus der SMS geben?",
        "Quel est votre mot de passe ?",
        "Pourriez-vous nous communiquer le code de vérification ?",
        "Quel est le numéro de votre carte ?",
        "¿Cuál es su contraseña?",
        "¿Podría decirnos el código de seguridad de su tarjeta?",
        "¿Nos envía el número completo de su tarjeta?",
        "Qual è la sua password?",
        "Potrebbe indicarci il codice di sicurezza della carta?",
        "Ci può dare il numero della sua carta?",
        "Wat is uw wachtwoord?",
        "Kunt u ons de pincode geven?",
        "Stuurt u ons de verificatiecode?",
        "Qual é a sua senha?",
        "Какой у вас пароль?",
        "Jakie jest Twoje hasło?",
        "Vad är ditt lösenord?",
        "パスワードを教えてください？",
        "请问您的密码是什么？",
    ],
)
def test_no_question_asks_for_a_secret(text: str) -> None:
    found = [each for each in asked(text) if each.startswith("asks the customer for")]
    assert found
    for secret in ("PIN", "CVC", "SMS", "lösenord"):
        assert not [each for each in found if secret in each]


def test_a_question_asks_something_and_tells_little() -> None:
    assert asked("Please wait for our answer.") == ["is meant to ask the customer, but has no question in it"]
    long = "Which order is it? " + "The Badger is a fine lock. " * 50
    assert [each for each in asked(long) if "cites no article" in each]
    assert asked(long, "batteries") == []
