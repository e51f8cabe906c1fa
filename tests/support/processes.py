"""Real Ticketflow processes, as an operator would start them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Protocol

ROOT = Path(__file__).parents[2]
OURS = ("TICKETFLOW_", "OPENAI_", "DATABASE_URL", "RABBITMQ_URL", "SUPABASE_", "LANGSMITH_", "LANGCHAIN_")


def clean_environment(**given: str) -> dict[str, str]:
    """The environment without anything that configures Ticketflow, plus what is given."""
    # A user's shell has no PYTHONUNBUFFERED either, with which the last words are written at once and not at the end.
    without = (*OURS, "PYTHONUNBUFFERED")
    return {name: value for name, value in os.environ.items() if not name.startswith(without)} | given


class Handle(Protocol):
    """What the tests use of ``subprocess.Popen``."""

    @property
    def pid(self) -> int: ...

    @property
    def returncode(self) -> int | None: ...

    @property
    def stderr(self) -> IO[str] | None: ...

    def poll(self) -> int | None: ...

    def wait(self, timeout: float | None = None) -> int: ...

    def send_signal(self, number: int, /) -> None: ...

    def terminate(self) -> None: ...

    def kill(self) -> None: ...


@dataclass
class Process:
    """A running process; ``lines`` is what it wrote to stderr, one entry a line."""

    popen: Handle
    lines: list[str] = field(default_factory=list)

    @property
    def pid(self) -> int:
        return self.popen.pid

    def events(self, name: str) -> list[dict[str, Any]]:
        """The log records with this event name."""
        return [record for record in self._records() if record.get("event") == name]

    def wait_for_event(self, name: str, timeout: float = 60) -> dict[str, Any]:
        """The first log record with this event name."""

        def seen() -> bool:
            if self.popen.poll() is not None and not self.events(name):
                raise AssertionError(f"the process ended with {self.popen.returncode}:\n" + "\n".join(self.lines[-30:]))
            return bool(self.events(name))

        until(seen, timeout, f"log event {name}")
        return self.events(name)[0]

    def kill(self) -> None:
        """SIGKILL: no drain, no goodbye."""
        self.popen.kill()
        self.popen.wait()

    def stop(self, timeout: float = 40) -> int:
        """SIGTERM, and the exit code."""
        if self.popen.poll() is None:
            self.popen.send_signal(signal.SIGTERM)
        return self.popen.wait(timeout)

    def _records(self) -> Iterator[dict[str, Any]]:
        for line in list(self.lines):
            try:
                record = json.loads(line)
            except ValueError:
                continue
            if isinstance(record, dict):
                yield record


@contextmanager
def running(
    arguments: Sequence[str], environment: dict[str, str], cwd: Path, module: str = "ticketflow"
) -> Iterator[Process]:
    """``python -m ticketflow ARGUMENTS`` until the block ends; killed if it has not ended by then.

    ``module`` may be one of the tests' own that stands in for the product.
    """
    paths = [environment.get("PYTHONPATH", ""), str(ROOT)]
    popen = subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        env=environment | {"PYTHONPATH": os.pathsep.join(filter(None, paths))},
        cwd=cwd,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
    )
    with followed(popen) as process:
        yield process


@contextmanager
def followed(popen: Handle) -> Iterator[Process]:
    """The process with what it says, until the block ends; killed if it has not ended by then."""
    process = Process(popen)

    def collect() -> None:
        assert popen.stderr is not None
        for line in popen.stderr:
            process.lines.append(line.rstrip())

    reader = threading.Thread(target=collect, daemon=True)
    reader.start()
    try:
        yield process
    finally:
        if popen.poll() is None:
            popen.kill()
        popen.wait()
        reader.join(10)
        assert popen.stderr is not None
        popen.stderr.close()


def until(true: Callable[[], Any], timeout: float, what: str, every: float = 0.02) -> Any:
    """Poll until ``true()`` is truthy and return that. Fails the test after ``timeout`` seconds."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        if value := true():
            return value
        time.sleep(every)
    raise AssertionError(f"waited {timeout:g} s in vain for {what}")


def http(
    method: str, url: str, body: Any = None, headers: dict[str, str] | None = None
) -> tuple[int, dict[str, str], Any]:
    """One request with the standard library: status, headers, decoded body."""
    data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    request = urllib.request.Request(
        url, data=data, method=method, headers={"Content-Type": "application/json", **(headers or {})}
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return response.status, dict(response.headers), _decoded(response.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, dict(error.headers), _decoded(error.read())


def _decoded(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except ValueError:
        return raw.decode(errors="replace")
