"""An OpenAI-compatible endpoint that counts: the tokens of what really comes over the wire, and of what it answers.

The offline rules answer, so that every contender hears the same. Tokens are those of OpenAI's o200k_base vocabulary. A
request is counted as the schema of its structured output, then its messages with three tokens each, and three for the
answer's beginning; how OpenAI writes the schema down for its models is not published, so compact JSON stands for it.

Its cache is an ideal one that never forgets: the longest beginning that a request has in common with any before it
counts as cached from 1,024 tokens on, and beyond them in steps of 128. That is OpenAI's rule, and a schema stands
before the system message there (https://platform.openai.com/docs/guides/prompt-caching).
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

import orjson
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ticketflow.bench.five_calls import Final
from ticketflow.bench.frame import of_development
from ticketflow.llm.offline import OfflineModel
from ticketflow.llm.port import Question
from ticketflow.llm.tasks import Classification, Draft, Extraction, Review, TaskName, Triage
from ticketflow.serving import listening_socket, serving

LEAST_CACHED, CACHE_STEP = 1024, 128
_A_MESSAGE, _AN_ANSWER = 3, 3
_ASKED: Mapping[str, tuple[TaskName, type[BaseModel]]] = {
    "Triage": (TaskName.CLASSIFY, Triage),
    "Classification": (TaskName.CLASSIFY, Classification),
    "Extraction": (TaskName.EXTRACT, Extraction),
    "Draft": (TaskName.DRAFT, Draft),
    "Review": (TaskName.REVIEW, Review),
}


@dataclass(frozen=True, slots=True)
class Call:
    """One request in tokens. ``schema`` names the shape of the answer, and with it the step."""

    schema: str
    input: int
    cached: int
    output: int


class CountingEndpoint:
    """``url`` is the base URL for a client; ``calls`` are those so far."""

    def __init__(self) -> None:
        with of_development():
            from rs_bpe.bpe import openai

        self.url = ""
        self.calls: list[Call] = []
        self._vocabulary = openai.o200k_base()
        self._seen: list[list[int]] = []

    def forget(self) -> None:
        """Another contender's turn: nothing counted, nothing cached."""
        self.calls, self._seen = [], []

    def taken(self) -> list[Call]:
        """The calls since the last time."""
        calls, self.calls = self.calls, []
        return calls

    @contextlib.asynccontextmanager
    async def served(self) -> AsyncIterator[None]:
        app = Starlette(routes=[Route("/v1/chat/completions", self._complete, methods=["POST"])])
        listener = listening_socket("127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        async with serving(app, listener):
            yield

    async def _complete(self, request: Request) -> Response:
        body = orjson.loads(await request.body())
        asked = body["response_format"]["json_schema"]
        content = await _answer(asked["name"], _material(body["messages"]))
        tokens = self._tokens(body)
        call = Call(
            schema=asked["name"],
            input=len(tokens) + _A_MESSAGE * len(body["messages"]) + _AN_ANSWER,
            cached=cacheable(tokens, self._seen),
            output=self._vocabulary.count(content),
        )
        self._seen.append(tokens)
        self.calls.append(call)
        message = {"role": "assistant", "content": content, "refusal": None}
        usage = {
            "prompt_tokens": call.input,
            "completion_tokens": call.output,
            "total_tokens": call.input + call.output,
            "prompt_tokens_details": {"cached_tokens": call.cached},
        }
        return JSONResponse(
            {
                "id": f"chatcmpl-{len(self.calls)}",
                "object": "chat.completion",
                "created": 0,
                "model": body["model"],
                "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
                "usage": usage,
            }
        )

    def _tokens(self, body: Mapping[str, Any]) -> list[int]:
        schema = orjson.dumps(body["response_format"]["json_schema"]).decode()
        parts = [schema, *(text for each in body["messages"] for text in (each["role"], each["content"]))]
        return [token for part in parts for token in self._vocabulary.encode(part)]


def cacheable(tokens: Sequence[int], seen: Sequence[Sequence[int]]) -> int:
    """How many of a request's first tokens a provider could have in its cache after the requests in ``seen``."""
    most = max((_common(tokens, earlier) for earlier in seen), default=0)
    return most - (most - LEAST_CACHED) % CACHE_STEP if most >= LEAST_CACHED else 0


def _common(tokens: Sequence[int], others: Sequence[int]) -> int:
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(tokens, others, strict=False)))


def _material(messages: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    _, _, data = messages[-1]["content"].partition("\n<data>\n")
    material: dict[str, Any] = orjson.loads(data.removesuffix("\n</data>"))
    return material


async def _answer(schema: str, material: dict[str, Any]) -> str:
    if schema == Final.__name__:
        draft = material["draft"]
        answered = material["review"]["verdict"] == "approve"
        answer: BaseModel = Final(
            reply=draft["text"], sources=draft["citations"], disposition="answered" if answered else "escalated"
        )
    else:
        task, shape = _ASKED[schema]
        answer = (await OfflineModel().ask(Question(task, "", material, shape, ""))).answer
    return answer.model_dump_json()
