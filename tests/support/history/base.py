"""One history: what happened so far, what the model makes of it, and the comparison of both after every operation."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar
from uuid import UUID

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from tests.support.history.model import ModelTicket
from tests.support.history.site import Site, seen
from ticketflow.db.outbox import DueTimer
from ticketflow.services.caller import Caller
from ticketflow.worker.run import TicketRun

T = TypeVar("T")
Operation = TypeVar("Operation", bound=Callable[..., None])
NOBODY = UUID("6f1f6c0e-5d0b-4c55-9d3a-000000000000")
CALLER = Caller("request-1")
TICKETS = st.sampled_from([0, 0, 0, 0, 1, 1, 2])
"""Most of the time the same one, so that something comes of it."""
RARELY = st.sampled_from([False, False, False, True])


@dataclass(frozen=True)
class Act:
    """Something that happens, with what it happens to; reads like the call that it stands for."""

    name: str
    given: Mapping[str, Any]

    def __repr__(self) -> str:
        return f"{self.name}({', '.join(f'{name}={value!r}' for name, value in self.given.items())})"


def act(
    weight: int = 1, when: Callable[[Any], Any] = lambda history: True, **given: st.SearchStrategy[Any]
) -> Callable[[Operation], Operation]:
    """Mark a method as something that may happen, ``weight`` times as often as others, unless ``when`` forbids it."""

    def mark(operation: Operation) -> Operation:
        vars(operation)["act"] = (weight, when, given)
        return operation

    return mark


def some(has: Callable[[ModelTicket], Any]) -> Callable[[Any], bool]:
    """For acts that need such a ticket."""
    return lambda history: any(has(ticket) for ticket in history.tickets)


class NoSuchTicket(Exception):
    """The act would tell nothing, and is left out."""


@dataclass
class Running:
    """A worker's run of a ticket as far as it knows itself: it may have lost the ticket long ago."""

    run: TicketRun
    worker: str
    done: list[list[Any]]
    """Step, round and mark of what it builds on, as the checkpoint says."""
    versions: dict[str, str] = field(default_factory=dict)

    @property
    def token(self) -> UUID:
        return self.run.lease.token


class History(RuleBasedStateMachine):
    """What the parts in the neighbouring files share. Each adds methods that are marked as acts."""

    def __init__(self, site: Site) -> None:
        super().__init__()
        self.site = site
        self.site.clear()
        self.rows = self.site.snapshot()
        self.tickets: list[ModelTicket] = []
        self.by_request: dict[int, ModelTicket] = {}
        self.runs: dict[UUID, list[Running]] = {}
        self.due: list[DueTimer] = []
        self.relayed: set[int] = set()
        self.marks = 0
        self.checked = True
        self.told: list[Any] = []
        self.news = 0
        """How often anything changed."""
        self.tried: dict[str, int] = {}

    def happen(self, what: Act) -> None:
        _, when, _ = vars(getattr(type(self), what.name))["act"]
        # The same twice in a row, with nothing in between, tells nothing.
        if when(self) and self.tried.get(repr(what)) != self.news:
            self.tried[repr(what)] = self.news
            with suppress(NoSuchTicket):
                getattr(self, what.name)(**what.given)

    def ticket(self, number: int, fits: Callable[[ModelTicket], Any] = lambda ticket: True) -> ModelTicket:
        """One of the tickets that fit. Raises ``NoSuchTicket``."""
        fitting = [ticket for ticket in self.tickets if fits(ticket)]
        if not fitting:
            raise NoSuchTicket
        return fitting[number % len(fitting)]

    def holders(self) -> list[ModelTicket]:
        return [ticket for ticket in self.tickets if ticket.holder]

    def named(self, ticket_id: str | UUID) -> ModelTicket:
        [ticket] = [ticket for ticket in self.tickets if str(ticket.id) == str(ticket_id)]
        return ticket

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        self.checked = False
        return self.site.run(work)

    def raised(self, work: Awaitable[Any], *errors: type[Exception]) -> Exception | None:
        async def caught() -> Exception | None:
            try:
                await work
            except errors as error:
                return error
            return None

        return self.do(caught())

    def check(self, *, unchanged: bool = False) -> None:
        """The database is what the model says; after a refusal it is what it was to the last column."""
        rows = self.site.snapshot()
        if unchanged:
            assert rows == self.rows
        assert len(rows["tickets"]) == len(self.tickets)
        told = [ticket.as_seen() for ticket in self.tickets]
        for ticket, expected in zip(self.tickets, told, strict=True):
            assert seen(rows, ticket.id) == expected
        self.news += told != self.told
        self.rows, self.told = rows, told
        self.checked = True


def acts_of(history: type[History]) -> st.SearchStrategy[Act]:
    """Everything that may happen in such a history, the most frequent first."""
    marked = {name: getattr(history, name).act for name in dir(history) if hasattr(getattr(history, name), "act")}
    names = [name for name in sorted(marked, key=lambda name: -marked[name][0]) for _ in range(marked[name][0])]

    @st.composite
    def acts(draw: st.DrawFn) -> Act:
        name = draw(st.sampled_from(names))
        return Act(name, {each: draw(strategy) for each, strategy in marked[name][2].items()})

    return acts()


def playing(history: type[History]) -> type[History]:
    """The machine. All acts are one rule, because hypothesis switches half of the rules off in each history, and few
    histories would come far."""

    class Playing(history):  # type: ignore[misc, valid-type]
        @rule(what=acts_of(history))
        def then(self, what: Act) -> None:
            self.happen(what)

    return Playing
