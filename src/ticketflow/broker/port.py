"""The port to a message broker: three lanes in, deliveries out, settled one by one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from ticketflow.broker.messages import Message
from ticketflow.domain.routing import Lane


class Delivery(Protocol):
    """One message in this process's hands. Exactly one of ``ack``, ``requeue`` and ``reject`` settles it."""

    @property
    def lane(self) -> Lane: ...

    @property
    def body(self) -> bytes: ...

    @property
    def headers(self) -> Mapping[str, str]: ...

    @property
    def redelivered(self) -> bool:
        """It was in someone's hands before, and that someone is gone or gave it back."""
        ...

    async def ack(self) -> None: ...

    async def requeue(self) -> None: ...

    async def reject(self, reason: str) -> None:
        """To the dead letters; it is not delivered again."""
        ...


class Consumer(Protocol):
    """A source of deliveries."""

    async def next(self) -> Delivery:
        """Wait for the next delivery. High lanes come first more often, and no lane waits for ever."""
        ...


class Broker(Protocol):
    """Carries wake-ups. A message that ``publish`` returned for survives the broker's restart."""

    async def publish(self, messages: Sequence[Message]) -> None:
        """Returns once every message is safe. Raises ``BrokerUnavailable``, and then some may be safe and some not."""
        ...

    def consume(self, concurrency: int) -> AbstractAsyncContextManager[Consumer]:
        """Deliveries, at most ``concurrency`` a lane unsettled. On leaving, what was not settled goes back."""
        ...

    async def depths(self) -> Mapping[Lane, int]:
        """Messages that wait in each lane."""
        ...

    async def ping(self) -> None:
        """Raise ``BrokerUnavailable`` unless the broker can be used now."""
        ...

    async def aclose(self) -> None: ...
