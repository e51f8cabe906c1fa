"""What the demo counts: it must see a loss where there is one."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from ticketflow.bench.stand_ins import ticket as some_ticket
from ticketflow.cli.demo.beside import Interruption, PlainLoop
from ticketflow.cli.demo.crash import Held, Kill, Running
from ticketflow.cli.demo.job import Job, answers_in
from ticketflow.cli.demo.pace import Pace
from ticketflow.cli.demo.plan import Plan, moments
from ticketflow.cli.demo.report import print_report, proven, report
from ticketflow.cli.demo.trails import holder
from ticketflow.domain.events import Event
from ticketflow.domain.tickets import Status
from ticketflow.llm.port import Question
from ticketflow.llm.tasks import Classification, TaskName
from ticketflow.services.verify import Verdict
from ticketflow.settings import Settings

RESULT = {"disposition": "answered", "reply": "Here is how.", "sources": [], "usage": {"cost_usd": 0.0}}


class Trail(list[Event]):
    """A ticket's trail, written an event at a time."""

    def __init__(self, ticket_id: UUID) -> None:
        super().__init__()
        self.ticket_id = ticket_id

    def add(self, kind: str, payload: dict[str, Any] | None = None, step: str | None = None, **changes: Any) -> Trail:
        seq = len(self) + 1
        self.append(
            Event(seq, self.ticket_id, seq, kind, step, "pipeline", payload or {}, changes, None, datetime.now(UTC))
        )
        return self

    def step(self, name: str, round: int = 1, model: str | None = "m") -> Trail:
        asked = "classify" if name == "extract" else name
        told = {"round": round, "model": model, "prompt_version": f"{asked}-1" if model else None}
        return self.add("step_complete", told, name)


def finished(ticket_id: UUID) -> Trail:
    trail = Trail(ticket_id).add("created", status="pending")
    trail.add("status_change", {"worker": "host:11:aa"}, status="processing").step("classify")
    trail.add("retry", {"reason": "takeover", "worker": "host:12:bb", "previous_worker": "host:11:aa"})
    trail.step("extract").step("research", model=None).step("draft").step("review").step("draft", 2).step("review", 2)
    return trail.step("finalize", model=None).add("status_change", status="completed", result=dict(RESULT))


def a_run(count: int = 2) -> tuple[Plan, Running]:
    """A run as it ends well: one worker was killed with the first ticket in hand."""
    tickets = [replace(some_ticket(), status=Status.COMPLETED, result=dict(RESULT)) for _ in range(count)]
    now = Running(ids=[ticket.id for ticket in tickets], tickets=tickets, calls=5 * count + 1, seconds=4.0)
    now.trails = {ticket.id: finished(ticket.id) for ticket in tickets}
    now.kills = [Kill(11, "host:11:aa", 0.5, [Held(0, now.ids[0], 1, by=12, after=2.25)])]
    now.verdict = Verdict(count, 12 * count, ())
    return Plan(Job(Settings(), Pace(0.2, 0.4), count), 7, moments(7, count)), now


def test_a_run_in_which_all_went_well_is_proof() -> None:
    plan, now = a_run()
    figures = report(plan, now, None)
    assert proven(plan, figures)
    assert (figures["lost"], figures["steps_repeated"], figures["results_per_ticket"]) == (0, 0, {"1": 2})
    assert (figures["taken_over"], figures["held"], figures["longest_pause_seconds"]) == (1, 1, 2.25)
    assert (figures["model_calls"], figures["model_calls_in_vain"]) == (11, 1)
    assert figures["loop"] is None


def unfinished(now: Running) -> None:
    now.tickets[1] = replace(now.tickets[1], status=Status.PROCESSING, result=None)
    del now.trails[now.ids[1]][-1]


def gone(now: Running) -> None:
    del now.tickets[1]


def without_result(now: Running) -> None:
    now.tickets[1] = replace(now.tickets[1], result=None)


def step_done_again(now: Running) -> None:
    now.trails[now.ids[0]].insert(-1, now.trails[now.ids[0]][2])


def round_done_again(now: Running) -> None:
    now.trails[now.ids[0]].insert(-1, now.trails[now.ids[0]][6])


def two_results(now: Running) -> None:
    now.trails[now.ids[0]].append(now.trails[now.ids[0]][-1])


def nobody_killed(now: Running) -> None:
    now.kills.clear()


@pytest.mark.parametrize(
    ("spoil", "figure"),
    [
        (unfinished, {"lost": 1}),
        (gone, {"lost": 1}),
        (without_result, {"lost": 1}),
        (step_done_again, {"steps_repeated": 1}),
        (round_done_again, {"steps_repeated": 1}),
        (two_results, {"results_per_ticket": {"1": 1, "2": 1}}),
        (nobody_killed, {"kills": []}),
    ],
)
def test_a_run_in_which_something_went_wrong_is_none(spoil: Any, figure: dict[str, Any]) -> None:
    plan, now = a_run()
    spoil(now)
    figures = report(plan, now, None)
    assert not proven(plan, figures)
    assert {name: figures[name] for name in figure} == figure


def test_both_sides_are_shown_with_what_was_counted(capsys: pytest.CaptureFixture[str]) -> None:
    plan, now = a_run()
    answer = {"ticket": 0, "calls": 6, "reply": "Here is how.", "disposition": "answered"}
    beside = PlainLoop(2, calls=15, seconds=9.0, kills=[Interruption(0.4, 1, 2, after=1.5)])
    beside.answers = [answer, answer | {"ticket": 1, "reply": "Otherwise."}, answer]
    figures = report(plan, now, beside)
    print_report(plan, now, figures)
    shown = " ".join(capsys.readouterr().out.split())
    for line in (
        "0.5 s 11 #1 Keypad dark 1 2.2 s 12",
        "last answer 4.0 9.0",
        "tickets in flight at once 9 1",
        "tickets answered 2 2",
        "tickets answered twice 0 1",
        "model calls begun 11 15",
        "of these in vain 1 -3",
        "longest pause after a kill, in seconds 2.2 1.5",
        "the same reply on both sides: 1 of 2",
        "in its memory alone, 2 of them would have gone",
        "1 worker killed, 1 takeover, 0 committed steps repeated, 1 result for each, 0 tickets lost",
        "0.2 to 0.4 s were added to each call",
        "audit: 2 tickets, 24 events, consistent",
    ):
        assert line in shown


def test_a_ticket_is_with_the_worker_that_claimed_it_last_and_with_nobody_once_it_is_let_go() -> None:
    trail = Trail(uuid4()).add("created", status="pending")
    assert holder(trail) is None
    trail.add("status_change", {"worker": "a:1:x"}, status="processing").step("classify")
    assert holder(trail) == "a:1:x"
    trail.add("retry", {"reason": "takeover", "worker": "b:2:y", "previous_worker": "a:1:x"})
    assert holder(trail) == "b:2:y"
    assert holder(trail.add("status_change", status="waiting", waiting_for="retry")) is None


def test_the_same_seed_kills_at_the_same_moments_all_of_them_early_enough_to_hit() -> None:
    assert moments(7, 30) == moments(7, 30) != moments(8, 30)
    for tickets in (1, 2, 4, 30, 1000):
        for seed in range(50):
            drawn = moments(seed, tickets)
            assert 1 <= len(drawn) <= 3
            calls = [moment.calls for moment in drawn]
            assert calls == sorted(calls)
            # An urgent technical ticket needs one call and no other ticket needs fewer than three.
            assert 1 <= calls[0] <= calls[-1] <= max(1, tickets * 1.65)


def test_the_same_question_takes_as_long_wherever_it_is_asked() -> None:
    def asked(body: str) -> Question[Classification]:
        return Question(TaskName.CLASSIFY, "", {"ticket": {"subject": "s", "body": body}}, Classification, "1")

    pace = Pace(0.2, 0.4)
    seconds = [pace.seconds(asked(str(number))) for number in range(50)]
    assert seconds == [pace.seconds(asked(str(number))) for number in range(50)]
    assert 0.2 <= min(seconds) < 0.25
    assert 0.35 < max(seconds) <= 0.4


def test_an_answer_that_was_being_written_at_the_kill_is_none(tmp_path: Path) -> None:
    file = tmp_path / "answers.jsonl"
    assert answers_in(file) == []
    file.write_bytes(b'{"ticket": 0}\n{"ticket": 1, "re')
    assert answers_in(file) == [{"ticket": 0}]


def test_a_process_of_the_demo_has_exactly_the_settings_of_the_one_that_starts_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RABBITMQ_URL", "amqp://someone@example.com/")
    given = Settings(OPENAI_API_KEY="sk-hush", extract_fields="serial=the serial number", lease_seconds=2)
    alone = given.model_copy(update={"rabbitmq_url": None})
    assert Settings.model_validate(alone.handed_on()) == alone
    assert "sk-hush" not in repr(Job(alone, None, 1))
