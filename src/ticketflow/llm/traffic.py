"""The one way by which this process calls the model provider: past the breaker, within the limits."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from ticketflow.domain.errors import PROVIDER_FAILURES, ProviderDown, RateLimited, TicketflowError
from ticketflow.llm.breaker import Breaker
from ticketflow.llm.limits import Limits
from ticketflow.llm.port import Waiting


class Traffic:
    """All HTTP attempts of one process. Without a breaker none is ever kept back; without limits only by holds."""

    def __init__(self, breaker: Breaker | None = None, limits: Limits | None = None) -> None:
        self.breaker = breaker or Breaker()
        self._limits = limits or Limits()
        self.breaker.listen(self._breaker_changed)

    @contextlib.asynccontextmanager
    async def attempt(self, waiting: Waiting = contextlib.nullcontext) -> AsyncIterator[None]:
        """Around one HTTP attempt, which raises ``TicketflowError`` when it fails. ``waiting`` is around its wait.

        Raises ``ProviderDown`` without an attempt while the breaker is open, ``RateLimited`` during a long hold.
        """
        self.breaker.admit()
        async with self._slot(waiting):
            turn = self.breaker.admit()
            try:
                yield
            except TicketflowError as error:
                told = self.breaker.failed(turn, error)
                if told is error:
                    raise
                raise told from error
            self.breaker.answered(turn)

    @contextlib.asynccontextmanager
    async def probe(self) -> AsyncIterator[None]:
        """Around an HTTP attempt of the breaker's own, within the limits like every other."""
        async with self._slot(contextlib.nullcontext):
            yield

    @contextlib.asynccontextmanager
    async def _slot(self, waiting: Waiting) -> AsyncIterator[None]:
        with waiting():
            began = await self._limits.enter()
        try:
            yield
        except RateLimited as error:
            self._limits.limited(began, error.retry_after)
            raise
        except PROVIDER_FAILURES as error:
            if error.retry_after is not None:
                self._limits.hold(error.retry_after)
            raise
        except TicketflowError:
            self._limits.answered(began)
            raise
        else:
            self._limits.answered(began)
        finally:
            self._limits.leave()

    def _breaker_changed(self, is_open: bool) -> None:
        if is_open:
            self._limits.send_away(self._refusal)
        else:
            self._limits.go_gently()

    def _refusal(self) -> TicketflowError:
        return ProviderDown(f"the model provider is down: {self.breaker.cause}", self.breaker.retry_in)
