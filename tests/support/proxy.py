"""A wire that tests can cut: a TCP proxy between a client and a real server."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future
from types import TracebackType
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

from psycopg.conninfo import conninfo_to_dict


class TcpProxy:
    """Passes bytes both ways between ``127.0.0.1:port`` and the target, until it is cut.

    Entered, it listens; ``cut`` breaks every connection and has new ones refused; ``restore`` listens again on the
    same port. ``stall`` keeps everything open and passes nothing on, as a hung server does, until ``flow``. ``delay``
    has whatever is read wait before it is passed on.
    A ``target_host`` that begins with ``/`` is the folder of PostgreSQL's Unix socket.
    """

    def __init__(self, target_host: str, target_port: int) -> None:
        self._target = (target_host, target_port)
        self._server: asyncio.Server | None = None
        self._place: socket.socket | None = None
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._delay = 0.0
        self._wires: dict[asyncio.Task[None], set[asyncio.StreamWriter]] = {}

    @property
    def port(self) -> int:
        assert self._place is not None, "the proxy is not entered"
        port: int = self._place.getsockname()[1]
        return port

    @property
    def connections(self) -> int:
        """How many clients are connected through it now."""
        return len(self._wires)

    async def __aenter__(self) -> TcpProxy:
        # Bound for as long as the proxy lives and never listening: while the wire is cut, nobody else gets the port.
        self._place = bound(0)
        try:
            await self.restore()
        except BaseException:
            self._place.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.cut()
        assert self._place is not None
        self._place.close()

    async def restore(self) -> None:
        """Accept connections (again)."""
        if self._server is None:
            self._server = await asyncio.start_server(self._accepted, sock=bound(self.port))

    async def cut(self) -> None:
        """Break every connection at once and refuse new ones. Done when this returns."""
        if self._server is not None:
            # Up to Python 3.11 a server that is closed in the moment after it accepted a client forgets that one.
            for listening in self._server.sockets:
                asyncio.get_running_loop().remove_reader(listening.fileno())
            await asyncio.sleep(0)
            self._server.close()
            self._server = None
        while self._wires:
            for writers in self._wires.values():
                for writer in writers:
                    writer.transport.abort()
            for task in self._wires:
                task.cancel()
            await asyncio.wait(self._wires)

    def stall(self) -> None:
        """Pass nothing on; connections stay open and new ones are accepted."""
        self._flowing.clear()

    def flow(self) -> None:
        """Pass on what was held back and whatever comes."""
        self._flowing.set()

    def delay(self, seconds: float) -> None:
        """Pass everything on this much later; 0 ends it."""
        self._delay = seconds

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        writers = {writer}
        self._wires[task] = writers
        try:
            if self._server is None:
                return
            there, back = await self._connect()
            writers.add(back)
            await asyncio.gather(self._pass_on(reader, back), self._pass_on(there, writer))
        except (OSError, asyncio.CancelledError):
            # A broken wire is what this is for; the client sees its connection end.
            pass
        finally:
            for open_ in writers:
                open_.transport.abort()
            del self._wires[task]

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        host, port = self._target
        if host.startswith("/"):
            return await asyncio.open_unix_connection(f"{host}/.s.PGSQL.{port}")
        return await asyncio.open_connection(host, port)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Everything that comes, and then the end of it, which TCP may announce in one direction only."""
        while data := await reader.read(65_536):
            if self._delay:
                await asyncio.sleep(self._delay)
            await self._flowing.wait()
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()


class ThreadedProxy:
    """A ``TcpProxy`` in a thread of its own, for tests that block. Made by ``threaded``."""

    def __init__(self, proxy: TcpProxy, run: Callable[[Callable[[], Any]], None]) -> None:
        self._proxy = proxy
        self._run = run

    @property
    def port(self) -> int:
        return self._proxy.port

    @property
    def connections(self) -> int:
        return self._proxy.connections

    def cut(self) -> None:
        self._run(self._proxy.cut)

    def restore(self) -> None:
        self._run(self._proxy.restore)

    def stall(self) -> None:
        self._run(self._proxy.stall)

    def flow(self) -> None:
        self._run(self._proxy.flow)

    def delay(self, seconds: float) -> None:
        self._run(lambda: self._proxy.delay(seconds))


@contextlib.asynccontextmanager
async def behind(database_url: str) -> AsyncIterator[tuple[str, TcpProxy]]:
    """A connection string for the same database through a proxy, and that proxy."""
    async with TcpProxy(*_database_server(database_url)) as wire:
        yield database_through(database_url, wire.port), wire


@contextlib.contextmanager
def wired_database(database_url: str) -> Iterator[tuple[str, ThreadedProxy]]:
    """The same for synchronous tests."""
    with threaded(*_database_server(database_url)) as wire:
        yield database_through(database_url, wire.port), wire


@contextlib.contextmanager
def wired_broker(rabbitmq_url: str) -> Iterator[tuple[str, ThreadedProxy]]:
    """A URL for the same virtual host through a proxy, and that proxy."""
    parts = urlsplit(rabbitmq_url)
    credentials, at, _ = parts.netloc.rpartition("@")
    with threaded(parts.hostname or "127.0.0.1", parts.port or 5672) as wire:
        yield urlunsplit(parts._replace(netloc=f"{credentials}{at}127.0.0.1:{wire.port}")), wire


def _database_server(database_url: str) -> tuple[str, int]:
    parts = conninfo_to_dict(database_url)
    return str(parts.get("host") or "127.0.0.1"), int(parts.get("port") or 5432)


def database_through(database_url: str, port: int) -> str:
    parts = {name: str(value) for name, value in conninfo_to_dict(database_url).items()}
    user = quote(parts.get("user", "postgres"), safe="")
    password = f":{quote(parts['password'], safe='')}" if "password" in parts else ""
    return f"postgresql://{user}{password}@127.0.0.1:{port}/{parts['dbname']}"


@contextlib.contextmanager
def threaded(target_host: str, target_port: int) -> Iterator[ThreadedProxy]:
    """A proxy for synchronous tests, until the block ends."""
    ready: Future[tuple[TcpProxy, asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def live() -> None:
        stop = asyncio.Event()
        try:
            async with TcpProxy(target_host, target_port) as proxy:
                ready.set_result((proxy, asyncio.get_running_loop(), stop))
                await stop.wait()
        except BaseException as error:
            if not ready.done():
                ready.set_exception(error)
            raise

    thread = threading.Thread(target=lambda: asyncio.run(live()), name="tcp-proxy", daemon=True)
    thread.start()
    proxy, loop, stop = ready.result(10)

    async def do(what: Callable[[], Any]) -> None:
        done = what()
        if inspect.isawaitable(done):
            await done

    def run(what: Callable[[], Any]) -> None:
        asyncio.run_coroutine_threadsafe(do(what), loop).result(10)

    try:
        yield ThreadedProxy(proxy, run)
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)


def bound(port: int) -> socket.socket:
    # Named as TCP, or asyncio would not switch Nagle's algorithm off and each answer would wait 40 ms for an ACK.
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        bound.bind(("127.0.0.1", port))
    except BaseException:
        bound.close()
        raise
    return bound
