"""A RabbitMQ of the test's own, to be killed and to lose its disk."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from tests.support.processes import until

# Debian's command in /usr/sbin becomes another user and forgets the environment; the one behind it does neither.
PROGRAM = shutil.which("rabbitmq-server", path=f"/usr/lib/rabbitmq/bin:{os.environ.get('PATH', '')}")


class RabbitNode:
    """One node in a folder of its own, always on the same port."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port, distribution = _free_ports()
        self.url = f"amqp://guest:guest@127.0.0.1:{self._port}/"
        (folder / "plugins").write_text("[].")
        self._environment = {name: value for name, value in os.environ.items() if not name.startswith("RABBITMQ_")} | {
            "HOME": str(folder),
            "RABBITMQ_NODENAME": f"ticketflow-test-{uuid4().hex[:12]}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self._port),
            "RABBITMQ_DIST_PORT": str(distribution),
            "RABBITMQ_MNESIA_BASE": str(folder / "data"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
            "RABBITMQ_CONFIG_FILE": str(folder / "none"),
        }
        self._popen: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        assert PROGRAM is not None
        self._popen = subprocess.Popen(
            [PROGRAM],
            env=self._environment,
            cwd=self._folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        until(self._answers, 60, "RabbitMQ to start", every=0.1)

    def kill(self) -> None:
        """SIGKILL for the node and all that it started."""
        if self._popen is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._popen.pid, signal.SIGKILL)
            self._popen.wait()
            self._popen = None

    def stop(self) -> None:
        """An orderly end, with everything written."""
        assert self._popen is not None
        os.killpg(self._popen.pid, signal.SIGTERM)
        self._popen.wait(60)
        self._popen = None

    def wipe(self) -> None:
        """Every queue, exchange and message is gone."""
        shutil.rmtree(self._folder / "data")

    def _answers(self) -> bool:
        assert self._popen is not None
        assert self._popen.poll() is None, "RabbitMQ ended by itself"
        with suppress(OSError), socket.create_connection(("127.0.0.1", self._port), timeout=2) as connection:
            connection.sendall(b"AMQP\x00\x00\x09\x01")
            return bool(connection.recv(1))
        return False


@contextmanager
def rabbit_node() -> Iterator[RabbitNode]:
    """A started node; gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="ticketflow-test-rabbitmq-"))
    node = RabbitNode(folder)
    try:
        node.start()
        yield node
    finally:
        node.kill()
        shutil.rmtree(folder, ignore_errors=True)


def _free_ports() -> tuple[int, int]:
    with socket.socket() as one, socket.socket() as two:
        for each in (one, two):
            each.bind(("127.0.0.1", 0))
        return one.getsockname()[1], two.getsockname()[1]
