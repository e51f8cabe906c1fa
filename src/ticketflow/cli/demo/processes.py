"""The demo's child processes: started with a job, listened to, killed, and never left behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections import deque
from collections.abc import AsyncIterator, Callable

from ticketflow.cli.demo.job import ASKED, Job
from ticketflow.domain.errors import TicketflowError

GRACE_SECONDS = 10.0
"""How long a process that is let go may take to leave."""


class Child:
    """One process. It ends when it has done its job, when it is let go, or when this process is gone."""

    def __init__(self, process: asyncio.subprocess.Process, asked: Callable[[Child, str], None]) -> None:
        self._process = process
        self._asked = asked
        self._complaints: deque[str] = deque(maxlen=20)
        self._listening = asyncio.gather(self._hear(), self._hear_complaints())
        self.let_down = False
        """It was killed or let go: its end is no fault."""

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def ended(self) -> bool:
        return self._process.returncode is not None

    def freeze(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    async def kill(self) -> None:
        """SIGKILL: no drain, no goodbye. Returns when it is gone and all that it said is heard."""
        self.let_down = True
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self._gone()

    async def leave(self) -> None:
        """Let it go, and kill it should it not leave."""
        self.let_down = True
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            async with asyncio.timeout(GRACE_SECONDS):
                await self._gone()
        except TimeoutError:
            await self.kill()

    async def done(self) -> None:
        """Wait until it has ended by itself. Raises ``TicketflowError`` when that was no success."""
        await self._gone()
        self.blame()

    def blame(self) -> None:
        """Raise ``TicketflowError`` with its last words when it has failed, and nobody had killed it."""
        if self.ended and not self.let_down and self._process.returncode != 0:
            last = self._complaints[-1] if self._complaints else f"exit code {self._process.returncode}"
            raise TicketflowError(f"a process of the demo failed: {last}")

    async def _gone(self) -> None:
        await self._process.wait()
        await asyncio.shield(self._listening)

    async def _hear(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            word, _, task = line.decode().strip().partition(" ")
            if word == ASKED:
                self._asked(self, task)

    async def _hear_complaints(self) -> None:
        assert self._process.stderr is not None
        async for line in self._process.stderr:
            self._complaints.append(line.decode(errors="replace").strip())


class Children:
    """Starts processes, and ends all that are left at the end of ``children``."""

    def __init__(self) -> None:
        self._all: list[Child] = []

    async def start(self, module: str, job: Job, asked: Callable[[Child, str], None]) -> Child:
        """``python -m MODULE`` with the job; ``asked`` is called with each question that it puts to the model."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            module,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            # It finds the same code as this process, wherever that was started, and Ctrl-C is for this process alone.
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            start_new_session=True,
        )
        child = Child(process, asked)
        self._all.append(child)
        assert process.stdin is not None
        process.stdin.write(job.as_line())
        return child

    async def end(self) -> None:
        await asyncio.gather(*(child.kill() for child in self._all if not child.ended))


@contextlib.asynccontextmanager
async def children() -> AsyncIterator[Children]:
    """For as long as the block lasts."""
    started = Children()
    try:
        yield started
    finally:
        await started.end()
