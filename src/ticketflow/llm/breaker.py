"""The circuit breaker: whether the model provider is down as a whole, as far as this process can tell."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta

import structlog

from ticketflow.domain.delivery import MAX_ASKED_WAIT
from ticketflow.domain.errors import (
    PROVIDER_FAILURES,
    ModelUnavailable,
    ProviderDown,
    ProviderRefused,
    RateLimited,
    TicketflowError,
    Transient,
)

log = structlog.get_logger()

FIRST_WAIT = timedelta(seconds=5)
"""Between two probes; each further one doubles it, up to ``LONGEST_WAIT``, and the provider may ask for more."""

LONGEST_WAIT = timedelta(seconds=60)

Check = Callable[[], Awaitable[None]]
Listener = Callable[[bool], None]


@dataclass(frozen=True, slots=True)
class Turn:
    """One call's leave to go: in which era of the breaker, and when by the loop's clock."""

    era: int
    began: float


class Breaker:
    """Opens after ``failures`` calls in a row without an answer, or at once when the provider refuses everything.

    While it is open nobody may call, and one small question, the probe, is asked again and again: its answer closes
    the breaker. A call counts in the era in which it began, so that what was under way at an opening or a closing
    cannot undo it; and calls that were limited together are one failure. With ``failures`` None it never opens.

    It does no I/O: who calls tells it what came of it, and ``probing`` brings the probe. Times are the running loop's.
    """

    def __init__(self, failures: int | None = None, *listeners: Listener) -> None:
        self._failures = failures
        self._listeners = list(listeners)
        self._cause: TicketflowError | None = None
        self._streak = 0
        self._era = 0
        self._limited_at = float("-inf")
        self._wait = FIRST_WAIT
        self._probe_at = 0.0
        self._doubt: asyncio.Future[None] | None = None
        """Done once the probe has said whether the provider is to blame. It is asked at once."""
        self._probing = False
        self._wanted = asyncio.Event()
        self._opened = asyncio.Event()
        self._closed = asyncio.Event()
        self._closed.set()

    @property
    def cause(self) -> TicketflowError | None:
        """The latest thing that the provider did wrong while the breaker is open; None while it is closed."""
        return self._cause

    @property
    def watched(self) -> bool:
        """Whether this process asks the provider at all."""
        return self._probing

    @property
    def retry_in(self) -> timedelta:
        """Until the next probe."""
        return timedelta(seconds=max(0.0, self._probe_at - _now()) if self._cause else 0.0)

    def listen(self, listener: Listener) -> None:
        """``listener`` is told True at every opening and False at every closing."""
        self._listeners.append(listener)

    async def opened(self) -> bool:
        """Wait until the breaker is open. Always True."""
        return await self._opened.wait()

    async def closed(self) -> bool:
        """Wait until the breaker is closed. Always True."""
        return await self._closed.wait()

    async def down(self, *, make_sure: bool = False) -> timedelta | None:
        """How long until the provider is asked again, or None where it is not down as a whole.

        Waits for the probe where it is still to say so; ``make_sure`` has it asked although the breaker is closed.
        """
        if make_sure and self._cause is None:
            self._ask_at_once()
        if self._doubt is not None:
            await asyncio.wait({self._doubt})
        return self.retry_in if self._cause else None

    def admit(self) -> Turn:
        """Leave to make one call. Raises ``ProviderDown`` while the breaker is open."""
        if self._cause is not None:
            raise ProviderDown(f"the model provider is down: {self._cause}", self.retry_in)
        return Turn(self._era, _now())

    def answered(self, turn: Turn) -> None:
        """The provider answered the call, if perhaps not as one would like."""
        if turn.era == self._era:
            self._streak = 0

    def failed(self, turn: Turn, error: TicketflowError) -> TicketflowError:
        """The call ended with ``error``. Returns the error to raise: no call but the one that opens the breaker is told
        that it was refused for good."""
        if self._failures is None:
            return error
        late = turn.era != self._era
        if isinstance(error, ProviderRefused):
            if late:
                return ProviderDown(f"the model provider was down: {error}", self.retry_in)
            self._open(error, sure=error.sure)
        elif not isinstance(error, PROVIDER_FAILURES):
            self.answered(turn)
        elif not late and not self._limited_with_others(turn, error):
            self._streak += 1
            if self._streak >= self._failures:
                # One ticket can be what a provider fails on; a limit or a "come back in 30 s" is about everybody.
                self._open(error, sure=isinstance(error, RateLimited) or error.retry_after is not None)
        return error

    @contextlib.asynccontextmanager
    async def probing(self, check: Check) -> AsyncIterator[None]:
        """Ask ``check`` whenever a probe is due, until the block ends. It raises as a model's ``check`` does."""
        self._probing = True
        task = asyncio.create_task(self._probe_on(check))
        try:
            yield
        finally:
            self._probing = False
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            self._settle_doubt()

    async def _probe_on(self, check: Check) -> None:
        while True:
            await self._wanted.wait()
            await asyncio.sleep(self._probe_at - _now())
            try:
                await check()
            except (*PROVIDER_FAILURES, ProviderRefused) as error:
                self._still_down(error)
            except TicketflowError:
                self._close()  # It answers, and that is all that was asked.
            except Exception:
                # The outermost loop of the probe: were it to end, the worker would wait for ever.
                log.exception("llm.probe_failed")
                self._still_down(ModelUnavailable("the probe itself failed"))
            else:
                self._close()

    def _limited_with_others(self, turn: Turn, error: TicketflowError) -> bool:
        if not isinstance(error, RateLimited):
            return False
        if turn.began <= self._limited_at:
            return True
        self._limited_at = _now()
        return False

    def _open(self, error: TicketflowError, *, sure: bool) -> None:
        self._cause = error
        self._era += 1
        self._streak = 0
        self._wait = FIRST_WAIT
        self._closed.clear()
        self._opened.set()
        self._schedule(error)
        if sure:
            self._settle_doubt()
        else:
            self._ask_at_once()
        self._wanted.set()
        self._say("llm.breaker_open", error)
        for listener in self._listeners:
            listener(True)

    def _say(self, event: str, error: TicketflowError) -> None:
        seconds = round(self.retry_in.total_seconds(), 3)
        log.warning(event, code=error.code, reason=str(error), retry_in_seconds=seconds)

    def _ask_at_once(self) -> None:
        if self._probing and self._doubt is None:
            self._probe_at = _now()
            self._doubt = asyncio.get_running_loop().create_future()
            self._wanted.set()

    def _still_down(self, error: TicketflowError) -> None:
        if self._cause is None:
            self._open(error, sure=True)
        else:
            if self._doubt is None:
                self._wait = min(self._wait * 2, LONGEST_WAIT)
            self._cause = error
            self._schedule(error)
            self._say("llm.still_down", error)
        self._settle_doubt()

    def _schedule(self, error: TicketflowError) -> None:
        asked = error.retry_after if isinstance(error, Transient) else None
        wait = max(self._wait, min(asked or timedelta(), MAX_ASKED_WAIT))
        self._probe_at = _now() + wait.total_seconds()

    def _close(self) -> None:
        self._wanted.clear()
        if self._cause is not None:
            self._cause = None
            self._era += 1
            self._opened.clear()
            self._closed.set()
            log.info("llm.breaker_closed")
            for listener in self._listeners:
                listener(False)
        self._streak = 0
        self._settle_doubt()

    def _settle_doubt(self) -> None:
        doubt, self._doubt = self._doubt, None
        if doubt is not None:
            doubt.set_result(None)


def _now() -> float:
    return asyncio.get_running_loop().time()
