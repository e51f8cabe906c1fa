"""What the rules understand of a ticket, and which tickets they leave to a person."""

from __future__ import annotations

from typing import Any

import pytest

from ticketflow.llm.rules.classify import classify
from ticketflow.llm.rules.compose import draft
from ticketflow.llm.rules.concerns import concern
from ticketflow.llm.rules.extract import extract
from ticketflow.llm.rules.review import review
from ticketflow.samples import articles
from ticketflow.workflow.holding import Occasion, occasion


def material(subject: str, body: str) -> dict[str, Any]:
    asked: dict[str, Any] = {"ticket": {"subject": subject, "body": body}}
    asked["classification"] = classify(asked)
    asked["extraction"] = extract(asked)
    return {**asked, "articles": SHOP, "history": [], "revision": None}


def reviewed(asked: dict[str, Any], made: dict[str, Any]) -> dict[str, Any]:
    return review({"ticket": asked["ticket"], "articles": asked["articles"], "draft": made})


SHOP = [
    {
        "id": article.id,
        "title": article.title,
        "score": 1.0,
        "passages": [{"heading": passage.heading, "text": passage.body} for passage in article.passages],
    }
    for article in articles()
]


# --- what is for a person ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "issue", "priority"),
    [
        ("Somebody is in my account and changed the email address.", "account_security", "urgent"),
        ("I think I was hacked, my password stopped working.", "account_security", "urgent"),
        ("Someone else logged in from another country and reset my password.", "account_security", "urgent"),
        ("This is the third time I am writing. Where is my refund?", "complaint", "high"),
        ("If I get no refund I will have my bank reverse the payment.", "complaint", "medium"),
        ("I already wrote twice about the password reset and nobody answers me.", "complaint", "medium"),
        ("My lawyer will write to you about the refund.", "legal", "high"),
        ("I am going to the press with this refund story.", "legal", "medium"),
        ("The Heron fell down and my son was injured, I want a refund.", "safety", "urgent"),
        ("Das Konto wurde gehackt, das Passwort geht nicht mehr.", "account_security", "urgent"),
    ],
)
def test_some_matters_go_to_a_person_whatever_the_articles_say(body: str, issue: str, priority: str) -> None:
    asked = material("Question", body)
    made = draft(asked)
    found = reviewed(asked, made)
    assert asked["extraction"]["issue_type"] == issue
    assert asked["classification"]["priority"] == priority
    assert made["citations"] == []
    assert found["verdict"] == "escalate"
    assert found["problems"][0].startswith("the ticket needs a person")


@pytest.mark.parametrize(
    "body",
    [
        "My Badger smells of burning and there is smoke coming out of it",
        "There is smoke coming out of my Badger",
        "Sparks fly from the plug of the Burrow",
        "I smell gas near the Otter",
        "The charger burned my hand",
        "The Heron motor gets so hot it melted the curtain",
        "The Heron motor gets so hot that I cannot touch it",
        "I am locked in my flat, the Badger does not open from inside",
        "My Burrow hub is on fire right now",
        "I got an electric shock",
        "The smoke detector rang, then smoke filled the kitchen",
        "Aus meinem Badger kommt Rauch und es riecht verbrannt",
        "Aus der Steckdose sprühen Funken",
        "De la fumée sort de mon Badger",
        "Mon Otter sent le gaz",
        "Sale humo del Badger y huele a quemado",
        "Esce fumo dal mio Badger",
        "Er komt rook uit mijn Badger",
    ],
)
def test_danger_is_urgent_and_for_a_person(body: str) -> None:
    asked: dict[str, Any] = {"ticket": {"subject": "Question", "body": body}}
    found = classify(asked)
    issue = extract({**asked, "classification": found})["issue_type"]
    assert (found["priority"], issue) == ("urgent", "safety")
    assert occasion(found["priority"], issue) is Occasion.HARM


@pytest.mark.parametrize(
    "body",
    [
        "Where are the smoke detector settings?",
        "I have a burning question about my order.",
        "There is a fire sale in your shop, does it end on Sunday?",
        "The app does not open in Firefox.",
        "Does the app run on Fire tablets such as my Kindle Fire?",
        "The lock feels warm.",
        "I have a gas boiler, does the Otter fit?",
        "My Burrow in brand new condition does not pair.",
        "The Cuckoo sings too early.",
        "My key is stuck inside the lock.",
        "Is the smoked oak Cuckoo in stock?",
        "Je voudrais relier mon détecteur de fumée.",
    ],
)
def test_a_word_of_danger_with_another_meaning_is_none(body: str) -> None:
    assert concern("Question", body) is None
    assert classify({"ticket": {"subject": "Question", "body": body}})["priority"] in ("low", "medium")


@pytest.mark.parametrize(
    "body",
    [
        "I tried three times to reset my password, the email never comes.",
        "I press Forgot password and wait for the reset email, it does not arrive.",
        "The reset email does not arrive, I asked for the link a second time.",
    ],
)
def test_an_ordinary_question_is_answered(body: str) -> None:
    asked = material("Password reset", body)
    made = draft(asked)
    assert made["citations"] == ["reset-password"]
    assert reviewed(asked, made)["verdict"] == "approve"


@pytest.mark.parametrize(
    ("subject", "body", "thanks"),
    [
        ("Re: Password reset", "Thank you, that solved it.", True),
        ("Thanks!", "It works again now, great support.\n\nAnna Weber", True),
        ("Re: Burrow", "Vielen Dank, das hat geklappt", True),
        ("Cancel my Keeper", "Thank you!", False),
        ("Thanks", "Thanks for nothing", False),
        ("Re: Password reset", "Thanks, but it does not work.", False),
        ("Thanks", "Thanks. Is there anything else?", False),
        ("", "", False),
    ],
)
def test_a_thank_you_is_told_from_a_question(subject: str, body: str, thanks: bool) -> None:
    asked = material(subject, body)
    assert (asked["extraction"]["issue_type"] == "thanks") == thanks
    problems = reviewed(asked, draft(asked))["problems"]
    assert ("the ticket asks for nothing, it says thank you" in problems) == thanks


def test_a_denial_ends_with_its_sentence() -> None:
    assert classify({"ticket": {"subject": "", "body": "The door does not open. URGENT"}})["priority"] == "urgent"
    assert classify({"ticket": {"subject": "", "body": "This is not urgent."}})["priority"] == "low"


# --- what is understood -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("subject", "body"), [("x", "y"), ("Alarm y", "de la"), ("Cuckoo", "My plants die"), ("Heron E", "o e a y")]
)
def test_a_stray_word_is_no_language(subject: str, body: str) -> None:
    language = classify({"ticket": {"subject": subject, "body": body}})["language"]
    assert language == ("en" if body != "de la" else language)


@pytest.mark.parametrize(
    ("subject", "body", "product"),
    [
        ("LOCKED OUT - Badger not opening", "badger doesnt answer in the app", "Badger"),
        ("Running late", "I have had my Cuckoo since spring and it gains ten minutes.", "Cuckoo"),
        ("Invoice", "Please send it to:\n\nStudio Ferreira\nRua das Flores 12, Porto", None),
        ("Umzug", "Ich wohne jetzt An der Alster 12, Hamburg.", None),
        ("Wo ist mein Paket", "Meine Bestellung CL-48999 fehlt.", None),
        ("Do you ship to Iceland?", "We live in Iceland.", None),
    ],
)
def test_a_product_is_found_where_it_stands_and_a_street_is_none(subject: str, body: str, product: str | None) -> None:
    assert material(subject, body)["extraction"]["product"] == product
