"""The OpenAI adapter against endpoints that are careless or hostile: nothing that they send does harm."""

from __future__ import annotations

import json
import traceback
from typing import Any

import pytest
from pydantic import BaseModel

from tests.support.model_bench import KEY, Bench, question
from ticketflow.domain.errors import (
    ModelOutputInvalid,
    TicketflowError,
)
from ticketflow.llm.port import Usage
from ticketflow.llm.prices import PriceList
from ticketflow.llm.structured import response_format
from ticketflow.llm.tasks import Classification, Draft, Review, Triage
from ticketflow.workflow.steps.facts import extraction_schema, triage_schema


async def test_the_key_is_in_no_error_text_even_if_the_server_repeats_it(bench: Bench) -> None:
    bench.server.faults.echo_key = True
    stale = bench.model(api_key="sk-stale-77-do-not-print")
    for faults, call in (
        ([], stale.ask(question())),
        ([], stale.check()),
        (["bad_request"], bench.model().ask(question())),
        (["error"] * 3, bench.model().ask(question())),
        (["quota"], bench.model().ask(question())),
    ):
        bench.server.faults.next = list(faults)
        with pytest.raises(TicketflowError) as caught:
            await call
        shown = "".join(traceback.format_exception(caught.value))
        assert "do-not-print" not in shown
        assert "do-not-print" not in repr(bench.models)


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("gpt-4o-2024-08-06", "gpt-4o-2024-08-06"),
        (f"gpt-4o (Authorization: Bearer {KEY})", "gpt-4o (Authorization: Bearer [key])"),
        (f"{KEY[:9]}\x00{KEY[9:]}", "[key]"),
        ("x" * 190 + KEY, "x" * 190 + "[key]"),
        ("gpt\x00-4o\ud800\n\x1b[31m", "gpt-4o\ufffd[31m"),
        ("m" * 5000, "m" * 200),
        ("\x00 \n", "gpt-4o-mini-2024-07-18"),
        *((odd, "gpt-4o-mini-2024-07-18") for odd in ("", None, 5, True, ["gpt-4o"], {"name": "gpt-4o"})),
    ],
)
async def test_the_name_of_the_answering_model_is_taken_with_care(bench: Bench, said: Any, shown: str) -> None:
    bench.server.faults.completion = {"model": said}
    reply = await bench.model().ask(question())
    assert reply.model == shown
    assert reply.usage.cost_micro_usd > 0


async def test_the_key_is_in_no_refusal_and_no_complaint_about_an_answer(bench: Bench) -> None:
    misfit = {"text": "t", "citations": [], f"Bearer {KEY}": 1}
    for message in (
        {"content": None, "refusal": f"I was sent {KEY}"},
        {"content": json.dumps(misfit), "refusal": None},
    ):
        choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", **message}}
        bench.server.faults.completion = {"choices": [choice]}
        with pytest.raises(TicketflowError) as caught:
            await bench.model(attempts=1).ask(question(Draft))
        assert "[key]" in str(caught.value)
        assert "do-not-print" not in str(caught.value)


async def test_what_postgresql_refuses_is_taken_out_of_the_answer(bench: Bench) -> None:
    bench.server.faults.content = (
        '{"text": "a\\u0000b \\ud83d c \\ud83d\\ude00", "citations": ["x\\u0000y"], "asks_customer": false}'
    )
    answer = (await bench.model().ask(question(Draft))).answer
    assert answer.text == "ab \ufffd c \U0001f600"
    assert answer.citations == ["xy"]


@pytest.mark.parametrize("fence", ["```json\n{}\n```", "```\n{}```\n", " {} "])
async def test_json_within_a_markdown_fence_is_read(bench: Bench, fence: str) -> None:
    bench.server.faults.content = fence.replace(
        "{}", '{"text": "Use ```two``` cells.", "citations": [], "asks_customer": false}'
    )
    assert (await bench.model().ask(question(Draft))).answer.text == "Use ```two``` cells."


@pytest.mark.parametrize(
    "content", ["", "```", "``````", "null", "[" * 100_000, '{"category": NaN}', "{" + '"a":{' * 5_000]
)
async def test_absurd_answers_are_invalid_output(bench: Bench, content: str) -> None:
    bench.server.faults.content = content
    with pytest.raises(ModelOutputInvalid):
        await bench.model(attempts=1).ask(question())


@pytest.mark.parametrize(
    "answer",
    [
        {"text": "x" * 20_001, "citations": [], "asks_customer": False},
        {"text": "x", "citations": ["a"] * 51, "asks_customer": False},
        {"text": "x", "citations": ["a" * 301], "asks_customer": False},
    ],
)
async def test_a_draft_beyond_all_bounds_is_refused(bench: Bench, answer: dict[str, Any]) -> None:
    bench.server.faults.content = json.dumps(answer)
    with pytest.raises(ModelOutputInvalid, match="at most") as caught:
        await bench.model(attempts=1).ask(question(Draft))
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("fault", [[], ["error"], ["bad_request"]])
@pytest.mark.parametrize("compressed", [True, False])
async def test_a_body_beyond_all_bounds_is_not_read_to_its_end(
    bench: Bench, compressed: bool, fault: list[str]
) -> None:
    bench.server.faults.padding = 40_000_000
    bench.server.faults.gzip = compressed
    bench.server.faults.next = fault
    with pytest.raises(ModelOutputInvalid, match="AnswerTooLarge"):
        await bench.model(attempts=1).ask(question())
    assert bench.outcomes == ["invalid_output"]
    assert bench.seen[0][2] == Usage(calls=1)


@pytest.mark.parametrize("size", [0, 1_000_000])
async def test_a_compressed_answer_is_read(bench: Bench, size: int) -> None:
    bench.server.faults.padding = size
    bench.server.faults.gzip = True
    assert (await bench.model().ask(question())).answer.category == "billing"


async def test_remarks_and_facts_are_cut_to_a_readable_length(bench: Bench) -> None:
    scores = {"accuracy": 1, "tone": 1, "policy": 1}
    bench.server.faults.content = json.dumps({"verdict": "revise", "scores": scores, "problems": ["p" * 5_000] * 400})
    problems = (await bench.model().ask(question(Review))).answer.problems
    assert (len(problems), {len(problem) for problem in problems}) == (20, {500})
    classified = {
        "category": "billing",
        "priority": "low",
        "confidence": 1,
        "language": "e" * 900,
        "reason": "r" * 5_000,
    }
    bench.server.faults.content = json.dumps(classified)
    answer = (await bench.model().ask(question())).answer
    assert (len(answer.language), len(answer.reason)) == (50, 1_000)
    wider = extraction_schema(("serial_number",))
    bench.server.faults.content = json.dumps(dict.fromkeys(wider.model_fields, "f" * 900))
    facts = (await bench.model().ask(question(wider))).answer.model_dump()
    assert {name: len(fact) for name, fact in facts.items()} == dict.fromkeys(wider.model_fields, 500)
    bench.server.faults.content = json.dumps({**classified, "facts": dict.fromkeys(wider.model_fields, "f" * 900)})
    triage = (await bench.model().ask(question(triage_schema(("serial_number",))))).answer.model_dump()
    assert (len(triage["reason"]), triage["facts"]) == (1_000, facts)


@pytest.mark.parametrize("facts", [None, "none", [], {"order_id": "CL-48102"}, {"order_id": 5}])
async def test_an_answer_whose_facts_do_not_fit_is_refused_whole(bench: Bench, facts: Any) -> None:
    classified = {"category": "billing", "priority": "low", "confidence": 1, "language": "en", "reason": "r"}
    bench.server.faults.content = json.dumps({**classified, "facts": facts})
    with pytest.raises(ModelOutputInvalid):
        await bench.model(attempts=1).ask(question(Triage))


@pytest.mark.parametrize(
    "schema",
    [Classification, Triage, Draft, Review, extraction_schema(("maxLength",)), triage_schema(("maxLength",))],
)
async def test_bounds_that_strict_mode_does_not_know_are_not_sent(bench: Bench, schema: type[BaseModel]) -> None:
    sent = json.dumps(response_format(schema))
    for keyword in ("maxLength", "minLength", "maxItems", "minItems", "pattern", "default"):
        assert f'"{keyword}": ' not in sent.replace('"maxLength": {', "")
    assert set(response_format(schema)["json_schema"]["schema"]["properties"]) == set(schema.model_fields)


@pytest.mark.parametrize(
    "usage",
    [
        {"prompt_tokens": 1.5, "completion_tokens": 2.5, "total_tokens": 4},
        {"prompt_tokens": -5, "completion_tokens": -1},
        {"prompt_tokens": "ten", "completion_tokens": 7, "total_tokens": 17},
        {"prompt_tokens": "ten", "completion_tokens": 7},
        {"prompt_tokens": 10**30, "completion_tokens": 10**18},
        {"prompt_tokens": True, "completion_tokens": [3]},
        {"prompt_tokens": {"a": 1}, "prompt_tokens_details": 5, "completion_tokens_details": "x"},
        "lots",
        [1, 2],
        12,
    ],
)
async def test_an_odd_usage_counts_as_none_and_costs_no_answer(bench: Bench, usage: Any) -> None:
    bench.server.faults.completion = {"usage": usage}
    reply = await bench.model().ask(question())
    assert reply.answer.category == "billing"
    told = usage.get("completion_tokens") if isinstance(usage, dict) else None
    assert (reply.usage.calls, reply.usage.input_tokens) == (1, 0)
    assert reply.usage.output_tokens == (7 if told == 7 else 0)
    assert bench.outcomes == ["ok"]


@pytest.mark.parametrize("cached", ["x", -3, 2.5, 10**30, {}])
async def test_an_odd_count_of_cached_tokens_gives_no_discount(bench: Bench, cached: Any) -> None:
    bench.server.faults.completion = {
        "usage": {"prompt_tokens": 1000, "completion_tokens": 10, "prompt_tokens_details": {"cached_tokens": cached}},
        "service_tier": "flex",
    }
    usage = (await bench.model().ask(question())).usage
    assert usage == Usage(1, 1000, 10, PriceList().cost("gpt-4o-mini", 1000, 10))
