"""The worker: receive, claim, run, settle. Every way out of a message is exactly one of ack, requeue and reject."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol
from uuid import UUID

import structlog

from ticketflow.broker.messages import WakeUpMessage, parse
from ticketflow.broker.port import Broker, Delivery
from ticketflow.db.checkpoints import RUN_KEY
from ticketflow.db.commits import Commits
from ticketflow.db.leases import Held, Lease, Leases, NotClaimable, OtherFlow, Unknown, Unreadable
from ticketflow.domain.conversation import up_to_customer
from ticketflow.domain.delivery import (
    TAKEOVER,
    FailPermanently,
    RetryLater,
    RetryPolicy,
    StepAside,
    after_failure,
    kills_workers,
    may_be_the_provider,
)
from ticketflow.domain.errors import Cancelled, LeaseLost, Paused, Poison, StoreUnavailable, TicketflowError
from ticketflow.domain.tickets import Status
from ticketflow.llm.breaker import Breaker
from ticketflow.telemetry.logs import redacted
from ticketflow.worker.receiving import Receiving
from ticketflow.worker.run import TicketRun
from ticketflow.workflow.state import RunContext, Tools

log = structlog.get_logger()

PAUSE_WITHOUT_STORE = 1.0
"""Seconds before a message goes back when the database is away: it would only come again at once."""

LEAST_BEAT_SECONDS = 1.0
"""How long a heartbeat is waited for at least, however short the lease."""


class Graph(Protocol):
    """The compiled graph, as far as the worker needs it."""

    def astream(
        self, input: Any, config: Any, *, context: Any, durability: Any, stream_mode: Any
    ) -> AsyncIterator[Any]: ...


class WorkerObserver(Protocol):
    def in_flight(self, tickets: int) -> None: ...

    def processed(self, status: Status, seconds: float) -> None: ...

    def retried(self, reason: str) -> None: ...

    def lease_lost(self) -> None: ...


@dataclass(slots=True)
class _Active:
    """A ticket that this process claims (``run`` is None until then) or works on.

    ``repeated``: further messages about it, which wait for the end. Two claims at once would take the ticket from each
    other, and look like lost workers.
    """

    task: asyncio.Task[None]
    run: TicketRun | None = None
    repeated: list[Delivery] = field(default_factory=list)
    lost: str | None = None
    """Why the ticket is not ours any more, once a heartbeat has found out."""


@dataclass(frozen=True, slots=True)
class WorkerParts:
    broker: Broker
    leases: Leases
    commits: Commits
    flows: Mapping[str, Graph]
    """The compiled graph of each flow version that this release can run."""
    tools: Tools
    policy: RetryPolicy
    observer: WorkerObserver
    breaker: Breaker = field(default_factory=Breaker)
    close_after: timedelta | None = None
    """When an answered ticket closes by itself."""


class Worker:
    """Works on up to ``concurrency`` tickets at once until ``stop`` is called, and on none while the model is away."""

    def __init__(self, parts: WorkerParts, concurrency: int) -> None:
        self._parts = parts
        self._active: dict[UUID, _Active] = {}
        self._look_at_leases = asyncio.Event()
        self._receiving = Receiving(parts.broker, parts.breaker, concurrency, self._handle)

    def stop(self) -> None:
        """Take nothing new. ``run`` returns once what is under way has ended or its time is up."""
        self._receiving.stop()

    async def run(self, drain_seconds: float) -> None:
        """Work until ``stop``, then drain: what has not ended after ``drain_seconds`` is released for others."""
        heartbeat = asyncio.create_task(self._keep_leases())
        try:
            await self._receiving.run(drain_seconds)
        finally:
            heartbeat.cancel()
            await asyncio.gather(heartbeat, return_exceptions=True)

    async def _handle(self, delivery: Delivery) -> None:
        try:
            message = parse(delivery.body, delivery.headers)
        except Poison as error:
            log.warning("message.rejected", reason=str(error))
            await delivery.reject(str(error))
            return
        context = {"request_id": message.request_id, "traceparent": message.traceparent}
        known = {name: value for name, value in context.items() if value is not None}
        with structlog.contextvars.bound_contextvars(ticket_id=str(message.ticket_id), **known):
            try:
                await self._handle_ticket(message, delivery)
            except StoreUnavailable as error:
                log.warning("message.returned", reason=str(error))
                await asyncio.sleep(PAUSE_WITHOUT_STORE)
                await delivery.requeue()
            except Exception:
                # The outermost loop of one message: whatever it was, the other tickets go on.
                log.exception("message.failed")
                await asyncio.sleep(PAUSE_WITHOUT_STORE)
                await delivery.requeue()

    async def _handle_ticket(self, message: WakeUpMessage, delivery: Delivery) -> None:
        if active := self._active.get(message.ticket_id):
            active.repeated.append(delivery)
            # It may mean that the ticket is not ours any more: a person cancelled it, or had it started anew.
            self._look_at_leases.set()
            return
        task = asyncio.current_task()
        assert task is not None
        active = self._active[message.ticket_id] = _Active(task)
        worked: bool | None = None
        try:
            worked = await self._claim_and_work(active, message, delivery)
        finally:
            del self._active[message.ticket_id]
            self._report_in_flight()
            if worked is None:
                for repeated in active.repeated:
                    await repeated.requeue()
        for repeated in active.repeated:
            # What the first message could not do, the next one tries for itself. Given back, it would come again as if
            # a worker had been lost, and take the ticket from whoever works on it now.
            await (repeated.ack() if worked else self._handle(repeated))

    async def _claim_and_work(self, active: _Active, message: WakeUpMessage, delivery: Delivery) -> bool:
        """Settle the message by what the claim says. Returns whether the ticket needs no other message."""
        claimed = await self._parts.leases.claim(
            message.ticket_id, takeover=delivery.redelivered, request_id=message.request_id
        )
        match claimed:
            case Unknown():
                log.warning("message.rejected", reason="unknown ticket")
                await delivery.reject("no ticket has this id")
            case Held(worker=worker):
                log.info("message.duplicate", held_by=worker)
                await delivery.ack()
            case OtherFlow(version=version):
                log.warning("ticket.other_flow", flow_version=version, known=sorted(self._parts.flows))
                await delivery.ack()
            case Unreadable(reason=reason):
                log.warning("ticket.unreadable", reason=reason)
                await delivery.ack()
            case NotClaimable(status=status):
                log.info("message.not_needed", status=status)
                await delivery.ack()
            case Lease() as lease:
                # A message of the sweeper or of a timer knows no request; the trail does.
                with structlog.contextvars.bound_contextvars(request_id=lease.request_id):
                    done = await self._work(active, lease)
                await delivery.ack()
                return done
        return False

    async def _work(self, active: _Active, lease: Lease) -> bool:
        """Run the ticket as far as it goes. Returns False when it was taken from us: then others decide about it."""
        active.run = run = TicketRun(lease, self._parts.commits, self._parts.close_after)
        self._report_in_flight()
        if lease.takeovers:
            self._parts.observer.retried(TAKEOVER)
        log.info("ticket.claimed", attempt=lease.ticket.attempt, takeovers=lease.takeovers)
        try:
            await self._run_or_give_back(run)
        except asyncio.CancelledError:
            if active.lost is None:
                await self._release(lease)
                return True
            self._step_aside(run, active.lost)
        finally:
            # A heartbeat that finds the lease gone now must not end what settles the message.
            active.run = None
        return not run.taken

    async def _run_or_give_back(self, run: TicketRun) -> None:
        """Run the ticket. When the store goes away meanwhile, give it back as soon as that can be written down: handed
        back without a word it would look like one more worker that was lost on it."""
        try:
            await self._run(run)
        except StoreUnavailable as error:
            log.warning("ticket.store_away", step=run.step, reason=str(error))
            while True:
                await asyncio.sleep(PAUSE_WITHOUT_STORE)
                with contextlib.suppress(StoreUnavailable):
                    await self._release(run.lease)
                    return

    def _report_in_flight(self) -> None:
        self._parts.observer.in_flight(sum(active.run is not None for active in self._active.values()))

    async def _run(self, run: TicketRun) -> None:
        lease = run.lease
        try:
            if kills_workers(lease.takeovers):
                raise Poison(f"{lease.takeovers} workers were lost on this ticket without completing a step")
            flow_version = lease.ticket.flow_version
            async for _ in self._parts.flows[flow_version].astream(
                None if lease.checkpoint else {"flow_version": flow_version},
                {"configurable": {"thread_id": str(lease.ticket.id), RUN_KEY: run}},
                context=RunContext(
                    lease.ticket, self._parts.tools, run, conversation=up_to_customer(lease.conversation)
                ),
                durability="sync",
                # The run commits what matters. To have nothing streamed saves reading the whole state after each step.
                stream_mode=(),
            ):
                pass
            if run.status is None:
                raise Poison("the graph ended without a result")
        except StoreUnavailable:
            raise
        except Exception as error:  # noqa: BLE001 - after_failure is the table that decides what every error means
            down_for = await self._provider_down_for(run, error)
            # A decision once made is carried out, even while the worker is being stopped.
            await asyncio.shield(self._settle_failure(run, error, down_for))
        else:
            if run.status is Status.COMPLETED:
                self._ended(lease, Status.COMPLETED)
            else:
                log.info("ticket.asked")

    async def _provider_down_for(self, run: TicketRun, error: Exception) -> timedelta | None:
        """Whether the provider as a whole is to blame, as ``after_failure`` wants to know it. No ticket fails for good
        by the provider's doing without having it asked once more."""
        if not may_be_the_provider(error):
            return None
        last = run.counted >= self._parts.policy.max_attempts
        return await self._parts.breaker.down(make_sure=last)

    async def _settle_failure(self, run: TicketRun, error: Exception, down_for: timedelta | None) -> None:
        decision = after_failure(error, run.counted, self._parts.policy, random.random(), down_for=down_for)
        message = presentable(error)
        if not isinstance(error, TicketflowError):
            log.error("ticket.unexpected_error", step=run.step, exc_info=error)
        try:
            match decision:
                case StepAside(code=code):
                    self._step_aside(run, code)
                case RetryLater():
                    log.warning(
                        "ticket.retry",
                        step=run.step,
                        code=decision.code,
                        error=message,
                        retry_in_seconds=decision.delay.total_seconds(),
                    )
                    await run.put_aside(decision, message)
                    self._parts.observer.retried(decision.code)
                case FailPermanently():
                    log.error("ticket.failed", step=run.step, code=decision.code, error=message)
                    await run.give_up(decision, message)
                    self._ended(run.lease, Status.FAILED_PERMANENT)
        except (LeaseLost, Cancelled, Paused) as stopped:
            self._step_aside(run, stopped.code)

    async def _release(self, lease: Lease) -> None:
        await asyncio.shield(self._parts.leases.release(lease))
        log.info("ticket.released")

    async def _keep_leases(self) -> None:
        every = self._parts.leases.ttl.total_seconds() / 3
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(every):
                    await self._look_at_leases.wait()
            self._look_at_leases.clear()
            held = [(active, active.run) for active in self._active.values() if active.run is not None]
            if not held:
                continue
            try:
                async with asyncio.timeout(max(every, LEAST_BEAT_SECONDS)):
                    lost = await self._parts.leases.extend([run.lease for _, run in held])
            except TimeoutError:
                # One call that hangs must not cost the leases. It has used up the time until the next.
                log.warning("lease.not_extended", error="no answer in time")
                self._look_at_leases.set()
                continue
            except StoreUnavailable as error:
                log.warning("lease.not_extended", error=str(error))
                continue
            except Exception:
                log.exception("lease.extend_failed")
                continue
            for active, run in held:
                if run.lease.ticket.id in lost and active.run is run and not run.ending:
                    cancelled = lost[run.lease.ticket.id] is Status.CANCELLED
                    active.lost = Cancelled.code if cancelled else LeaseLost.code
                    active.task.cancel()

    def _step_aside(self, run: TicketRun, code: str) -> None:
        if run.taken:
            return  # Its commit was refused, and a heartbeat has found out as well.
        run.taken = True
        if code == LeaseLost.code:
            log.warning("lease.lost")
            self._parts.observer.lease_lost()
        else:
            log.info("ticket.stopped", reason=code)

    def _ended(self, lease: Lease, status: Status) -> None:
        seconds = (datetime.now(UTC) - lease.ticket.created_at).total_seconds()
        self._parts.observer.processed(status, max(seconds, 0.0))
        log.info("ticket.ended", status=status, seconds=round(seconds, 3))


def presentable(error: Exception) -> str:
    """The error in one line for trail, dead letter and log: no secrets, no control characters, at most 500 long."""
    text = redacted(str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__)
    return "".join(character if character.isprintable() else " " for character in text)[:500]
