"""The HTTP client below the OpenAI client. Importing this imports httpx2: do it where it is used."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import httpx2

_IDLE_SECONDS = 30.0
_LANE_WIDTH = 32
_LARGEST_ANSWER = 4_000_000
"""Bytes, as they come and decompressed: many times the longest text that a model can write."""


class AnswerTooLarge(ValueError):
    """The provider sends more than any answer can have."""


class _Bounded(httpx2.Response):
    """Refuses to be read beyond the bound: what a gzip bomb would take is never held whole."""

    async def aiter_raw(self, chunk_size: int | None = None) -> AsyncGenerator[bytes, None]:
        async with aclosing(_bounded(super().aiter_raw(chunk_size))) as parts:
            async for part in parts:
                yield part

    async def aiter_bytes(self, chunk_size: int | None = None) -> AsyncGenerator[bytes, None]:
        async with aclosing(_bounded(super().aiter_bytes(chunk_size))) as parts:
            async for part in parts:
                yield part


async def _bounded(parts: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    size = 0
    async with aclosing(parts):
        async for part in parts:
            size += len(part)
            if size > _LARGEST_ANSWER:
                raise AnswerTooLarge(f"more than {_LARGEST_ANSWER} bytes")
            yield part


async def _bind(response: httpx2.Response) -> None:
    # A hook sees every response, those of redirects too, before its body is read, and whichever proxy it came through.
    response.__class__ = _Bounded


class _Lane(httpx2.AsyncClient):
    """One connection pool, and how many calls are using it."""

    busy = 0


class LanedClient(httpx2.AsyncClient):
    """Any number of calls at once, over pools of 32 connections that are opened as they are needed.

    A pool looks at all of its connections before and after each call, so one big pool is quadratic: with 500 calls in
    flight it took 9 ms of CPU a call. The first lane with room is used, so a few calls share a few connections. How
    many calls may run at once is decided above this room; nothing here makes them wait.
    """

    def __init__(self, timeout: httpx2.Timeout) -> None:
        limits = httpx2.Limits(max_connections=None, max_keepalive_connections=None, keepalive_expiry=_IDLE_SECONDS)
        self._options: dict[str, Any] = {
            "timeout": timeout,
            "limits": limits,
            "follow_redirects": True,
            "verify": httpx2.create_ssl_context(),
            "event_hooks": {"response": [_bind]},
        }
        self._lanes: list[_Lane] = []
        super().__init__(**self._options)

    async def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        lane = next((lane for lane in self._lanes if lane.busy < _LANE_WIDTH), None)
        if lane is None:
            lane = _Lane(**self._options)
            self._lanes.append(lane)
        lane.busy += 1
        try:
            return await lane.send(request, **options)
        finally:
            lane.busy -= 1

    async def aclose(self) -> None:
        for lane in self._lanes:
            await lane.aclose()
        await super().aclose()
