"""Dead letters over API and command line: how it came to that, and many of them set going at once."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from uuid import UUID, uuid4

import pytest

from tests.support.api import Api, assert_problem
from tests.support.cli import Cli
from tests.support.trails import TTL, at_version, event, fail, new_ticket
from ticketflow.db.commits import Commits
from ticketflow.db.leases import Leases
from ticketflow.db.postgres import PostgresGateway
from ticketflow.db.reads import EVERY, OpenLetter, Reads, Which
from ticketflow.domain.change import Applied
from ticketflow.domain.events import EventType
from ticketflow.services import dead_letters
from ticketflow.services.caller import Caller
from ticketflow.services.dead_letters import LONGEST_HISTORY, history
from ticketflow.services.verify import verify


async def failed(api: Api, leases: Leases, *codes: str) -> list[UUID]:
    """A failed ticket for each code, in this order."""
    tickets = [await api.ticket() for _ in codes]
    for ticket_id, code in zip(tickets, codes, strict=True):
        await fail(api.app.commits, leases, ticket_id, code)
    return tickets


async def letters(api: Api, query: str = "") -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = (await api.http.get(f"/dead-letters{query}")).json()["items"]
    return items


async def redriven(api: Api, **body: Any) -> dict[str, Any]:
    answer = await api.http.post("/dead-letters/redrive", json=body, headers={"X-Request-ID": "bulk-1"})
    assert answer.status_code == 200, answer.text
    done: dict[str, Any] = answer.json()
    return done


async def statuses(api: Api, tickets: list[UUID]) -> list[str]:
    return [(await api.http.get(f"/tickets/{ticket_id}")).json()["status"] for ticket_id in tickets]


async def test_a_dead_letter_tells_how_it_came_to_that_and_who_redrove_it(api: Api, leases: Leases) -> None:
    [ticket_id] = await failed(api, leases, "model_refused")
    [letter] = await letters(api)
    await api.http.post(f"/dead-letters/{letter['id']}/redrive", headers={"X-Request-ID": "mine"})
    await fail(api.app.commits, leases, ticket_id, "model_timeout")

    story = (await api.http.get(f"/dead-letters/{letter['id']}")).json()
    assert (story["redriven_by"], story["redriven_request_id"]) == ("admin:local", "mine")
    told = [
        (each["event_type"], each["status"], each["attempt"], each["step"], each["code"]) for each in story["history"]
    ]
    assert told == [
        ("created", "pending", 1, None, None),
        ("status_change", "processing", 1, None, None),
        ("error", None, 1, "classify", "model_refused"),
        ("status_change", "failed_permanent", 1, None, None),
        ("retry", "pending", 2, None, "manual"),
        ("status_change", "processing", 2, None, None),
        ("error", None, 2, "classify", "model_timeout"),
        ("status_change", "failed_permanent", 2, None, None),
    ]
    assert story["history"][4]["request_id"] == "mine"
    [again] = await letters(api)
    assert (await api.http.get(f"/dead-letters/{again['id']}")).json()["redriven_request_id"] is None


async def test_a_long_history_is_told_from_its_end(api: Api, leases: Leases) -> None:
    [ticket_id] = await failed(api, leases, "model_refused")
    events = await api.app.reads.events(ticket_id)
    assert events is not None
    told = history(events * 40)
    assert len(told) == LONGEST_HISTORY
    assert told[-1].status == "failed_permanent"


async def test_many_are_redriven_oldest_first_and_no_more_than_asked_for(api: Api, leases: Leases) -> None:
    tickets = await failed(api, leases, *["model_timeout"] * 5)
    ids = [letter["id"] for letter in await letters(api)][::-1]
    assert await redriven(api, limit=2) == {"redriven": 2, "skipped": 0, "remaining": 3, "items": ids[:2]}
    assert await statuses(api, tickets) == ["pending"] * 2 + ["failed_permanent"] * 3
    for ticket_id, letter_id in zip(tickets[:2], ids, strict=False):
        last = (await api.http.get(f"/tickets/{ticket_id}/events")).json()["items"][-1]
        assert (last["event_type"], last["actor"], last["request_id"]) == ("retry", "admin:local", "bulk-1")
        assert (last["payload"]["reason"], last["payload"]["dead_letter"]) == ("manual", letter_id)
    by_itself = await api.http.post(f"/dead-letters/{ids[2]}/redrive", headers={"X-Request-ID": "bulk-1"})
    assert by_itself.status_code == 200
    alone, bulk = [
        (await api.http.get(f"/tickets/{ticket_id}/events")).json()["items"][-1]
        for ticket_id in (tickets[2], tickets[0])
    ]
    own = {"id", "ticket_id", "created_at", "payload"}
    assert {name: alone[name] for name in alone.keys() - own} == {name: bulk[name] for name in bulk.keys() - own}
    assert alone["payload"].keys() == bulk["payload"].keys()
    assert await redriven(api) == {"redriven": 2, "skipped": 0, "remaining": 0, "items": ids[3:]}
    assert not (await verify(api.app.reads)).violations


async def test_they_are_chosen_by_kind_and_reason_and_the_rest_remains(api: Api, leases: Leases) -> None:
    tickets = await failed(api, leases, "model_timeout", "model_refused", "model_timeout")
    message = uuid4()
    await api.app.reads.record_dead_message(message, None, "message", "not JSON", {"body": "{"})
    assert [letter["reason"] for letter in await letters(api, "?reason=model_timeout")] == ["model_timeout"] * 2
    assert [letter["id"] for letter in await letters(api, "?kind=message")] == [str(message)]
    assert await letters(api, "?kind=message&reason=model_timeout") == []
    done = await redriven(api, reason="model_timeout", kind="ticket")
    assert (done["redriven"], done["remaining"]) == (2, 0)
    assert await statuses(api, tickets) == ["pending", "failed_permanent", "pending"]
    assert (await redriven(api, kind="message"))["items"] == [str(message)]
    assert [letter["reason"] for letter in await letters(api)] == ["model_refused"]


async def test_they_go_through_in_batches_and_messages_wake_what_still_waits(
    api: Api, leases: Leases, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dead_letters, "BATCH", 2)
    tickets = await failed(api, leases, *["model_timeout"] * 3)
    waits = await api.ticket()
    for ticket_id in (waits, tickets[1]):
        await api.app.reads.record_dead_message(uuid4(), ticket_id, "message", "delivery limit", {})
    before = (await api.rows())["outbox"]
    done = await redriven(api)
    assert (done["redriven"], done["skipped"], done["remaining"]) == (4, 0, 0)
    # A ticket that is set going closes its message too, in whichever batch that would have come.
    assert (await api.rows())["outbox"] == before + 4
    assert not (await verify(api.app.reads)).violations


async def test_a_ticket_that_changes_meanwhile_is_skipped_and_not_half_done(
    api: Api, leases: Leases, monkeypatch: pytest.MonkeyPatch
) -> None:
    tickets = await failed(api, leases, *["model_timeout"] * 3)
    look = Reads.open_dead_letters

    async def and_then_somebody_is_first(reads: Reads, *args: Any, **options: Any) -> list[OpenLetter]:
        page = await look(reads, *args, **options)
        if page:
            assert page[1].ticket is not None
            note = at_version(tickets[1], page[1].ticket.version, event(EventType.ERROR))
            assert isinstance(await api.app.commits.apply(note), Applied)
        return page

    monkeypatch.setattr(Reads, "open_dead_letters", and_then_somebody_is_first)
    done = await redriven(api)
    monkeypatch.undo()
    assert (done["redriven"], done["skipped"], done["remaining"]) == (2, 1, 1)
    assert await statuses(api, tickets) == ["pending", "failed_permanent", "pending"]
    [letter] = await letters(api)
    assert (letter["ticket_id"], letter["redriven_at"]) == (str(tickets[1]), None)


async def test_two_who_redrive_the_same_at_once_start_one_attempt_each(api: Api, leases: Leases) -> None:
    tickets = await failed(api, leases, *["model_timeout"] * 20)
    many = api.app.dead_letters.redrive_many
    both = await asyncio.gather(*(many(EVERY, 100, Caller(f"r-{number}")) for number in range(2)))
    assert sorted(letter_id for done in both for letter_id in done.ids) == sorted(
        {letter_id for done in both for letter_id in done.ids}
    )
    assert sum(len(done.ids) for done in both) == 20
    for ticket_id in tickets:
        ticket = (await api.http.get(f"/tickets/{ticket_id}")).json()
        assert (ticket["status"], ticket["attempt"]) == ("pending", 2)
    assert not (await verify(api.app.reads)).violations


@pytest.mark.parametrize(
    ("body", "field"),
    [({"limit": 0}, "limit"), ({"limit": 1001}, "limit"), ({"limit": "5"}, "limit"), ({"kind": "x"}, "kind"),
     ({"reason": ""}, "reason"), ({"reason": "a\u0000"}, "reason"), ({"reasons": "x"}, "reasons")],
)  # fmt: skip
async def test_what_cannot_be_meant_is_refused(api: Api, leases: Leases, body: dict[str, Any], field: str) -> None:
    await failed(api, leases, "model_timeout")
    assert_problem(await api.http.post("/dead-letters/redrive", json=body), 422, "invalid", field)
    assert len(await letters(api)) == 1


async def test_the_command_line_redrives_by_id_or_by_reason(cli: Cli, gateway: PostgresGateway) -> None:
    commits, leases, reads = Commits(gateway), Leases(gateway, "worker-1", TTL, ["1"]), Reads(gateway)
    tickets = [await new_ticket(commits) for _ in range(6)]
    codes = ["model_timeout"] * 4 + ["model_refused"] * 2
    for ticket_id, code in zip(tickets, codes, strict=True):
        await fail(commits, leases, ticket_id, code)
    oldest = [str(letter.id) for letter in (await reads.dead_letters(limit=9))[::-1]]
    nobody = str(uuid4())

    by_id = cli("dead-letters", "redrive", oldest[0], nobody, oldest[1])
    assert by_id.returncode == 1
    assert [line.split()[0] for line in by_id.stdout.splitlines()] == oldest[:2]
    assert by_id.stderr == f"ticketflow: {nobody}: no dead letter has this id\n"
    first = cli("dead-letters", "redrive", "--all", "--reason", "model_timeout", "--limit", "1")
    assert first.stdout == "1 dead letter redriven, 0 skipped, 1 remaining\n"
    rest = cli.json("dead-letters", "redrive", "--all", "--kind", "ticket", "--json")
    assert rest == {"redriven": 3, "skipped": 0, "remaining": 0, "items": oldest[3:]}
    wrong = cli.at_once(
        ("dead-letters", "redrive"),
        ("dead-letters", "redrive", oldest[0], "--all"),
        ("dead-letters", "redrive", oldest[0], "--limit", "3"),
        ("dead-letters", "list", "--kind", "ghost"),
    )
    assert [done.returncode for done in wrong] == [2] * 4
    assert await reads.dead_letters_left(Which()) == 0


async def test_the_command_line_shows_a_dead_letters_story(cli: Cli, gateway: PostgresGateway) -> None:
    commits, leases, reads = Commits(gateway), Leases(gateway, "worker-1", TTL, ["1"]), Reads(gateway)
    ticket_id = await new_ticket(commits)
    await fail(commits, leases, ticket_id)
    [letter] = await reads.dead_letters(limit=2)
    assert cli("dead-letters", "redrive", str(letter.id)).returncode == 0
    page, as_json, filtered = cli.at_once(
        ("dead-letters", "show", str(letter.id)),
        ("dead-letters", "show", str(letter.id), "--json"),
        ("dead-letters", "list", "--include-redriven", "--reason", "model_refused", "--json"),
    )
    story = json.loads(as_json.stdout)
    assert [each["id"] for each in json.loads(filtered.stdout)] == [str(letter.id)]
    assert f"by admin:local, request {story['redriven_request_id']}" in page.stdout
    lines = page.stdout.splitlines()
    told = [line.split() for line in lines[lines.index("History") + 2 : lines.index("Payload") - 1]]
    assert [line[3] for line in told] == ["created", "processing", "error", "failed_permanent", "retry"]
    assert [line[0] for line in told] == [str(each["seq"]) for each in story["history"]]
    assert any({"error", "classify", "model_refused"} <= set(line) for line in told)
    assert '"step": "classify"' in page.stdout


async def test_a_filter_in_the_wrong_place_redrives_nothing(api: Api, leases: Leases) -> None:
    ticket_id = await api.ticket()
    await fail(api.app.commits, leases, ticket_id)
    [letter] = await letters(api)
    assert_problem(await api.http.post("/dead-letters/redrive?reason=x&limit=1", json={}), 422, "invalid", "reason")
    assert_problem(await api.http.post("/dead-letters/redrive"), 422, "invalid")
    assert_problem(await api.http.post(f"/dead-letters/{letter['id']}/redrive?dry_run=1"), 422, "invalid", "dry_run")
    assert_problem(await api.http.get("/stats?x=1"), 422, "invalid", "x")
    assert await statuses(api, [ticket_id]) == ["failed_permanent"]
