"""Serving: the address rule, and an orderly start and end."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import ipaddress
import resource
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any, cast

import uvicorn
from starlette.types import ASGIApp

from ticketflow.domain.errors import ConfigurationError

GRACEFUL_SECONDS = 5

YOUNG_OBJECTS = 10_000
"""How many more there may be before the collector looks at them: a hundred waiting requests have more than 700."""


def check_address(host: str, *, allow_anonymous: bool, authenticates: bool) -> None:
    """Raises ``ConfigurationError`` for an address that others can reach, unless callers need a token or nobody was to
    need one in so many words."""
    try:
        loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = host == "localhost"
    if not loopback and not allow_anonymous and not authenticates:
        raise ConfigurationError(
            f"{host} can be reached by others and no authentication is configured: set TICKETFLOW_TOKEN_SECRET_FILE "
            "(`ticketflow token secret FILE` makes one), or TICKETFLOW_ALLOW_ANONYMOUS=true on a closed network"
        )


def link(host: str, port: int) -> str:
    """A URL for a person on this machine; a server that listens everywhere answers on loopback too."""
    shown = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - shown, not bound
    return f"http://[{shown}]:{port}" if ":" in shown else f"http://{shown}:{port}"


def listening_socket(host: str, port: int) -> socket.socket:
    """A bound socket. Raises ``ConfigurationError`` in one line when the address is taken or not ours."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named as TCP, or asyncio would not switch Nagle's algorithm off and each answer would wait 40 ms for an ACK.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise ConfigurationError(f"cannot listen on {host}:{port}: {error.strerror or error}") from error
    return listener


def allow_connections() -> None:
    """As many connections at once as the system lets this process have: the customary first limit of 1,024 would leave
    every further caller without an answer, the probes too."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def settle_memory() -> None:
    """What this process has imported and connected by now stays until it ends, so the garbage collector need not look
    at it again; and requests that wait for the database are no garbage, however many of them wait at once."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, 20, 50)


@contextlib.asynccontextmanager
async def serving(
    app: ASGIApp, listener: socket.socket, ending: Callable[[], None] = lambda: None
) -> AsyncIterator[uvicorn.Server]:
    """Serve ``app`` in the running loop until the block ends; requests under way get a few seconds to finish.

    ``ending`` is called before that wait, for what would not end by itself.

    Signals are left to the caller. Raises ``ConfigurationError`` when the application did not start.
    """
    from ticketflow.connections import BoundedConnection

    server = uvicorn.Server(
        uvicorn.Config(
            app,
            http=cast(Any, BoundedConnection),
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=GRACEFUL_SECONDS,
        )
    )
    task = asyncio.create_task(server._serve([listener]))
    try:
        while not server.started:
            if task.done():
                await task
                raise ConfigurationError("the server did not start")
            await asyncio.sleep(0.01)
        yield server
    finally:
        ending()
        server.should_exit = True
        with contextlib.suppress(asyncio.CancelledError):
            await task
