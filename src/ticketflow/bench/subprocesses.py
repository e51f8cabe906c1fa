"""Processes of the benchmark's own: each has a processor to itself, as in service, and can be weighed alone."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from ticketflow.domain.errors import TicketflowError

LEAVE_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Process:
    """A process that is told what to do, and answers, in lines of JSON."""

    inner: asyncio.subprocess.Process

    async def said(self) -> Any:
        """Its next line. Raises ``TicketflowError`` when it ended instead."""
        assert self.inner.stdout is not None
        line = await self.inner.stdout.readline()
        if not line:
            raise TicketflowError(f"a process of the benchmark ended with {await self.inner.wait()}")
        return orjson.loads(line)

    def tell(self, job: Mapping[str, Any]) -> None:
        assert self.inner.stdin is not None
        self.inner.stdin.write(orjson.dumps(job) + b"\n")

    async def asked(self, job: Mapping[str, Any]) -> Any:
        self.tell(job)
        return await self.said()

    def cpu_seconds(self) -> float:
        """Processor time so far, of all threads (proc(5), utime and stime)."""
        fields = Path(f"/proc/{self.inner.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def resident_bytes(self) -> int:
        return int(Path(f"/proc/{self.inner.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@contextlib.asynccontextmanager
async def started(module: str, job: Mapping[str, Any]) -> AsyncIterator[Process]:
    """``python -m MODULE`` with the job as its first line of stdin, until the block ends; then it is to leave.

    The job may hold secrets: it goes through a pipe.
    """
    inner = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        module,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    process = Process(inner)
    process.tell(job)
    try:
        yield process
    finally:
        assert inner.stdin is not None
        inner.stdin.close()
        try:
            async with asyncio.timeout(LEAVE_SECONDS):
                await inner.wait()
        except TimeoutError:
            inner.kill()
            await inner.wait()
