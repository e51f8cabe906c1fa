"""The composition root: settings in, a connected application out. The only module that knows all adapters."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import socket
from collections.abc import AsyncIterator, Coroutine, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import structlog

from ticketflow.access.secret import configured_secret
from ticketflow.broker.port import Broker
from ticketflow.broker.relay import POLL_SECONDS as LOOK_SECONDS
from ticketflow.broker.relay import Relay
from ticketflow.db.batching import BatchLimits
from ticketflow.db.commits import Commits
from ticketflow.db.gateway import Gateway
from ticketflow.db.leases import Leases
from ticketflow.db.outbox import Outbox
from ticketflow.db.reads import Reads
from ticketflow.db.retention import Retention
from ticketflow.db.tallies import Tallies
from ticketflow.domain.errors import BrokerUnavailable, ConfigurationError, StoreUnavailable, TicketflowError
from ticketflow.domain.tickets import WaitingFor
from ticketflow.knowledge.library import Library
from ticketflow.llm.breaker import Breaker
from ticketflow.llm.limits import Limits
from ticketflow.llm.port import Model
from ticketflow.llm.traffic import Traffic
from ticketflow.measuring import Measured
from ticketflow.services.again import Again
from ticketflow.services.conversation import Conversation
from ticketflow.services.dead_letters import DeadLetters
from ticketflow.services.inspect import Inspect
from ticketflow.services.intake import Intake
from ticketflow.services.steer import Steer
from ticketflow.services.transitions import Transitions
from ticketflow.settings import Settings
from ticketflow.store import reached
from ticketflow.telemetry.metrics import Metrics
from ticketflow.workflow.routes import load as load_routes
from ticketflow.workflow.state import Tools

if TYPE_CHECKING:
    from ticketflow.access.bearer import Access
    from ticketflow.workflow.flows import Flow

log = structlog.get_logger()

API_PATIENCE_SECONDS = 3.0
"""A caller is told soon that the store is away; a worker can wait longer with a step in hand."""

WORKER_PATIENCE_SECONDS = 20.0

RARELY_OVER_REST = 8.0
"""How many times as long as over a connection an idle process pauses between looks for work: each is a request, and a
process that does nothing else would make twenty million of them a month."""

PROBE_SECONDS = 1.5
"""How long a probe or a scrape waits for each part: less than those who ask wait for the answer, also in an outage."""


@dataclass(frozen=True, slots=True)
class Application:
    """Everything connected. Made by ``connected`` and valid within it."""

    settings: Settings
    metrics: Metrics
    observer: Measured
    gateway: Gateway
    commits: Commits
    reads: Reads
    outbox: Outbox
    broker: Broker
    relay: Relay
    library: Library
    traffic: Traffic
    """What this process may ask the model provider, where it has a worker that does."""
    intake: Intake
    steer: Steer
    transitions: Transitions
    conversation: Conversation
    dead_letters: DeadLetters
    inspect: Inspect
    retention: Retention
    tallies: Tallies
    rarely: float
    """How many times as long as usual to pause between looks that are mostly in vain."""
    database_label: str
    database_advice: str
    """What would be a better way to the database; empty where there is none."""
    broker_label: str

    async def readiness(self) -> dict[str, str]:
        """``ok`` or the error's code for database, broker, and the model where this process asks one."""
        database, broker = await asyncio.gather(_answers(self.reads.ping()), _answers(self.broker.ping()))
        checks = {
            "database": "ok" if database else StoreUnavailable.code,
            "broker": "ok" if broker else BrokerUnavailable.code,
        }
        breaker = self.traffic.breaker
        if breaker.watched:
            checks["model"] = breaker.cause.code if breaker.cause else "ok"
        return checks

    async def refresh_gauges(self) -> None:
        """Bring the gauges that only database and broker know up to date; what is away keeps its last value."""
        await asyncio.gather(self._refresh_counts(), self._refresh_depths())

    async def _refresh_counts(self) -> None:
        with contextlib.suppress(Exception):
            async with asyncio.timeout(PROBE_SECONDS):
                self.metrics.set_gauges(await self.reads.gauges(), list(WaitingFor))

    async def _refresh_depths(self) -> None:
        with contextlib.suppress(Exception):
            async with asyncio.timeout(PROBE_SECONDS):
                depths = await self.broker.depths()
            for lane, depth in depths.items():
                self.metrics.queue_depth.labels(lane.value).set(depth)


async def _answers(ping: Coroutine[None, None, None]) -> bool:
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            await ping
    except (TicketflowError, TimeoutError):
        return False
    return True


@contextlib.asynccontextmanager
async def connected(
    settings: Settings, *, auto_migrate: bool, fill_empty: bool = False, patience: float = API_PATIENCE_SECONDS
) -> AsyncIterator[Application]:
    """Connect everything, and disconnect it again on the way out.

    ``auto_migrate`` brings the schema up to this release, ``fill_empty`` only that of a database with nothing in it.
    Raises ``StoreUnavailable`` when the database does not answer, and ``ConfigurationError`` when the schema is behind.
    A broker that is away does not stop the start: the outbox waits for it.
    """
    metrics = Metrics()
    observer = Measured(metrics)
    async with contextlib.AsyncExitStack() as stack:
        store = await stack.enter_async_context(reached(settings, auto_migrate=auto_migrate, fill_empty=fill_empty))
        gateway = store.gateway
        reads, outbox = Reads(gateway), Outbox(gateway)
        rarely = RARELY_OVER_REST if settings.over_rest else 1.0
        broker, broker_label = _broker(settings, gateway, reads, rarely)
        stack.push_async_callback(broker.aclose)
        relay = Relay(outbox, broker, LOOK_SECONDS * rarely)
        commits = Commits(
            gateway,
            BatchLimits(patience=patience),
            metrics.db_commit_batch_size.observe,
            relay.wake,
        )
        stack.push_async_callback(commits.aclose)
        steer = Steer(commits, reads, observer)
        again = Again(reads, settings.reply_settle)
        yield Application(
            settings=settings,
            metrics=metrics,
            observer=observer,
            gateway=gateway,
            commits=commits,
            reads=reads,
            outbox=outbox,
            broker=broker,
            relay=relay,
            library=Library(gateway),
            traffic=_traffic(settings, observer),
            intake=Intake(commits, observer),
            steer=steer,
            transitions=Transitions(commits, reads, again, settings.close_after),
            conversation=Conversation(commits, reads, again),
            dead_letters=DeadLetters(commits, reads, outbox, steer),
            inspect=Inspect(reads),
            retention=Retention(gateway),
            tallies=Tallies(gateway),
            rarely=rarely,
            database_label=store.label,
            database_advice=store.advice,
            broker_label=broker_label,
        )


def check_access(settings: Settings) -> None:
    """Raises ``ConfigurationError`` when the secret for tokens cannot be used."""
    configured_secret(settings)


async def check_users_keys(settings: Settings) -> None:
    """Raises ``ConfigurationError`` when no token of the Supabase project's users would be accepted, and
    ``KeysUnavailable`` when that cannot be told."""
    from ticketflow.access.supabase import public_keys

    if settings.supabase_url is None or settings.supabase_jwt_secret is not None:
        return
    async with contextlib.aclosing(public_keys(settings.supabase_url)) as keys:
        if not await keys.usable():
            raise ConfigurationError(
                "the project has no public keys, so its users' tokens are refused: set SUPABASE_JWT_SECRET to its "
                "legacy JWT secret, or make a signing key in the dashboard"
            )


def access(app: Application) -> contextlib.AbstractAsyncContextManager[Access]:
    """Who may call this application's API. Imports cryptography only now: workers do without it."""
    from ticketflow.access.bearer import configured

    return configured(app.settings, app.gateway)


def _broker(settings: Settings, gateway: Gateway, reads: Reads, rarely: float) -> tuple[Broker, str]:
    if settings.rabbitmq_url is None:
        from ticketflow.broker.embedded import POLL_SECONDS, EmbeddedBroker

        return EmbeddedBroker(gateway, settings.lease_ttl, POLL_SECONDS * rarely), "embedded queue"
    from ticketflow.broker.messages import parse
    from ticketflow.broker.rabbitmq import DeadMessage, RabbitBroker
    from ticketflow.domain.errors import Poison

    async def record(dead: DeadMessage) -> None:
        try:
            ticket_id = parse(str(dead.payload["body"]).encode(), {}).ticket_id
        except Poison:
            ticket_id = None
        await reads.record_dead_message(dead.id, ticket_id, "message", dead.reason, dead.payload)

    return RabbitBroker(settings.rabbitmq_url.get_secret_value(), record), "RabbitMQ (RABBITMQ_URL)"


def _traffic(settings: Settings, observer: Measured) -> Traffic:
    breaker = Breaker(settings.breaker_failures, observer.breaker_changed)
    return Traffic(breaker, Limits(settings.model_concurrency, settings.model_requests_per_minute))


def model(settings: Settings, observer: Measured, traffic: Traffic | None = None) -> Model:
    """The configured model, or the offline rules, which say so. A process's calls all go through its ``traffic``."""
    if settings.model_label is None:
        from ticketflow.llm.offline import OfflineModel

        return OfflineModel()
    observer.model_chosen(settings.model_label)
    from ticketflow.llm.openai import OpenAIModel
    from ticketflow.llm.prices import PriceList

    prices = PriceList(_micro_usd(settings.price_input_per_million), _micro_usd(settings.price_output_per_million))
    if not prices.known(settings.model_label):
        log.warning(
            "llm.price_unknown",
            model=settings.model_label,
            hint="costs are shown as 0: set TICKETFLOW_PRICE_INPUT_PER_MILLION and TICKETFLOW_PRICE_OUTPUT_PER_MILLION",
        )
    return OpenAIModel(
        api_key=settings.openai_api_key.get_secret_value() if settings.openai_api_key else None,
        base_url=settings.openai_base_url,
        model=settings.model_label,
        timeout=timedelta(seconds=settings.model_timeout_seconds),
        attempts=settings.model_attempts,
        prices=prices,
        observer=observer,
        traffic=traffic,
    )


def _micro_usd(dollars: float | None) -> int | None:
    return None if dollars is None else round(dollars * 1_000_000)


def leases(app: Application, flows: Mapping[str, object]) -> Leases:
    """Leases in this process's name, for tickets of these flow versions."""
    limits = BatchLimits(patience=WORKER_PATIENCE_SECONDS)
    return Leases(app.gateway, worker_name(), app.settings.lease_ttl, list(flows), limits)


def tools(app: Application, asked: Model) -> Tools:
    """What the steps work with. Raises ``ConfigurationError`` when the routing rules cannot be used."""
    settings = app.settings
    return Tools(
        model=asked,
        search=app.library,
        history=app.reads,
        rules=load_routes(settings.routes_file),
        observer=app.observer,
        extra_fields=settings.extract_fields,
        step_limit=timedelta(seconds=settings.step_timeout_seconds),
    )


@contextlib.asynccontextmanager
async def first_step_tools(settings: Settings) -> AsyncIterator[Tools]:
    """What the first step works with, and nothing more: no database is opened.

    The model is the configured one, within a worker's limits. Once the provider is down as a whole, nothing asks it
    again.
    """
    from ticketflow.evaluation.classify import NothingElse

    observer, nothing = Measured(Metrics()), NothingElse()
    asked = model(settings, observer, _traffic(settings, observer))
    try:
        yield Tools(
            model=asked,
            search=nothing,
            history=nothing,
            rules=(),
            observer=observer,
            extra_fields=settings.extract_fields,
            step_limit=timedelta(seconds=settings.step_timeout_seconds),
        )
    finally:
        await asked.aclose()


def flows(app: Application) -> Mapping[str, Flow]:
    """The compiled graph of each flow version, on the application's own checkpointer; new tickets start on the first.

    Imports LangGraph only now: an API does without it.
    """
    import langsmith

    from ticketflow.db.checkpoints import CheckpointSaver
    from ticketflow.workflow.flows import FLOWS

    # Otherwise a LANGSMITH_TRACING that another project left in the environment sends customers' texts away.
    langsmith.configure(enabled=False)
    saver = CheckpointSaver(app.gateway)
    return {version: build(saver) for version, build in FLOWS.items()}


def worker_name() -> str:
    """Names a worker process in leases and events; a container that is started again has its old host name and pid."""
    return f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(2)}"
