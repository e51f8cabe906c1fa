"""A connection pooler of the tests' own, which takes every liberty that a real one in transaction mode may take.

It speaks PostgreSQL's protocol (https://www.postgresql.org/docs/current/protocol-flow.html) from message to message:
each transaction of a client goes to another server connection than the one before it, if there is one that is free, and
nothing is reset in between.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import socket
import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import psycopg

from tests.support.proxy import bound, database_through

_SSL_REQUEST, _GSS_REQUEST, _CANCEL_REQUEST = 80877103, 80877104, 80877102
_ENDS_A_REQUEST = (b"Q", b"S", b"F")
"""Query, Sync, function call: what the server answers with ReadyForQuery."""
_REPORTED = ("server_version", "server_encoding", "client_encoding", "DateStyle", "integer_datetimes", "TimeZone")

Message = tuple[bytes, bytes]
"""The type, and the whole message with type and length."""


@dataclass(eq=False)
class _Backend:
    """A connection to the real server. libpq logs in; from then on its socket is read and written here."""

    login: psycopg.AsyncConnection[Any]
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def close(self) -> None:
        self.writer.transport.abort()
        await self.login.close()


@dataclass
class Pooler:
    """Made by ``pooled``. ``refusal`` is what new clients are sent away with; ``ignores_options`` lets them in with
    start-up options that no server will see, where PgBouncer's default is to refuse them."""

    database_url: str
    session_mode: bool
    refusal: str | None = None
    ignores_options: bool = False

    def __post_init__(self) -> None:
        self._numbers = itertools.count(2**30)  # No process has such an id.
        self._changed = asyncio.Condition()
        self._idle: list[_Backend] = []
        self._all: set[_Backend] = set()
        self._serving: dict[bytes, _Backend] = {}
        self._clients: set[asyncio.Task[None]] = set()

    async def add(self) -> _Backend:
        login = await psycopg.AsyncConnection.connect(self.database_url, sslmode="disable", gssencmode="disable")
        taken = socket.socket(fileno=os.dup(login.fileno()))
        backend = _Backend(login, *await asyncio.open_connection(sock=taken))
        self._all.add(backend)
        return backend

    async def give_back(self, backend: _Backend) -> None:
        async with self._changed:
            self._idle.append(backend)
            self._changed.notify()

    async def _lent(self, last: _Backend | None) -> _Backend:
        async with self._changed:
            await self._changed.wait_for(lambda: self._idle)
            chosen = next((backend for backend in self._idle if backend is not last), self._idle[0])
            self._idle.remove(chosen)
            return chosen

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._clients.add(task)
        try:
            await self._greet(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            # The client or the server went away, or the test is over.
            pass
        finally:
            writer.transport.abort()
            self._clients.remove(task)

    async def close(self) -> None:
        for task in list(self._clients):
            task.cancel()
        await asyncio.gather(*self._clients, return_exceptions=True)
        for backend in self._all:
            await backend.close()

    async def _greet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            length = int.from_bytes(await reader.readexactly(4))
            asked, rest = struct.unpack(f"!i{length - 8}s", await reader.readexactly(length - 4))
            if asked not in (_SSL_REQUEST, _GSS_REQUEST):
                break
            writer.write(b"N")
        if asked == _CANCEL_REQUEST:
            # Only to whom that client's transaction is with now, if anybody: a late one must meet nobody else.
            if (backend := self._serving.get(rest)) is not None:
                await backend.login.cancel_safe()
            return
        refusal = self.refusal
        if b"options" in rest.split(b"\0")[::2] and not self.ignores_options:
            refusal = "unsupported startup parameter: options"
        if refusal is not None:
            writer.write(_message(b"E", f"SFATAL\0VFATAL\0C08P01\0M{refusal}\0\0".encode()))
            await writer.drain()
            return
        own = await self.add() if self.session_mode else None
        key = struct.pack("!i4s", next(self._numbers), os.urandom(4))
        about = next(iter(self._all)).login.info
        reported = [f"{name}\0{about.parameter_status(name) or ''}\0".encode() for name in _REPORTED]
        writer.write(_message(b"R", bytes(4)) + b"".join(_message(b"S", each) for each in reported))
        writer.write(_message(b"K", key) + _message(b"Z", b"I"))
        await self._serve(reader, writer, key, own)

    async def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, key: bytes, own: _Backend | None
    ) -> None:
        backend = None
        while (message := await _read(reader))[0] != b"X":
            backend = own or await self._lent(backend)
            self._serving[key] = backend
            try:
                await _transaction(message, reader, writer, backend)
            except (OSError, asyncio.IncompleteReadError):
                # In the middle of a transaction, which nobody else may go on with.
                self._all.remove(backend)
                await backend.close()
                if own is None:
                    await self.give_back(await self.add())
                raise
            finally:
                del self._serving[key]
            if own is None:
                await self.give_back(backend)


async def _transaction(
    message: Message, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, backend: _Backend
) -> None:
    """Pass on what the client sends and the server answers, until the server is in no transaction any more."""
    while True:
        kind, whole = message
        if kind == b"X":
            raise ConnectionResetError
        backend.writer.write(whole)
        if kind in _ENDS_A_REQUEST:
            answered = b""
            while answered != b"Z":
                answered, whole = await _read(backend.reader)
                writer.write(whole)
            if whole[-1:] == b"I":
                return
        message = await _read(reader)


async def _read(reader: asyncio.StreamReader) -> Message:
    kind, length = struct.unpack("!ci", head := await reader.readexactly(5))
    return kind, head + await reader.readexactly(length - 4)


def _message(kind: bytes, payload: bytes) -> bytes:
    return kind + struct.pack("!i", len(payload) + 4) + payload


@contextlib.asynccontextmanager
async def pooled(
    database_url: str, *, backends: int = 3, session_mode: bool = False
) -> AsyncIterator[tuple[str, Pooler]]:
    """A connection string for the same database through a pooler, and that pooler. In session mode each client has a
    connection to the server of its own."""
    pooler = Pooler(database_url, session_mode)
    try:
        for _ in range(0 if session_mode else backends):
            await pooler.give_back(await pooler.add())
        server = await asyncio.start_server(pooler.accept, sock=bound(0))
        yield database_through(database_url, server.sockets[0].getsockname()[1]), pooler
        server.close()
    finally:
        await pooler.close()
