"""The sample shop's tickets, answered by the offline rules from what PostgreSQL finds: what each customer reads."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from tests.support.api import settings_for
from tests.support.conversation import talk
from ticketflow import samples, wiring
from ticketflow.domain.tickets import Category, Channel, Priority, Status, Ticket
from ticketflow.llm.offline import OfflineModel
from ticketflow.llm.port import Usage
from ticketflow.workflow.graph import compile_graph
from ticketflow.workflow.holding import HOLDING_REPLIES, Occasion
from ticketflow.workflow.state import FLOW_VERSION, RunContext, StepName, StepReport

NOW = datetime(2026, 1, 1, tzinfo=UTC)
FOR_A_PERSON = {
    "LOCKED OUT - Badger not opening": Occasion.URGENT,
    "URGENT: all door locks offline after firmware update tonight": Occasion.URGENT,
    "No water in the whole building, Otter will not open": Occasion.URGENT,
    "Somebody is in my account": Occasion.URGENT,
    "THREE WEEKS and still no refund!!!": Occasion.COMPLAINT,
    "Heron fell from the wall and hurt my mother": Occasion.HARM,
    "Badger": Occasion.HARM,
    "Price": Occasion.REQUEST,
    "200 Woodpeckers for a hotel group": Occasion.REQUEST,
    "Dormouse rings 40 minutes late": Occasion.REQUEST,
    "Local API or MQTT on the Burrow?": Occasion.REQUEST,
}
SAID = {
    "Delete my account and all my data": [
        "Download my data",
        "Privacy > Delete account",
        "as long as tax law requires",
    ],
    "Repair of a six-year-old Cuckoo": ["Repairs > New repair", "mainspring included, are covered for ten years"],
    "Warranty for my Heron, motor stopped": ["Warranty claim", "Three years from the day of delivery"],
    "Burrow seit Routerwechsel offline": ["liegt auf Englisch vor", "Change Wi-Fi"],
}
MORE: list[dict[str, Any]] = [
    {"subject": subject, "body": body, "customer_id": "cust-1", "channel": "email"}
    for subject, body in (
        ("Where is my refund", "I returned the parcel last week, order CL-48101."),
        ("Price", "What does the Badger cost?"),
        ("Badger", "There is smoke coming out of my Badger"),
    )
]


STILL = ("Where is it", "The tracking of my parcel hasn't moved since last Monday.")


class Silent:
    """Records nothing and counts nothing."""

    def begin(self, step: StepName) -> None: ...

    def spend(self, usage: Usage) -> None: ...

    def record(self, report: StepReport) -> None: ...


async def test_every_sample_gets_a_fitting_answer_or_a_person(database_url: str) -> None:
    async with wiring.connected(settings_for(database_url), auto_migrate=False) as app:
        await app.library.add(samples.articles())
        tools, graph = wiring.tools(app, OfflineModel()), compile_graph()
        results: dict[str, dict[str, Any]] = {}
        for sample in [*samples.tickets(), *MORE]:
            context = RunContext(ticket=_ticket(sample), tools=tools, recorder=Silent())
            state = await graph.ainvoke({"flow_version": FLOW_VERSION}, context=context)
            results[sample["subject"]] = state["finalize"]
    for subject, occasion in FOR_A_PERSON.items():
        assert results[subject]["disposition"] == "escalated", subject
        assert results[subject]["reply"] == HOLDING_REPLIES[occasion]["en"], subject
    for subject, parts in SAID.items():
        assert [part for part in parts if part not in results[subject]["reply"]] == [], subject
    assert {each["article_id"] for each in results["Where is my refund"]["sources"]} <= {"refund-timing"}
    answered = [subject for subject, result in results.items() if result["disposition"] == "answered"]
    assert len(answered) >= 20
    assert all(result["sources"] for subject, result in results.items() if subject in answered)


async def test_a_conversation_goes_from_question_to_answer_to_thanks_or_to_a_person(database_url: str) -> None:
    async with wiring.connected(settings_for(database_url), auto_migrate=False) as app:
        await app.library.add(samples.articles())
        tools, graph = wiring.tools(app, OfflineModel()), compile_graph()
        sample = {"subject": STILL[0], "body": STILL[1], "customer_id": "cus_1", "channel": "web"}

        async def run(*said: tuple[str, str]) -> dict[str, Any]:
            context = RunContext(ticket=_ticket(sample), tools=tools, recorder=Silent(), conversation=talk(*said))
            state = await graph.ainvoke({"flow_version": FLOW_VERSION}, context=context)
            result: dict[str, Any] = state["finalize"]
            return result

        asked = await run()
        assert (asked["disposition"], asked["sources"]) == ("asked", [])
        assert "number of the order" in asked["reply"]
        said = ("pipeline", asked["reply"]), ("customer", "It is CL-48102")
        answered = await run(*said)
        assert answered["disposition"] == "answered"
        assert [each["article_id"] for each in answered["sources"]] == ["delivery-and-tracking"]
        assert "CL-48102" in answered["reply"]
        said = *said, ("pipeline", answered["reply"])
        thanked = await run(*said, ("customer", "Thank you, it works now!"))
        assert thanked["reply"] == HOLDING_REPLIES[Occasion.THANKS]["en"]
        unsettled = await run(*said, ("customer", "That did not help."))
        assert (unsettled["disposition"], unsettled["reply"]) == (
            "escalated",
            HOLDING_REPLIES[Occasion.COMPLAINT]["en"],
        )
        again = await run(*said, ("customer", "Where is it?"))
        assert (again["disposition"], again["reply"]) == ("escalated", HOLDING_REPLIES[Occasion.REQUEST]["en"])


def _ticket(sample: dict[str, Any]) -> Ticket:
    return Ticket(
        id=uuid4(),
        customer_id=sample["customer_id"],
        subject=sample["subject"],
        body=sample["body"],
        channel=Channel(sample["channel"]),
        status=Status.PROCESSING,
        version=2,
        attempt=1,
        flow_version=FLOW_VERSION,
        created_at=NOW,
        updated_at=NOW,
        category=Category(sample["category"]) if "category" in sample else None,
        priority=Priority(sample["priority"]) if "priority" in sample else None,
        vip=sample.get("vip", False),
        tags=tuple(sample.get("tags", ())),
    )
