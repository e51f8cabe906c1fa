"""The process that forks Ticketflow processes: it has imported everything that they need, and does nothing else.

``python -m tests.support.nursery_process FD``; FD is a Unix socket on which ``support.nursery`` speaks to it. A request
is a JSON object with the descriptor that becomes the child's stderr; for each, a child runs the real ``ticketflow``
command. The nursery reaps its children and says how they ended. It never has a second thread, which a fork would not
survive, and its children end with it.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import json
import os
import select
import signal
import socket
import sys
import threading
from typing import Any

from ticketflow.telemetry import boundaries
from ticketflow.telemetry.boundaries import Listener, Side

KILL = "NURSERY_KILL"
"""``before|after NAME``: the process kills itself when it first reaches that side of that boundary."""

RECORD = "NURSERY_RECORD"
"""A file to which the process writes a line ``before|after NAME`` for each boundary it reaches for the first time."""

NEEDED = (
    "anyio._backends._asyncio",
    "anyio.streams.tls",
    "httpcore2",
    "langchain_core.tracers.stdout",
    "langsmith",
    "openai.lib.streaming.chat",
    "openai.resources.chat",
    "psycopg",
    "ticketflow.broker.embedded",
    "ticketflow.broker.rabbitmq",
    "ticketflow.cli.main",
    "ticketflow.cli.serve",
    "ticketflow.db.checkpoints",
    "ticketflow.llm.openai_chat",
    "ticketflow.llm.openai_http",
    "ticketflow.worker.main",
    "ticketflow.workflow.graph",
    "truststore",
    "uvicorn.lifespan.on",
    "uvicorn.protocols.http.auto",
    "uvicorn.protocols.websockets.auto",
    "uvloop",
)
"""Also what is imported late, at the first request or the first call of the model: each child would do it anew."""

_PR_SET_PDEATHSIG = 1


def main() -> None:
    for module in NEEDED:
        importlib.import_module(module)
    gc.freeze()
    control = socket.socket(fileno=int(sys.argv[1]))
    woken, wake = os.pipe2(os.O_NONBLOCK)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    say(control, {"ready": os.getpid()})
    while True:
        ready, _, _ = select.select([control, woken], [], [])
        if woken in ready:
            os.read(woken, 4096)
            bury(control)
        if control in ready:
            message, descriptors, _, _ = socket.recv_fds(control, 1_000_000, 1)
            if not message:
                return
            request = json.loads(message)
            assert threading.active_count() == 1, threading.enumerate()
            if (pid := os.fork()) == 0:
                live(request, descriptors[0])
            os.close(descriptors[0])
            say(control, {"request": request["request"], "pid": pid})


def say(control: socket.socket, what: dict[str, Any]) -> None:
    control.sendall(json.dumps(what).encode())


def bury(control: socket.socket) -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        say(control, {"ended": pid, "code": os.waitstatus_to_exitcode(status)})


def live(request: dict[str, Any], stderr: int) -> None:
    """The child: ``ticketflow`` with these arguments and this environment, to its end."""
    code = 1
    try:
        be_a_process_of_ones_own(request, stderr)
        from ticketflow.cli.main import main as ticketflow

        code = ticketflow()
    except SystemExit as left:
        code = left.code if isinstance(left.code, int) else int(left.code is not None)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stderr.flush()
        os._exit(code)


def be_a_process_of_ones_own(request: dict[str, Any], stderr: int) -> None:
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGCHLD, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    nothing = os.open(os.devnull, os.O_RDWR)
    for number, source in enumerate((nothing, nothing, stderr)):
        os.dup2(source, number)
    # The interpreter's own were made for other files.
    sys.stdin, sys.stdout = os.fdopen(0), os.fdopen(1, "w")
    sys.stderr = os.fdopen(2, "w", buffering=1, errors="backslashreplace")
    os.closerange(3, max(map(int, os.listdir("/proc/self/fd"))) + 1)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.argv = ["ticketflow", *request["arguments"]]
    if point := os.environ.pop(KILL, None):
        boundaries.listen(killer(point))
    if path := os.environ.pop(RECORD, None):
        boundaries.listen(recorder(path))


def killer(point: str) -> Listener:
    def listener(name: str, side: Side) -> None:
        if f"{side} {name}" == point:
            os.kill(os.getpid(), signal.SIGKILL)

    return listener


def recorder(path: str) -> Listener:
    record = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    seen: set[tuple[str, Side]] = set()

    def listener(name: str, side: Side) -> None:
        if (name, side) not in seen:
            seen.add((name, side))
            os.write(record, f"{side} {name}\n".encode())

    return listener


if __name__ == "__main__":
    main()
