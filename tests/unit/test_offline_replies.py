"""What a customer of the sample shop reads when no model is configured: fitting passages, or a person."""

from __future__ import annotations

from functools import cache
from types import SimpleNamespace
from typing import Any, cast

import pytest

from ticketflow.domain.tickets import Ticket
from ticketflow.llm.rules.classify import classify
from ticketflow.llm.rules.compose import draft
from ticketflow.llm.rules.extract import extract
from ticketflow.llm.rules.phrases import VOICES
from ticketflow.llm.rules.review import review
from ticketflow.samples import articles, tickets
from ticketflow.workflow.guardrails import problems_of


@cache
def shop() -> list[dict[str, Any]]:
    """All articles with all their passages at once, which is harder than what research would hand over."""
    return [
        {
            "id": article.id,
            "title": article.title,
            "score": 1.0,
            "passages": [{"heading": passage.heading, "text": passage.body} for passage in article.passages],
        }
        for article in articles()
    ]


def material(subject: str, body: str, library: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    asked: dict[str, Any] = {"ticket": {"subject": subject, "body": body}}
    asked["classification"] = classify(asked)
    asked["extraction"] = extract(asked)
    return {**asked, "articles": shop() if library is None else library, "history": [], "revision": None}


def sample(subject: str) -> dict[str, Any]:
    [found] = [each for each in tickets() if each["subject"] == subject]
    return material(found["subject"], found["body"])


def reviewed(asked: dict[str, Any], made: dict[str, Any]) -> dict[str, Any]:
    """As the review sees it: it is not told what the steps before it found."""
    return review({"ticket": asked["ticket"], "articles": asked["articles"], "draft": made})


# --- which passages are quoted ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("subject", "cited", "says", "never_says"),
    [
        (
            "Repair of a six-year-old Cuckoo",
            ["repair-service"],
            ["mainspring included, are covered for ten years", "Repairs > New repair", "About 10 working days"],
            ["after the warranty"],
        ),
        ("Warranty for my Heron, motor stopped", ["warranty-claims"], ["Three years from the day of delivery"], []),
        ("Delete my account and all my data", ["delete-account"], ["Privacy > Delete account", "Download my data"], []),
        ("Keeper renewal declined, new card", ["keeper-plan"], ["three times within 10 days"], ["withdraw"]),
        ("Gift card code <b>not accepted</b>", ["gift-cards"], ["Code unknown"], ["discount code"]),
        ("Charged twice for one order", ["payment-problems"], ["A reservation is not a charge"], ["Keeper"]),
        ("My clock is in a hurry", ["cuckoo-timekeeping"], ["small nut", "cannot overwind"], ["Burrow", "Linden app"]),
        ("Cancel my Keeper", ["cancel-keeper"], ["Choose End plan", "not refunded for a part of a month"], []),
        (
            "Wrong delivery address on the order I just placed!",
            ["change-or-cancel-order"],
            ["Change address", "Cancel order"],
            ["Account > Profile"],
        ),
    ],
)
def test_a_sample_is_answered_with_what_it_asks_for(
    subject: str, cited: list[str], says: list[str], never_says: list[str]
) -> None:
    asked = sample(subject)
    made = draft(asked)
    assert made["citations"] == cited
    assert [part for part in says if part.lower() not in made["text"].lower()] == []
    assert [part for part in never_says if part in made["text"]] == []
    assert reviewed(asked, made)["verdict"] == "approve"


def test_the_passage_that_is_asked_for_comes_first() -> None:
    text = draft(sample("wrong colour, want to swop"))["text"]
    assert text.index("Start an exchange:") < text.index("We sent the wrong item:")
    text = draft(sample("Burrow seit Routerwechsel offline"))["text"]
    assert text.index("Change Wi-Fi") < text.index("Unplug the Burrow")


@pytest.mark.parametrize("question", ["I forgot my password, how do I reset it?", "How do I reset my password?"])
def test_a_short_question_is_answered_with_a_section_and_not_with_an_introduction(question: str) -> None:
    made = draft(material(question, question))
    assert made["citations"] == ["reset-password"]
    assert "Choose Forgot password?" in made["text"]
    assert "most common thing we are asked" not in made["text"]


def test_what_is_refused_is_not_what_is_asked_for() -> None:
    body = "I would like to return the clock: is the label free? I no longer want a replacement or a spare part."
    assert draft(material("Return", body))["citations"] == ["return-an-order"]
    accepting = draft(material("Return", body.replace("I no longer", "I")))
    assert accepting["citations"][0] == "damaged-on-arrival"


def test_where_a_refund_is_is_no_matter_of_parcels_that_come_back() -> None:
    asked = material("Where is my refund", "I returned the parcel last week, order CL-48101.")
    made = draft(asked)
    assert made["citations"] == ["refund-timing"]
    assert "look at the return status" in made["text"]
    without = {**asked, "articles": [each for each in shop() if each["id"] == "delivery-and-tracking"]}
    assert draft(without)["citations"] == []


@pytest.mark.parametrize("subject", ["Price", "Question", "Badger", "What does the Badger cost?"])
def test_a_price_that_no_article_has_is_for_a_person(subject: str) -> None:
    asked = material(subject, "What does the Badger cost?")
    made = draft(asked)
    assert made["citations"] == []
    assert reviewed(asked, made)["verdict"] == "escalate"


def test_a_passage_with_the_price_of_the_product_answers() -> None:
    passages = [{"heading": "Price", "text": "The price of a Badger: it costs the same in every colour."}]
    library = [{"id": "badger-price", "title": "Badger price", "score": 1.0, "passages": passages}]
    assert draft(material("Price", "What does the Badger cost?", library))["citations"] == ["badger-price"]


def test_advice_about_another_product_comes_last() -> None:
    def about(name: str) -> dict[str, Any]:
        text = f"The {name} battery lasts a year. Charge the {name} battery overnight."
        passages = [{"heading": "Charge the battery", "text": text}]
        return {"id": name.lower(), "title": f"{name} battery", "score": 1.0, "passages": passages}

    library = [about("Falcon"), about("Gecko"), about("Ibex")]
    made = draft(material("Gecko battery", "How long do I charge the battery of my Gecko?", library))
    assert made["citations"] == ["gecko"]


# --- the sentences around them ----------------------------------------------------------------------------------------


def test_an_english_reply_begins_its_sentence_with_a_capital() -> None:
    assert draft(sample("Cancel my Keeper"))["text"].startswith("Hello,\n\nThank you")
    assert draft(sample("Burrow seit Routerwechsel offline"))["text"].startswith("Guten Tag,\n\nvielen Dank")


@pytest.mark.parametrize(("subject", "payment"), [("Cancel my Keeper", False), ("Charged twice for one order", True)])
def test_only_a_payment_is_called_one(subject: str, payment: bool) -> None:
    assert ("about your payment" in draft(sample(subject))["text"]) == payment


def test_an_article_in_another_language_is_announced_as_such() -> None:
    assert "liegt auf Englisch vor" in draft(sample("Burrow seit Routerwechsel offline"))["text"]
    assert "English" not in draft(sample("Cancel my Keeper"))["text"]


@pytest.mark.parametrize("language", VOICES)
def test_no_guardrail_objects_to_a_sentence_of_our_own(language: str) -> None:
    speaks = VOICES[language]
    filled = {"order": speaks.order.format(id="CL-48102"), "title": "Help", "language": speaks.languages["en"]}
    own = [
        *speaks.thanks.values(),
        speaks.greeting,
        speaks.quoting,
        speaks.foreign,
        speaks.more,
        speaks.closing,
        speaks.holding,
        speaks.regards,
    ]
    ticket = cast(Ticket, SimpleNamespace(subject="Help", body="Order CL-48102", customer_email=None))
    assert [line for line in own if problems_of(line.format(**filled), [], [], ticket)] == []


# --- the review measures ----------------------------------------------------------------------------------------------


def test_a_draft_that_passes_over_most_of_the_question_is_escalated() -> None:
    asked = material(
        "Firmware update",
        "Which compiler and kernel do you use for the firmware update, who signs the images, is there a changelog, and "
        "could an auditor of ours read the source, the licence and the bootloader before an update is installed?",
    )
    found = reviewed(asked, draft(asked))
    assert found["verdict"] == "escalate"
    assert "% of what the ticket asks for" in found["problems"][0]


def test_the_scores_follow_what_was_measured() -> None:
    asked = sample("Repair of a six-year-old Cuckoo")
    made = draft(asked)
    whole = reviewed(asked, made)["scores"]
    part = reviewed(asked, {**made, "text": made["text"].split("Quote and cost:")[0]})["scores"]
    padded = reviewed(asked, {**made, "text": f"{made['text']}\n\n{made['text']}"})["scores"]
    nothing = reviewed(asked, {"text": "A colleague will read your message.", "citations": []})["scores"]
    assert nothing["accuracy"] == 0 < part["accuracy"] < whole["accuracy"] < 1
    assert padded["tone"] < whole["tone"] < part["tone"]
