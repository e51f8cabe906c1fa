"""A connection to RabbitMQ, and what its operator is told when there is none."""

from __future__ import annotations

import asyncio
import contextlib

import aio_pika
import aiormq
from aio_pika.abc import AbstractConnection

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
        raise BrokerUnavailable(f"RabbitMQ cannot be reached: {explained(error)}") from error
    except (ValueError, LookupError):
        # Not chained: the library's words repeat the part of the URL that it does not understand.
        raise BrokerUnavailable("RabbitMQ cannot be reached: RABBITMQ_URL has a part that cannot be used") from None


async def close(connection: AbstractConnection) -> None:
    with contextlib.suppress(*BROKEN):
        async with asyncio.timeout(TIMEOUT_SECONDS):
            await connection.close()


def explained(error: BaseException) -> str:
    """The error's kind and first line; never the URL, which holds the password."""
    if isinstance(error, OSError) and error.strerror:
        return f"{type(error).__name__}: {error.strerror}"
    return type(error).__name__
