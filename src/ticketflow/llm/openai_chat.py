"""LangChain's chat model, hardened against odd answers. Importing this imports LangChain: do it where it is used."""

from __future__ import annotations

from typing import Any

from langchain_core.outputs import ChatResult
from langchain_openai import ChatOpenAI
from openai import BaseModel as Received
from openai.types import CompletionUsage
from openai.types.chat import ChatCompletion
from openai.types.completion_usage import PromptTokensDetails

_MOST_TOKENS = 100_000_000
"""In one call, and far beyond any context window: a figure above it is no count."""


class HardenedChat(ChatOpenAI):
    """``ChatOpenAI`` to which an odd ``usage`` costs no answer: LangChain adds and subtracts its figures unchecked."""

    def _create_chat_result(
        self, response: dict[str, Any] | Received, generation_info: dict[str, Any] | None = None
    ) -> ChatResult:
        if isinstance(response, ChatCompletion):
            response.usage = _counted(response.usage)
        return super()._create_chat_result(response, generation_info)


def _counted(usage: object) -> CompletionUsage:
    """The usage in whole tokens, where whatever is no plausible count is 0. Nothing has checked ``usage`` before."""
    asked, said = _tokens(usage, "prompt_tokens"), _tokens(usage, "completion_tokens")
    cached = _tokens(getattr(usage, "prompt_tokens_details", None), "cached_tokens")
    return CompletionUsage(
        prompt_tokens=asked,
        completion_tokens=said,
        total_tokens=asked + said,
        prompt_tokens_details=PromptTokensDetails(cached_tokens=cached),
    )


def _tokens(holder: object, name: str) -> int:
    value = getattr(holder, name, None)
    return value if type(value) is int and 0 <= value <= _MOST_TOKENS else 0
