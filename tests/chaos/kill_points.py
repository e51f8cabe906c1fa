"""Kill points: what the code says it crosses, seen in a rehearsal, and then a death at each of them."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import count
from pathlib import Path

from tests.chaos.scenarios import Scenario, Stage
from tests.support.deployment import Deployment, Posted
from tests.support.model import Model
from tests.support.nursery_process import KILL, RECORD
from tests.support.processes import Process, until
from ticketflow.broker.relay import HOLD
from ticketflow.worker.upkeep import TIMER_HOLD

API, WORKER = "api", "worker"
ROUNDS = 6
"""How often a scenario is played for those that did not meet their boundary, because another process was quicker."""

ENDED = ("completed", "failed_permanent", "cancelled")

PATIENT = {
    "TICKETFLOW_LEASE_SECONDS": "3600",
    "TICKETFLOW_SWEEP_AFTER_SECONDS": "3600",
    "TICKETFLOW_WORKER_CONCURRENCY": "1",
    "TICKETFLOW_MODEL_ATTEMPTS": "1",
    "TICKETFLOW_RETRY_BASE_SECONDS": "0.05",
}
"""Neither a lease that runs out nor the sweeper can be what moves a ticket on; a worker has one ticket in hand."""

READY = ("broker.consuming", "worker.started")
"""What a worker says when it receives, with RabbitMQ and with the embedded queue."""


@dataclass(frozen=True, order=True)
class KillPoint:
    """``place`` is ``before NAME`` or ``after NAME``, as the process in this role says it."""

    role: str
    place: str


class Theatre:
    """Plays scenarios in one deployment, with processes that note what they cross or that die of it."""

    def __init__(self, deployment: Deployment, model: Model, rabbitmq_url: str | None) -> None:
        self.deployment = deployment
        self._model = model
        self._rabbitmq_url = rabbitmq_url
        self._records = count()
        deployment.environment |= PATIENT
        if rabbitmq_url is None:
            # Here a dead worker is noticed by its silence.
            del deployment.environment["RABBITMQ_URL"]
            deployment.environment["TICKETFLOW_LEASE_SECONDS"] = "1"
        self._healthy_api = deployment.api()
        self._address = deployment.address

    def rehearse(self, scenario: Scenario) -> set[KillPoint]:
        """Play it with processes that live, and return every boundary that they crossed."""
        records = {role: self.deployment.folder / f"{next(self._records)}.{role}" for role in (API, WORKER)}
        api, [address] = self._apis([{RECORD: str(records[API])}], scenario)
        worker = self.deployment.worker(**scenario.environment, **{RECORD: str(records[WORKER])})
        self._ready([worker])
        stage = self._stage([worker], [worker], [address, self._address])
        tickets = scenario.play(stage) or []
        self._others_end(scenario, tickets, worker)
        stage.until(lambda: stage.in_status(tickets, *ENDED), f"{scenario.name} to end")
        _leave([*api, worker])
        assert stage.in_status(tickets, scenario.ends[0]), self.deployment.statuses()
        return {KillPoint(role, place) for role, path in records.items() for place in _lines(path)}

    def kill_at(self, scenario: Scenario, points: Sequence[KillPoint]) -> set[KillPoint]:
        """Play it with a process for each point that dies there, and let others end it. Returns who did die."""
        died: set[KillPoint] = set()
        for first in range(0, len(points), scenario.at_once):
            died |= self._wave(scenario, points[first : first + scenario.at_once])
        return died

    def _wave(self, scenario: Scenario, points: Sequence[KillPoint]) -> set[KillPoint]:
        [role] = {point.role for point in points}
        doomed = [{KILL: point.place} for point in points]
        successor: Process | None = None
        if role == API:
            victims, addresses = self._apis(doomed, scenario)
            successor = self._successor(scenario)
            stage = self._stage(victims, [successor], [*addresses, self._address])
        else:
            victims = [self.deployment.worker(**scenario.environment, **kill) for kill in doomed]
            self._ready(victims)
            stage = self._stage(victims, victims, [self._address])
        tickets: list[Posted] = []
        for _ in range(ROUNDS):
            if not stage.alive():
                break
            played = scenario.play(stage)
            stage.until(lambda played=played: self._still(played), f"{scenario.name} to be played")
            tickets += played
        _leave(stage.alive())
        died = {point for point, victim in zip(points, victims, strict=True) if victim.popen.poll() == -signal.SIGKILL}
        self._others_end(scenario, tickets, successor)
        if successor is not None:
            successor.kill()
        return died

    def finish(self, tickets: Sequence[Posted]) -> None:
        """Every ticket ends, whatever still has to run out."""
        workers = [self.deployment.worker(TICKETFLOW_WORKER_CONCURRENCY="20") for _ in range(2)]
        query = "select count(*) from tickets where status <> all(%s)"
        until(lambda: self.deployment.sql(query, list(ENDED)) == [(0,)], 60, "every ticket to end")
        due = "select count(*) from timers where due_at <= clock_timestamp()"
        until(lambda: self.deployment.sql(due) == [(0,)], 60, "every timer to fire")
        for worker in workers:
            worker.stop()

    def _successor(self, scenario: Scenario) -> Process:
        worker = self.deployment.worker(**scenario.environment | {"TICKETFLOW_WORKER_CONCURRENCY": "20"})
        self._ready([worker])
        return worker

    def _others_end(self, scenario: Scenario, tickets: Sequence[Posted], worker: Process | None) -> None:
        """Until the tickets have ended, by this worker if it lives, else by another."""
        other = self._successor(scenario) if worker is None or worker.popen.poll() is not None else None
        try:
            until(lambda: self._still(tickets), 30, f"{scenario.name}: the tickets to end")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.deployment.story(tickets)}") from None
        if other is not None:
            other.kill()

    def _still(self, tickets: Sequence[Posted]) -> bool:
        """Whether each has ended, or waits for something that a dead process has in hand for a few seconds."""
        query = """
            select count(*) from tickets t where id = any(%s::uuid[]) and status <> all(%s)
            and not exists (select from timers m where m.ticket_id = t.id
                            and m.taken_until between clock_timestamp() and clock_timestamp() + %s)
            and not exists (select from outbox o where o.ticket_id = t.id
                            and o.available_at between clock_timestamp() and clock_timestamp() + %s)
        """
        lately = timedelta(seconds=0.5)
        ids = [ticket.id for ticket in tickets]
        return self.deployment.sql(query, ids, list(ENDED), TIMER_HOLD - lately, HOLD - lately) == [(0,)]

    def _apis(self, options: Sequence[dict[str, str]], scenario: Scenario) -> tuple[list[Process], list[str]]:
        """APIs with these options, and the addresses of those that came so far as to have one."""
        started = [self.deployment.start("api", "--port", "0", **scenario.environment, **each) for each in options]
        addresses = []
        for process in started:
            until(lambda p=process: p.events("ticketflow.up") or p.popen.poll() is not None, 60, "an API to be up")
            addresses += [record["url"] for record in process.events("ticketflow.up")]
        return started, addresses

    def _ready(self, workers: Sequence[Process]) -> None:
        """Until each receives messages, or is dead already."""
        said = READY[self._rabbitmq_url is None]
        for worker in workers:
            until(lambda w=worker: w.events(said) or w.popen.poll() is not None, 60, "a worker to be ready")

    def _stage(self, watched: list[Process], workers: list[Process], apis: list[str]) -> Stage:
        return Stage(self.deployment, self._model, self._rabbitmq_url, watched, workers, apis)


def _leave(processes: Sequence[Process]) -> None:
    """In good order, which has boundaries of its own."""
    for process in processes:
        process.popen.terminate()
    for process in processes:
        process.popen.wait(30)


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []
