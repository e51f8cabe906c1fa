"""A connection to RabbitMQ, and what its operator is told when there is none."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl

import aio_pika
import aiormq
from aio_pika.abc import AbstractConnection
from aiormq import spec

from ticketflow.domain.errors import BrokerUnavailable

TIMEOUT_SECONDS = 10.0
HEARTBEAT_SECONDS = 15

BROKEN = (aio_pika.exceptions.AMQPError, aiormq.exceptions.AMQPError, OSError, TimeoutError, RuntimeError)
"""What the library raises when the connection, the channel or the broker is not usable."""


async def connect(url: str) -> AbstractConnection:
    """Connect once. Raises ``BrokerUnavailable`` that says why, without the URL: it holds the password."""
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            return await aio_pika.connect(
                url, heartbeat=HEARTBEAT_SECONDS, client_properties={"connection_name": "ticketflow"}
            )
    except BROKEN as error:
        raise BrokerUnavailable(_refusal(error)) from error
    except (ValueError, LookupError):
        # Not chained: the library's words repeat the part of the URL that it does not understand.
        raise BrokerUnavailable("RabbitMQ cannot be reached: RABBITMQ_URL has a part that cannot be used") from None


async def close(connection: AbstractConnection) -> None:
    with contextlib.suppress(*BROKEN):
        async with asyncio.timeout(TIMEOUT_SECONDS):
            await connection.close()


def explained(error: BaseException) -> str:
    """The error's kind and first line; never the URL, which holds the password."""
    if isinstance(error, _SAID_BY_THE_SERVER):
        return str(error.args[-1]).splitlines()[0]
    if isinstance(error, OSError) and error.strerror:
        return f"{type(error).__name__}: {error.strerror}"
    return type(error).__name__


_SAID_BY_THE_SERVER = (aiormq.exceptions.ChannelClosed, aiormq.exceptions.ConnectionClosed)


def _refusal(error: BaseException) -> str:
    """Why there is no connection, in words that name what to change."""
    match error:
        case aiormq.exceptions.ProbableAuthenticationError() | aiormq.exceptions.AuthenticationError():
            return "RabbitMQ refuses the user or the password"
        case aiormq.exceptions.ConnectionNotAllowed():
            return _NO_VIRTUAL_HOST
        case aiormq.exceptions.InvalidFrameError() if spec.Connection.OpenOk.name in str(error):
            # The library does not read the refusal that stands in the place of the answer to "open this virtual host".
            return _NO_VIRTUAL_HOST
    # Errors of the network come wrapped in the library's own.
    return f"RabbitMQ cannot be reached: {_network(error.__cause__ or error)}"


_NO_VIRTUAL_HOST = "RabbitMQ has no virtual host of that name, or the user may not use it"


def _network(error: BaseException) -> str:
    match error:
        case ssl.SSLCertVerificationError():
            return f"its TLS certificate is not trusted: {error.verify_message}"
        case ssl.SSLError():
            return f"TLS failed: {error.reason}; amqps:// needs the port for TLS"
        case socket.gaierror():
            return "its host name cannot be resolved"
        case ConnectionRefusedError():
            return "the connection was refused"
        case asyncio.IncompleteReadError():
            return "the server hung up at once; check the port, and amqp:// or amqps://"
        case TimeoutError():
            return f"no answer within {TIMEOUT_SECONDS:g} seconds"
    return explained(error)
