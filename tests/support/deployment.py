"""Ticketflow as an operator runs it: one database, one virtual host, and as many processes as the test starts."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any
from uuid import uuid4

import psycopg

from tests.support import processes
from tests.support.access import SECRET, bearer
from tests.support.processes import Process, clean_environment, http, until
from tests.support.project import Project
from ticketflow.db.postgres import PostgresGateway
from ticketflow.db.reads import Reads
from ticketflow.domain.roles import Role
from ticketflow.knowledge.library import Library
from ticketflow.samples import articles
from ticketflow.services.verify import Verdict, verify

STEPS = ("classify", "extract", "research", "draft", "review", "finalize")
ASKED = ("classify", "draft", "review")
"""The steps that ask the model, as long as nobody has a ticket run again from ``extract``."""

QUESTION = "I forgot my password, how do I reset it?"
"""Answered by one of the sample articles, without a revision."""


Start = Callable[[Sequence[str], dict[str, str], Path], AbstractContextManager[Process]]
"""``support.processes.running``, or the same of a nursery."""


@dataclass(frozen=True)
class Posted:
    """A ticket that got its 2xx. ``marker`` stands in its text, so that the model server can tell who asked."""

    id: str
    marker: str

    @property
    def customer_id(self) -> str:
        return customer_of(self.marker)


def customer_of(marker: str) -> str:
    return f"cus_{marker[2:8]}"


def new_marker() -> str:
    return f"[[{uuid4().hex[:12]}]]"


def like_no_other(marker: str, question: str = QUESTION, **fields: Any) -> dict[str, Any]:
    """The request for a ticket with this marker."""
    return {"subject": question, "body": f"{question} {marker}", "customer_id": customer_of(marker), **fields}


@dataclass
class Deployment:
    """``environment`` is what every process gets; ``address`` is the last API that was started."""

    folder: Path
    database_url: str
    environment: dict[str, str]
    database: psycopg.Connection[Any]
    stack: ExitStack
    running: Start
    headers: Mapping[str, str] = field(default_factory=dict)
    """What every request to the API carries."""
    address: str = ""
    posted: list[Posted] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    """The ids of the messages that were acknowledged."""
    started: list[Process] = field(default_factory=list)

    def start(self, *arguments: str, **environment: str) -> Process:
        """``ticketflow ARGUMENTS`` until the test ends."""
        process = self.stack.enter_context(self.running(arguments, self.environment | environment, self.folder))
        self.started.append(process)
        return process

    def start_module(self, module: str, *arguments: str, **environment: str) -> Process:
        """Another release of the product, or a module of the tests' own that stands in for one, until the test ends."""
        given = self.environment | environment
        return self.stack.enter_context(processes.running(arguments, given, self.folder, module))

    def api(self, **environment: str) -> Process:
        process = self.start("api", "--port", "0", **environment)
        self.address = process.wait_for_event("ticketflow.up")["url"]
        return process

    def worker(self, *arguments: str, **environment: str) -> Process:
        """A worker that may not be ready yet."""
        return self.start("worker", "--metrics-port", "0", *arguments, **environment)

    def workers(self, count: int, *arguments: str, **environment: str) -> list[Process]:
        """Workers that are ready to receive."""
        started = [self.worker(*arguments, **environment) for _ in range(count)]
        for process in started:
            process.wait_for_event("broker.consuming")
        return started

    def request(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, dict[str, str], Any]:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return http(method, self.address + path, body, {**self.headers, **named})

    def post(self, question: str = QUESTION, marker: str = "", **fields: Any) -> Posted:
        """Take in a ticket like no other."""
        marker = marker or new_marker()
        status, _, answer = self.request("POST", "/tickets", like_no_other(marker, question, **fields))
        assert status == 201, answer
        posted = Posted(answer["ticket_id"], marker)
        self.posted.append(posted)
        return posted

    def post_many(self, count: int, questions: Iterable[str] = (QUESTION,)) -> list[Posted]:
        """Tickets posted by several callers at once."""
        asked = list(questions)
        with ThreadPoolExecutor(8) as pool:
            return list(pool.map(lambda number: self.post(asked[number % len(asked)]), range(count)))

    def sql(self, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
        cursor = self.database.execute(query, parameters)
        return cursor.fetchall() if cursor.description else []

    def reconnect(self) -> None:
        """The test's own connection anew, after the server was killed."""
        self.database.close()
        self.database = self.stack.enter_context(psycopg.connect(self.database_url, autocommit=True))

    def story(self, tickets: Collection[Posted], at_most: int = 5) -> str:
        """The unfinished ones' trails and what they wait for, and what each process said last: for a failed test."""
        told = []
        query = """
            select t.id::text, t.status, t.waiting_for, to_jsonb(l),
                   (select jsonb_agg(o) from outbox o where o.ticket_id = t.id),
                   (select jsonb_agg(m) from timers m where m.ticket_id = t.id)
            from tickets t left join leases l on l.ticket_id = t.id
            where t.id = any(%s::uuid[]) and t.status not in ('completed', 'failed_permanent', 'cancelled')
            order by t.created_at limit %s
        """
        for ticket_id, *state in self.sql(query, [ticket.id for ticket in tickets], at_most):
            told.append(f"{ticket_id}: {state}")
            trail = "select to_jsonb(e) - 'ticket_id' - 'changes' from events e where ticket_id = %s order by seq"
            told += [f"    {event!r:.300}" for (event,) in self.sql(trail, ticket_id)]
        for process in self.started:
            told.append(f"process {process.pid}, exit code {process.popen.poll()}:")
            told += [f"    {line:.300}" for line in process.lines[-12:]]
        return "\n".join(told)

    def statuses(self) -> Counter[str]:
        return Counter(status for (status,) in self.sql("select status from tickets"))

    def until_completed(self, tickets: Collection[Posted], timeout: float = 60) -> None:
        ids = [ticket.id for ticket in tickets]
        query = "select count(*) from tickets where id = any(%s::uuid[]) and status = 'completed'"
        try:
            until(lambda: self.sql(query, ids) == [(len(ids),)], timeout, "the tickets to complete", every=0.05)
        except AssertionError as error:
            errors = self.sql("select payload from events where event_type = 'error' order by id desc limit 3")
            raise AssertionError(f"{error}: {dict(self.statuses())}, last errors {errors}") from None

    def steps(self) -> Mapping[str, Counter[str]]:
        """How often each ticket's trail says that each step was completed."""
        counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
        rows = self.sql(
            "select ticket_id, step_name, count(*) from events where event_type = 'step_complete' group by 1, 2"
        )
        for ticket_id, step, times in rows:
            counts[str(ticket_id)][step] = times
        return counts

    def assert_completed_once(self, tickets: Collection[Posted]) -> None:
        """Each of these tickets has one result and every step exactly once, and the audit finds nothing anywhere."""
        counts = self.steps()
        for ticket in tickets:
            assert counts[ticket.id] == Counter(STEPS), ticket
        results = self.sql(
            "select ticket_id::text, count(*) from events where changes ? 'result' group by 1 having count(*) > 1"
        )
        assert results == []
        self.assert_consistent()

    def assert_all_said_once(self) -> None:
        """Each acknowledged message is kept, and none that was sent again is kept twice."""
        kept = [id for (id,) in self.sql("select id::text from messages where author <> 'pipeline'")]
        assert set(self.said) - set(kept) == set()
        twice = "select ticket_id, body from messages where author <> 'pipeline' group by 1, 2 having count(*) > 1"
        assert self.sql(twice) == []

    def assert_consistent(self) -> None:
        verdict = self.verify()
        assert verdict.violations == ()
        assert verdict.tickets == self.sql("select count(*) from tickets")[0][0]

    def verify(self) -> Verdict:
        return asyncio.run(audited(self.database_url))


async def audited(database_url: str) -> Verdict:
    """What ``ticketflow verify`` would say."""
    gateway = PostgresGateway(database_url, 2)
    await gateway.open()
    try:
        return await verify(Reads(gateway))
    finally:
        await gateway.aclose()


@contextmanager
def deployed(
    folder: Path, database_url: str, rabbitmq_url: str, model_url: str, running: Start
) -> Iterator[Deployment]:
    """A deployment without processes, its knowledge base filled; what the test starts ends with it.

    However the test ended, the audit must have nothing to say about what it left behind.
    """
    servers = {"DATABASE_URL": database_url, "RABBITMQ_URL": rabbitmq_url}
    with _deployed(folder, database_url, servers, model_url, running) as deployment:
        yield deployment


@contextmanager
def deployed_on(project: Project, folder: Path, model_url: str, running: Start) -> Iterator[Deployment]:
    """The same on a Supabase project by its address and key, and nothing else: the queue is in the database."""
    servers = {"SUPABASE_URL": project.url, "SUPABASE_KEY": project.key, "TICKETFLOW_TOKEN_SECRET": SECRET}
    with _deployed(folder, project.owner_url, servers, model_url, running, bearer(Role.ADMIN)) as deployment:
        yield deployment


@contextmanager
def _deployed(
    folder: Path,
    database_url: str,
    servers: Mapping[str, str],
    model_url: str,
    running: Start,
    headers: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[Deployment]:
    asyncio.run(_fill(database_url))
    environment = clean_environment(**servers, OPENAI_API_KEY="sk-test", OPENAI_BASE_URL=model_url)
    with psycopg.connect(database_url, autocommit=True) as database, ExitStack() as stack:
        deployment = Deployment(folder, database_url, environment, database, stack, running, headers)
        yield deployment
        stack.close()
        if not database.closed:
            deployment.assert_consistent()


async def _fill(database_url: str) -> None:
    gateway = PostgresGateway(database_url, 2)
    await gateway.open()
    try:
        await Library(gateway).add(articles())
    finally:
        await gateway.aclose()
