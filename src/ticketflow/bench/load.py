"""``python -m ticketflow.bench.load``: sends tickets to an API as fast as it answers, or at a steady rate.

One job a line of stdin, one answer a line of stdout. A client of bytes and offsets, because one that parses what it
receives would be busier than the server that it measures.
"""

from __future__ import annotations

import asyncio
import resource
import sys
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, cast
from uuid import uuid4

import orjson

from ticketflow.bench.stand_ins import TEXT
from ticketflow.worker.main import event_loop

_HEAD = b"POST /tickets HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
_LONGEST_DRAIN_SECONDS = 30.0

_Answered = Callable[["_Connection", int], None]


def ticket_request(text: str = TEXT) -> bytes:
    """``POST /tickets`` with a ticket like no other."""
    body = orjson.dumps({"subject": f"Keypad dark {uuid4().hex}", "body": text, "customer_id": "cus_bench"})
    return _HEAD % (len(body), body)


class _Connection(asyncio.Protocol):
    """One request at a time on a connection that is kept alive."""

    def __init__(self, answered: _Answered) -> None:
        self._answered = answered
        self._transport: asyncio.Transport | None = None
        self._received = b""
        self.asked_at = 0.0
        self.busy = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def ask(self, request: bytes, asked_at: float) -> None:
        assert self._transport is not None
        self.asked_at, self.busy = asked_at, True
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head_end = self._received.find(b"\r\n\r\n")
        if head_end < 0:
            return
        at = self._received.find(b"content-length: ") + 16
        length = int(self._received[at : self._received.find(b"\r\n", at)])
        if len(self._received) < head_end + 4 + length:
            return
        status = int(self._received[9:12])
        self._received, self.busy = b"", False
        self._answered(self, status)

    def connection_lost(self, error: Exception | None) -> None:
        if self.busy:
            self.busy = False
            self._answered(self, 0)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


class Load:
    """Sends to one port and keeps count. Status 0 is a connection that was lost before its answer."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.statuses: Counter[int] = Counter()
        self.seconds: dict[int, list[float]] = {}

    async def closed(self, connections: int, requests: int) -> float:
        """So many callers, each of whom sends the next request when the last was answered. Returns the seconds."""
        done = asyncio.Event()
        left = requests

        def next_one(connection: _Connection) -> None:
            nonlocal left
            left -= 1
            connection.ask(prepared.pop(), time.perf_counter())

        def answered(connection: _Connection, status: int) -> None:
            self._count(connection, status)
            if self.statuses.total() == requests:
                done.set()
            if left > 0:
                next_one(connection)

        prepared = [ticket_request() for _ in range(requests)]
        opened = [await self._connection(answered) for _ in range(min(connections, requests))]
        started = time.perf_counter()
        for connection in opened:
            next_one(connection)
        await done.wait()
        seconds = time.perf_counter() - started
        for connection in opened:
            connection.close()
        return seconds

    async def open(self, rate: float, seconds: float, most_connections: int) -> None:
        """Callers who come at a steady rate, whether those before them were answered or not. Each one's time counts
        from the moment at which it was due, so that a server that stalls is charged for all who came meanwhile."""
        somebody_idle, all_answered = asyncio.Event(), asyncio.Event()
        expected = int(rate * seconds)
        idle: list[_Connection] = []

        def answered(connection: _Connection, status: int) -> None:
            self._count(connection, status)
            if status:
                idle.append(connection)
                somebody_idle.set()
            if self.statuses.total() == expected:
                all_answered.set()

        prepared = [ticket_request() for _ in range(expected)]
        opened = [await self._connection(answered) for _ in range(min(most_connections, len(prepared)))]
        idle.extend(opened)
        started = time.perf_counter()
        for number in range(expected):
            due = started + number / rate
            # A turn of the loop in any case, or the answers would not be read.
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            while not idle:
                somebody_idle.clear()
                await somebody_idle.wait()
            # The one that was busy last: the others may rest until the server closes them.
            idle.pop().ask(prepared.pop(), due)
        async with asyncio.timeout(_LONGEST_DRAIN_SECONDS):
            await all_answered.wait()
        for connection in opened:
            connection.close()

    async def _connection(self, answered: _Answered) -> _Connection:
        _, protocol = await asyncio.get_running_loop().create_connection(
            lambda: _Connection(answered), "127.0.0.1", self._port
        )
        return protocol

    def _count(self, connection: _Connection, status: int) -> None:
        self.statuses[status] += 1
        self.seconds.setdefault(status, []).append(time.perf_counter() - connection.asked_at)


def quantile(values: list[float], part: float) -> float:
    """The nearest rank; 0 of nothing."""
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, int(len(ranked) * part))] if ranked else 0.0


async def _done(job: dict[str, Any]) -> dict[str, Any]:
    load = Load(job["port"])
    started = time.perf_counter()
    if "rate" in job:
        await load.open(job["rate"], job["seconds"], job["connections"])
        seconds = time.perf_counter() - started
    else:
        seconds = await load.closed(job["connections"], job["requests"])
    accepted = load.seconds.get(201, [])
    return {
        "seconds": seconds,
        "statuses": {str(status): count for status, count in sorted(load.statuses.items())},
        "p50_ms": 1000 * quantile(accepted, 0.5),
        "p99_ms": 1000 * quantile(accepted, 0.99),
        "longest_ms": 1000 * max((max(each) for each in load.seconds.values()), default=0.0),
        "cpu_seconds": time.process_time(),
    }


def main() -> int:
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with asyncio.Runner(loop_factory=event_loop()) as runner:
        for line in sys.stdin.buffer:
            if (job := orjson.loads(line)) == {}:
                continue
            print(orjson.dumps(runner.run(_done(job))).decode(), flush=True)  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
