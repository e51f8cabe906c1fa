"""Real Ticketflow processes in a tenth of a second: forked from one that has imported everything already."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path

from tests.support.processes import Process, clean_environment, followed

ROOT = Path(__file__).parents[2]


class Child:
    """A process of the nursery, as far as ``subprocess.Popen`` is used by the tests."""

    def __init__(self, pid: int, stderr: int) -> None:
        self.pid = pid
        self.stderr = os.fdopen(stderr, encoding="utf-8", errors="replace")
        self.ended: Future[int] = Future()

    @property
    def returncode(self) -> int | None:
        return self.ended.result() if self.ended.done() else None

    def poll(self) -> int | None:
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        return self.ended.result(timeout)

    def send_signal(self, number: int) -> None:
        if not self.ended.done():
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class Nursery:
    """Made by ``nursery``. Any number of threads may ask it for processes."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._lock = threading.Lock()
        self._requests = 0
        self._pids: dict[int, Future[int]] = {}
        self._endings: dict[int, Future[int]] = {}

    @contextmanager
    def running(self, arguments: Sequence[str], environment: dict[str, str], cwd: Path) -> Iterator[Process]:
        """``ticketflow ARGUMENTS`` until the block ends; killed if it has not ended by then."""
        with followed(self._born(arguments, environment, cwd)) as process:
            yield process

    def _born(self, arguments: Sequence[str], environment: dict[str, str], cwd: Path) -> Child:
        stderr, theirs = os.pipe()
        pid: Future[int] = Future()
        with self._lock:
            self._requests += 1
            self._pids[self._requests] = pid
            request = {
                "request": self._requests,
                "arguments": list(arguments),
                "environment": environment,
                "cwd": str(cwd),
            }
            socket.send_fds(self._control, [json.dumps(request).encode()], [theirs])
        os.close(theirs)
        child = Child(pid.result(30), stderr)
        child.ended = self._ending(child.pid)
        return child

    def _ending(self, pid: int) -> Future[int]:
        with self._lock:
            return self._endings.setdefault(pid, Future())

    def listen(self) -> None:
        """Hear of births and deaths until the nursery is gone."""
        while message := self._control.recv(65_536):
            news = json.loads(message)
            if "pid" in news:
                self._pids.pop(news["request"]).set_result(news["pid"])
            else:
                self._ending(news["ended"]).set_result(news["code"])


@contextmanager
def open_nursery() -> Iterator[Nursery]:
    """A nursery of one's own; all its processes end with it."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    environment = clean_environment(PYTHONPATH=os.pathsep.join([str(ROOT), *filter(None, sys.path)]))
    command = [sys.executable, "-m", "tests.support.nursery_process", str(theirs.fileno())]
    with ours, subprocess.Popen(command, pass_fds=[theirs.fileno()], env=environment, cwd=ROOT) as popen:
        theirs.close()
        assert json.loads(ours.recv(1000) or b"{}").get("ready") == popen.pid, "the nursery did not start"
        made = Nursery(ours)
        listener = threading.Thread(target=made.listen, name="nursery", daemon=True)
        listener.start()
        try:
            yield made
        finally:
            ours.shutdown(socket.SHUT_WR)
            popen.wait(10)
            listener.join(10)
