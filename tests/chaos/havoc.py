"""The hand that carries out a schedule: processes, wires, queues and the model, and everything mended at the end."""

from __future__ import annotations

import asyncio
import heapq
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from random import Random
from uuid import uuid4

import aio_pika

from tests.chaos.schedule import Act, Mishap
from tests.support import services
from tests.support.deployment import Deployment
from tests.support.messages import publish, wake_up
from tests.support.model import Model
from tests.support.processes import Process
from tests.support.proxy import ThreadedProxy
from ticketflow.domain.routing import Lane

WORKERS, APIS = 3, 2
SOUND = {
    "latency_seconds": 0.03,
    **{
        f"{fault}_every": 0
        for fault in ("rate_limit", "error", "drop", "truncate", "garble", "misfit", "refuse", "bad_request")
    },
}
"""A model that answers, not at once, so that there is always something under way."""


class Havoc:
    """Workers and APIs under a supervisor: whichever ends is started again, as by Docker or systemd."""

    def __init__(
        self,
        deployment: Deployment,
        model: Model,
        wires: tuple[ThreadedProxy, ThreadedProxy],
        rabbitmq_url: str,
        random: Random,
    ) -> None:
        self._deployment = deployment
        self._model = model
        self._database, self._broker = wires
        self._rabbitmq_url = rabbitmq_url
        self._random = random
        self._ends: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()
        model.faults(**SOUND)
        self._apis = [self._deployment.start("api", "--port", "0") for _ in range(APIS)]
        self._workers = deployment.workers(WORKERS)

    def addresses(self) -> list[str]:
        """Where to ask just now."""
        return [record["url"] for process in self._apis for record in process.events("ticketflow.up")[:1]]

    def carry_out(self, schedule: list[Act]) -> None:
        """Let it all happen, and mend it. Returns when the last mishap is over."""
        begin = time.monotonic()
        for act in schedule:
            self._wait_until(begin + act.at)
            end = self._begin(act)
            heapq.heappush(self._ends, (begin + act.at + act.seconds, next(self._order), end))
        while self._ends:
            self._wait_until(self._ends[0][0])

    def supervise(self) -> None:
        """Start again what has ended."""
        for number, process in enumerate(self._workers):
            if process.popen.poll() is not None:
                self._replace_worker(number)
        for number, process in enumerate(self._apis):
            if process.popen.poll() is not None:
                self._apis[number] = self._deployment.start("api", "--port", "0")

    def _wait_until(self, moment: float) -> None:
        """Until then, keep everything running, and end what is over."""
        while (left := moment - time.monotonic()) > 0:
            self._end_what_is_over()
            self.supervise()
            time.sleep(min(left, 0.05))
        self._end_what_is_over()

    def _end_what_is_over(self) -> None:
        while self._ends and self._ends[0][0] <= time.monotonic():
            heapq.heappop(self._ends)[2]()

    def _begin(self, act: Act) -> Callable[[], None]:
        """Begin it, and return what ends it."""
        match act.what:
            case Mishap.KILL_WORKER:
                self._workers[act.which % WORKERS].kill()
            case Mishap.KILL_API:
                self._apis[act.which % APIS].kill()
            case Mishap.FREEZE_WORKER:
                frozen = self._workers[act.which % WORKERS]
                frozen.popen.send_signal(signal.SIGSTOP)
                return lambda: frozen.popen.send_signal(signal.SIGCONT)
            case Mishap.DRAIN_WORKER:
                draining = self._replace_worker(act.which % WORKERS)
                draining.popen.terminate()
                return draining.popen.terminate
            case Mishap.CUT_DATABASE | Mishap.CUT_BROKER:
                wire = self._wire(act)
                wire.cut()
                return wire.restore
            case Mishap.STALL_DATABASE | Mishap.STALL_BROKER:
                wire = self._wire(act)
                wire.stall()
                return wire.flow
            case Mishap.DELAY_DATABASE | Mishap.DELAY_BROKER:
                wire = self._wire(act)
                wire.delay(0.05)
                return lambda: wire.delay(0)
            case Mishap.PURGE_QUEUES:
                asyncio.run(services.purge(self._rabbitmq_url))
            case Mishap.DELETE_QUEUES:
                asyncio.run(services.empty(self._rabbitmq_url))
            case Mishap.REPEAT_MESSAGES:
                self._publish(self._old_messages())
            case Mishap.MALFORMED_MESSAGES:
                self._publish([b"", b"wake up", b"\x00" * 9, wake_up(v=7), wake_up(ticket_id=str(uuid4()))])
            case Mishap.MODEL_FAULTS:
                self._model.faults(**SOUND | act.faults)
                return lambda: self._model.faults(**SOUND)
        return lambda: None

    def _wire(self, act: Act) -> ThreadedProxy:
        return self._database if "database" in act.what else self._broker

    def _replace_worker(self, number: int) -> Process:
        """Another in the place of one, which is returned."""
        former = self._workers[number]
        self._workers[number] = self._deployment.worker()
        return former

    def _old_messages(self) -> list[bytes]:
        tickets = list(self._deployment.posted)
        chosen = self._random.sample(tickets, min(20, len(tickets)))
        return [wake_up(ticket_id=ticket.id) for ticket in chosen for _ in range(2)]

    def _publish(self, bodies: list[bytes]) -> None:
        with suppress(aio_pika.exceptions.AMQPError):  # Perhaps the exchange was deleted a moment ago.
            asyncio.run(publish(self._rabbitmq_url, bodies, list(Lane)))
