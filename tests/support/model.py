"""The model provider of the acceptance tests: ``support.openai_server`` in a thread, spoken to over HTTP."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

from tests.support.deployment import ASKED, Posted
from tests.support.openai_server import running_server
from tests.support.processes import http, until


class Model:
    """``url`` is what the processes under test are given."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._control = url.removesuffix("/v1") + "/control"

    def stats(self) -> dict[str, Any]:
        status, _, stats = http("GET", f"{self._control}/stats")
        assert status == 200
        return dict(stats)

    def asked(self, marker: str) -> Counter[str]:
        """How often each task was asked for the ticket with this marker."""
        return Counter(self.stats()["markers"].get(marker, {}))

    def assert_asked(self, tickets: Iterable[Posted], tasks: Iterable[str] = ASKED) -> None:
        """For each of the tickets, exactly these tasks were asked, as often as they are named."""
        asked = self.stats()["markers"]
        for ticket in tickets:
            assert asked.get(ticket.marker, {}) == dict(Counter(tasks)), ticket

    def until_waiting(self, task: str, calls: int) -> None:
        """Until so many calls for this task wait for answers that ``faults`` keeps back."""
        until(lambda: self.stats()["waiting"].get(task, 0) == calls, 30, f"{calls} calls for {task} to wait")

    def faults(self, **faults: Any) -> None:
        status, _, answer = http("POST", f"{self._control}/faults", faults)
        assert status == 200, answer

    def reset(self) -> None:
        http("POST", f"{self._control}/reset")


@contextmanager
def model_server() -> Iterator[Model]:
    ready: Future[tuple[str, asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def live() -> None:
        stop = asyncio.Event()
        async with running_server(api_key="sk-test") as server:
            ready.set_result((server.url, asyncio.get_running_loop(), stop))
            await stop.wait()

    thread = threading.Thread(target=lambda: asyncio.run(live()), name="model", daemon=True)
    thread.start()
    url, loop, stop = ready.result(10)
    try:
        yield Model(url)
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)
