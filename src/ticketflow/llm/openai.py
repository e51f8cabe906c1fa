"""The model port over any OpenAI-compatible endpoint, with structured outputs through LangChain."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from pydantic import BaseModel, SecretStr
from tenacity import (
    AsyncRetrying,
    retry_if_exception,
    stop_after_attempt,
    wait_exponential,
    wait_random,
)

from ticketflow.domain.errors import ConfigurationError, ProviderDown, TicketflowError, Transient
from ticketflow.llm.limits import LONGEST_STAY
from ticketflow.llm.observe import ModelObserver, Outcome
from ticketflow.llm.openai_errors import answered, masked, outcome_of, translate, vendor_errors
from ticketflow.llm.port import AnswerT, Question, Reply, Usage
from ticketflow.llm.prices import PriceList
from ticketflow.llm.structured import as_data, clean, read_answer, response_format
from ticketflow.llm.traffic import Traffic

if TYPE_CHECKING:
    from langchain_core.messages import BaseMessage
    from langchain_core.runnables import Runnable
    from langchain_openai import ChatOpenAI

_BASE_URL = "https://api.openai.com/v1"
_CONNECT_SECONDS = 10.0
_LONGEST_NAME = 200
_BACKOFF = wait_exponential(multiplier=0.5, max=8) + wait_random(0, 0.5)


@dataclass(slots=True)
class _Tally:
    """What all attempts at one question took, failed ones included, and which model spoke last."""

    model: str
    meter: Callable[[Usage], None] | None = None
    usage: Usage = field(default_factory=Usage)

    def add(self, usage: Usage) -> None:
        self.usage += usage
        if self.meter is not None:
            self.meter(usage)


class _Readiness(BaseModel):
    """Whether you are ready to answer questions."""

    ready: bool


class OpenAIModel:
    """Asks an OpenAI-compatible endpoint, up to ``attempts`` times, each within ``timeout`` on the clock.

    Between attempts it waits 0.5 s, 1 s, 2 s and so on up to 8 s, with jitter; each attempt then waits for its turn in
    ``traffic``, which also keeps the waits that the provider asks for. One beyond a minute is the caller's, who gets
    the error with ``retry_after`` at once. Everything is built on first use, connections are kept, and nothing is
    reported to LangSmith, whatever the environment says.

    ``Usage.calls`` counts the HTTP requests that got any answer. When every attempt fails, their usage has
    reached the question's meter and the observer.
    """

    def __init__(
        self,
        *,
        api_key: str | None,
        base_url: str | None,
        model: str,
        timeout: timedelta,
        attempts: int = 3,
        prices: PriceList,
        observer: ModelObserver | None = None,
        traffic: Traffic | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        if not model:
            raise ConfigurationError("OPENAI_MODEL is empty")
        self._key = api_key or ""
        self._base_url = base_url or _BASE_URL
        self._model = model
        self._timeout = timeout.total_seconds()
        self._attempts = attempts
        self._prices = prices
        self._observer = observer
        self._traffic = traffic or Traffic()
        self._sleep = sleep
        self._opening = asyncio.Lock()
        self._chat: ChatOpenAI | None = None
        self._chains: WeakKeyDictionary[type[BaseModel], Runnable[Any, BaseMessage]] = WeakKeyDictionary()

    def __repr__(self) -> str:
        return f"OpenAIModel({self._model!r} at {self._base_url!r})"

    @property
    def name(self) -> str:
        return self._model

    async def ask(self, question: Question[AnswerT]) -> Reply[AnswerT]:
        chain = await self._chain(question.schema)
        messages = [("system", question.instructions), ("human", as_data(question.material))]
        tally = _Tally(self._model, question.meter)
        retrying = AsyncRetrying(
            stop=stop_after_attempt(self._attempts),
            wait=_BACKOFF,
            retry=retry_if_exception(_worth_another),
            sleep=self._sleep,
            reraise=True,
        )
        turn = partial(self._traffic.attempt, question.waiting)
        answer: AnswerT = await retrying(self._attempt, turn, chain, messages, question.schema, tally)
        return Reply(answer, tally.model, tally.usage)

    async def check(self) -> None:
        # A list of models is no proof: only an answered question shows that address, key, model name and structured
        # outputs go together.
        chain = await self._chain(_Readiness)
        question = [("system", "Set `ready` to true."), ("human", as_data({}))]
        await self._attempt(self._traffic.probe, chain, question, _Readiness, _Tally(self._model))

    async def aclose(self) -> None:
        if self._chat is not None:
            await self._chat.root_async_client.close()

    async def _attempt(
        self,
        turn: Callable[[], AbstractAsyncContextManager[None]],
        chain: Runnable[Any, BaseMessage],
        messages: list[tuple[str, str]],
        schema: type[AnswerT],
        tally: _Tally,
    ) -> AnswerT:
        async with turn():
            return await self._call(chain, messages, schema, tally)

    async def _call(
        self,
        chain: Runnable[Any, BaseMessage],
        messages: list[tuple[str, str]],
        schema: type[AnswerT],
        tally: _Tally,
    ) -> AnswerT:
        from langsmith import tracing_context

        try:
            async with asyncio.timeout(self._timeout):
                with tracing_context(enabled=False):
                    message = await chain.ainvoke(messages)
        except vendor_errors() as error:
            failure = translate(error, self._key)
            self._settle(tally, outcome_of(failure), Usage(calls=int(answered(error))))
            raise failure from error
        metadata = message.response_metadata
        tally.model = self._spoken(metadata.get("model_name"))
        usage = self._usage(metadata["token_usage"], tally.model)
        try:
            answer = read_answer(message, schema, self._key)
        except TicketflowError as error:
            self._settle(tally, outcome_of(error), usage)
            raise
        self._settle(tally, "ok", usage)
        return answer

    def _spoken(self, name: object) -> str:
        """The name that the answer gives its model, fit for the trail; the configured one where it gives none."""
        if not isinstance(name, str):
            return self._model
        printable = "".join(character for character in clean(name) if character.isprintable())
        return masked(printable, self._key).strip()[:_LONGEST_NAME] or self._model

    def _settle(self, tally: _Tally, outcome: Outcome, usage: Usage) -> None:
        tally.add(usage)
        if self._observer is not None:
            self._observer.answered(self._model, outcome, usage)

    def _usage(self, tokens: Mapping[str, Any], model: str) -> Usage:
        """One call's, from the ``usage`` of a chat completion, which ``HardenedChat`` has checked."""
        asked, said = tokens["prompt_tokens"], tokens["completion_tokens"]
        cached = tokens["prompt_tokens_details"]["cached_tokens"]
        priced = model if self._prices.known(model) else self._model
        return Usage(1, asked, said, self._prices.cost(priced, asked, said, cached))

    async def _chain(self, schema: type[BaseModel]) -> Runnable[Any, BaseMessage]:
        chat = await self._open()
        chain = self._chains.get(schema)
        if chain is None:
            # On the wire this is with_structured_output(strict=True). That one parses before we can clean, in a time
            # quadratic in a broken answer's length, and the client walks a typed response_format key by key on each
            # call: together half of the CPU time that a call costs here.
            chain = chat.bind(extra_body={"response_format": response_format(schema)})
            self._chains[schema] = chain
        return chain

    async def _open(self) -> ChatOpenAI:
        async with self._opening:
            if self._chat is None:
                # Importing LangChain takes seconds; heartbeats must not wait for it.
                self._chat = await asyncio.to_thread(self._build)
            return self._chat

    def _build(self) -> ChatOpenAI:
        import openai

        from ticketflow.llm.openai_chat import HardenedChat
        from ticketflow.llm.openai_http import LanedClient

        timeout = openai.Timeout(self._timeout, connect=min(self._timeout, _CONNECT_SECONDS))
        return HardenedChat(
            model=self._model,
            api_key=SecretStr(self._key or "none"),
            base_url=self._base_url,
            max_retries=0,
            timeout=timeout,
            use_responses_api=False,
            openai_proxy=None,
            cache=False,
            http_async_client=LanedClient(timeout),
        )


def _worth_another(error: BaseException) -> bool:
    if isinstance(error, ProviderDown):
        return False
    return isinstance(error, Transient) and (error.retry_after or timedelta(0)) <= LONGEST_STAY
