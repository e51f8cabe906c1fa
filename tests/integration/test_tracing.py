"""What LangChain would send away if nobody stopped it."""

from __future__ import annotations

from collections.abc import Iterator

import langsmith
import pytest
from langsmith.utils import get_env_var, tracing_is_enabled

from tests.support.api import Api
from ticketflow import wiring


@pytest.fixture
def left_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("LANGSMITH_TRACING", "LANGSMITH_TRACING_V2", "LANGCHAIN_TRACING_V2"):
        monkeypatch.setenv(name, "true")
    get_env_var.cache_clear()
    langsmith.configure(enabled=None)  # Whatever ran before in this process.
    yield
    langsmith.configure(enabled=None)
    get_env_var.cache_clear()


@pytest.mark.usefixtures("left_in_the_environment")
async def test_no_ticket_is_traced_to_another_company(api: Api) -> None:
    assert tracing_is_enabled()
    wiring.flows(api.app)
    assert not tracing_is_enabled()
