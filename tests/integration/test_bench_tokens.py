"""The benchmark's count of tokens: what it counts is what went over the wire."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import AsyncIterator
from datetime import timedelta

import orjson
import pytest
from rs_bpe.bpe import openai

from tests.support.api import settings_for
from ticketflow.bench import five_calls, tokens
from ticketflow.bench.counting_endpoint import CountingEndpoint
from ticketflow.bench.frame import Bench, Plan
from ticketflow.domain.errors import ConfigurationError
from ticketflow.llm.openai import OpenAIModel
from ticketflow.llm.port import Question
from ticketflow.llm.prices import PriceList
from ticketflow.llm.structured import as_data, response_format
from ticketflow.llm.tasks import TaskName, Triage


@pytest.fixture
async def asked() -> AsyncIterator[tuple[CountingEndpoint, OpenAIModel]]:
    endpoint = CountingEndpoint()
    async with endpoint.served():
        model = OpenAIModel(
            api_key="none",
            base_url=endpoint.url,
            model=tokens.MODEL,
            timeout=timedelta(seconds=20),
            prices=PriceList(),
        )
        yield endpoint, model
        await model.aclose()


async def test_a_request_is_counted_whole_and_a_repeated_beginning_as_cached(
    asked: tuple[CountingEndpoint, OpenAIModel],
) -> None:
    endpoint, model = asked
    vocabulary = openai.o200k_base()
    material = {"ticket": {"subject": "Invoice", "body": "It is wrong. " * 400}}
    question = Question(TaskName.CLASSIFY, "Read this.", material, Triage, "1")
    first, second = await model.ask(question), await model.ask(question)
    schema = orjson.dumps(response_format(Triage)["json_schema"]).decode()
    texts = [schema, "system", question.instructions, "user", as_data(material)]
    expected = sum(map(vocabulary.count, texts)) + 3 * 2 + 3
    assert first.usage.input_tokens == second.usage.input_tokens == endpoint.calls[0].input == expected
    assert first.usage.output_tokens == vocabulary.count(first.answer.model_dump_json())
    assert [call.cached for call in endpoint.calls] == [0, expected - 9 - (expected - 9) % 128]
    assert second.usage.cost_micro_usd < first.usage.cost_micro_usd


def test_the_vocabulary_is_a_package_of_development(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rs_bpe.bpe", None)
    with pytest.raises(ConfigurationError, match=r"needs rs_bpe.*, which is not installed: pip install"):
        CountingEndpoint()


async def test_the_anchor_is_shown_everything_that_came_before(asked: tuple[CountingEndpoint, OpenAIModel]) -> None:
    endpoint, model = asked
    ticket = {"subject": "Invoice", "body": "My invoice for CL-48102 is wrong."}
    article = {"id": "invoices", "title": "Invoices", "passages": [{"heading": "Wrong", "text": "Write to us."}]}
    usage, final = await five_calls.run(model, ticket, {}, {"articles": [article], "history": []})
    shapes = [call.schema for call in endpoint.calls]
    assert shapes == ["Classification", "Extraction", "Draft", "Review", "Final"]
    assert (usage.calls, usage.input_tokens) == (5, sum(call.input for call in endpoint.calls))
    assert final.disposition in ("answered", "escalated")


async def test_a_ticket_takes_fewer_calls_and_tokens_than_five_calls(database_url: str) -> None:
    @contextlib.asynccontextmanager
    async def database() -> AsyncIterator[str]:
        yield database_url

    measured = await tokens.measure(Bench(database, Plan(), settings_for(database_url)))
    figures = {name: spread.median for name, spread in measured.figures.items()}
    assert figures["five_calls_model_calls"] == 5
    assert figures["model_calls"] < 3
    assert 0 < figures["to_five_calls"] < figures["to_five_calls_where_drafted"] < 0.7
    assert all(goal.reached(measured.figures[goal.figure]) for goal in measured.goals)
    # The instructions of the first question are long enough for a provider to cache, with every ticket but the first.
    assert measured.details["by_answer"]["ours"]["Triage"]["cached"] > 900
