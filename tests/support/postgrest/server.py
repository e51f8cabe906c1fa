"""A project's REST endpoint on a loopback port, served by a thread of its own."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections import Counter
from collections.abc import Coroutine, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

import psycopg
import uvicorn
from uvicorn.loops.auto import auto_loop_factory

from tests.support import services
from tests.support.postgrest.app import RestApp, Scope, Traffic
from tests.support.postgrest.database import Database
from tests.support.postgrest.faults import Faults
from tests.support.postgrest.keys import Keys

T = TypeVar("T")


class RestApi:
    """``url`` is the project's, without ``/rest/v1``: what clients get as SUPABASE_URL. Made by ``rest_api``.

    Its methods may be called from any thread but its own; those that wait block the caller.
    """

    def __init__(self, owner_url: str, port: int, pool_size: int, acquisition_seconds: float) -> None:
        self.keys = Keys()
        self.faults = Faults()
        self.owner_url = owner_url
        self._size, self._acquisition_seconds = pool_size, acquisition_seconds
        self._socket = _bound(port)
        self.port: int = self._socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._loop = auto_loop_factory()()
        self._thread = threading.Thread(target=self._loop.run_forever, name="postgrest", daemon=True)
        self._thread.start()
        self._server: uvicorn.Server | None = None
        self._run(self._open())

    # --- keys and claims -------------------------------------------------------------------------------------------

    @property
    def service_key(self) -> str:
        return self.keys.service_key

    @property
    def anon_key(self) -> str:
        return self.keys.anon_key

    @property
    def secret_key(self) -> str:
        return self.keys.secret_key

    @property
    def publishable_key(self) -> str:
        return self.keys.publishable_key

    @property
    def jwt_secret(self) -> str:
        return self.keys.jwt_secret

    def token(self, claims: Mapping[str, Any], secret: str | None = None) -> str:
        """A JWT with these claims, signed with the project's secret unless another is given."""
        return self.keys.token(claims, secret)

    # --- what it has seen ------------------------------------------------------------------------------------------

    @property
    def traffic(self) -> Traffic:
        return self._app.traffic

    @property
    def calls(self) -> Counter[str]:
        """Requests by function or table, answered or not."""
        return self._app.traffic.calls

    @property
    def executed(self) -> Counter[str]:
        """Those that took effect."""
        return self._app.traffic.executed

    def reset(self) -> None:
        """No faults, all keys hold, counts at zero, the schema cache as the database is."""
        self.faults.clear()
        self.keys.restore()
        self._app.traffic = Traffic()
        self._app.frozen = False
        self.reload_schema()

    # --- the schema cache ------------------------------------------------------------------------------------------

    @property
    def schema_words(self) -> int:
        """How often the database has spoken to PostgREST, and it has done what it was told."""
        return self._app.words

    def reload_schema(self) -> None:
        self._run(self._app.reload())

    def freeze_schema(self) -> None:
        """The cache stays as it is, whatever the database says, until ``reset``."""
        self._app.frozen = True

    # --- there and away --------------------------------------------------------------------------------------------

    def stop(self) -> None:
        """Connections are cut, and new ones refused, until ``start``."""
        self._run(self._stop())
        self._socket.close()

    def start(self) -> None:
        """On the same port."""
        self._socket = _bound(self.port)
        self._run(self._start())

    def close(self) -> None:
        self.faults.clear()
        self._run(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()
        self._socket.close()

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        running: Future[T] = asyncio.run_coroutine_threadsafe(work, self._loop)
        return running.result(30)

    async def _open(self) -> None:
        url = services.as_role(self.owner_url, "authenticator", "")
        self._database = Database(url, self._size, self._acquisition_seconds)
        self._app = RestApp(self._database, self.keys, self.faults, self._drop)
        with suppress(psycopg.Error):
            await self._app.reload()
        self._listener = asyncio.create_task(self._app.listen())
        await self._start()

    async def _start(self) -> None:
        config = uvicorn.Config(
            self._app, log_config=None, log_level="critical", access_log=False, ws="none", lifespan="off",
            proxy_headers=False, server_header=False, timeout_graceful_shutdown=0, backlog=2048,
        )  # fmt: skip
        config.load()
        server = uvicorn.Server(config)
        server.lifespan = config.lifespan_class(config)
        await server.startup(sockets=[self._socket])
        self._server = server

    async def _stop(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            for protocol in list(server.server_state.connections):
                protocol.transport.abort()
            await server.shutdown(sockets=[self._socket])

    async def _close(self) -> None:
        await self._stop()
        self._listener.cancel()
        await asyncio.gather(self._listener, return_exceptions=True)
        await self._database.close()

    def _drop(self, scope: Scope) -> None:
        assert self._server is not None
        for protocol in self._server.server_state.connections:
            if getattr(protocol, "scope", None) is scope:
                protocol.transport.close()


@contextmanager
def rest_api(
    owner_url: str, *, port: int = 0, pool_size: int = 10, acquisition_seconds: float = 10
) -> Iterator[RestApi]:
    """The REST endpoint of the project with this owner's connection string; gone afterwards."""
    api = RestApi(owner_url, port, pool_size, acquisition_seconds)
    try:
        yield api
    finally:
        api.close()


def _bound(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    return listener
