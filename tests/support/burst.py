"""Very many callers at once, each with a connection of its own: what every one of them was answered."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

CONNECTING = 500
"""At a time, so that none has to knock twice."""


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: Any


def head(path: str, length: int, more: str = "") -> bytes:
    """Of a POST with JSON of so many bytes."""
    return (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Content-Length: {length}\r\n{more}\r\n"
    ).encode()


def request(path: str, body: dict[str, Any]) -> bytes:
    """A POST that wants its connection closed after the answer."""
    data = json.dumps(body, ensure_ascii=False).encode()
    return head(path, len(data), "Connection: close\r\n") + data


async def burst(port: int, callers: int, asked: Callable[[int], bytes]) -> list[Answer]:
    """All are connected before the first of them asks. Every one is answered, or an error says which was not."""
    knocking = asyncio.Semaphore(CONNECTING)
    connected, go = 0, asyncio.Event()

    async def call(number: int) -> Answer:
        nonlocal connected
        async with knocking:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
        connected += 1
        if connected == callers:
            go.set()
        await go.wait()
        try:
            writer.write(asked(number))
            return parsed(await reader.read())
        finally:
            writer.close()

    return list(await asyncio.gather(*(call(number) for number in range(callers))))


def parsed(raw: bytes) -> Answer:
    """Everything that came on a connection, as one answer."""
    head, _, body = raw.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    return Answer(int(first.split()[1]), headers, json.loads(body))
