"""What happens beside: timers become due and fire, messages are published or come again, and old things are pruned."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from hypothesis import strategies as st

from tests.support.history.base import TICKETS, History, act, some
from tests.support.history.belongings import Timer
from tests.support.history.site import LONG
from ticketflow.db.outbox import DueTimer
from ticketflow.db.retention import Retention
from ticketflow.domain.change import TimerKind
from ticketflow.domain.tickets import Status
from ticketflow.services.wake import fire


class Upkeep(History):
    # Timers ------------------------------------------------------------------------------------------------------

    @act(3, when=some(lambda ticket: ticket.timers), wait=st.booleans(), at_once=st.booleans(), then_fire=st.booleans())
    def take_due_timers(self, wait: bool, at_once: bool, then_fire: bool) -> None:
        """Two processes look, at the same time or one after the other: each timer goes to one of them, who fires it now
        or later. ``wait``: until all are due, and those that were taken before come again."""
        for ticket in self.tickets:
            if ticket.timers and wait:
                self.site.timer_due(ticket.id)
                ticket.timers = {kind: Timer(due=True) for kind in ticket.timers}
        self.check()

        async def look() -> list[list[DueTimer]]:
            looks = [outbox.due_timers(100, LONG) for _, outbox in self.site.processes]
            return list(await asyncio.gather(*looks)) if at_once else [await each for each in looks]

        taken = [timer for timers in self.do(look()) for timer in timers]
        expected = [
            (ticket, kind)
            for ticket in self.tickets
            for kind, timer in ticket.timers.items()
            if timer.due and not timer.taken
        ]
        told = sorted((timer.ticket_id, timer.kind) for timer in taken)
        assert told == sorted((ticket.id, kind) for ticket, kind in expected)
        for ticket, kind in expected:
            ticket.timers[kind] = Timer(due=True, taken=True)
        self.due += sorted(taken, key=lambda timer: (timer.ticket_id, timer.kind))
        self.check(unchanged=not taken)
        if taken and then_fire:
            self.fire_timer(1, at_once)

    @act(2, when=lambda history: history.due, back=st.integers(1, 4), at_once=st.booleans())
    def fire_timer(self, back: int, at_once: bool) -> None:
        """A timer that was taken, now or long ago, by one process or by both: it fires once, or never."""
        timer = self.due[-min(back, len(self.due))]
        ticket = self.named(timer.ticket_id)

        async def by(number: int) -> list[bool]:
            return list(await asyncio.gather(*(fire(timer, *each) for each in self.site.processes[:number])))

        fired = self.do(by(2 if at_once else 1))
        assert timer.ticket is not None
        valid = timer.ticket.version == ticket.version
        assert sorted(fired, reverse=True) == [valid, False][: len(fired)]
        if valid:
            ticket.time_is_up(TimerKind(timer.kind))
        self.check(unchanged=not valid)

    # Messages ----------------------------------------------------------------------------------------------------

    @act(2)
    def sweep(self) -> None:
        woken = self.do(self.site.outbox.sweep(timedelta()))
        expected = [ticket for ticket in self.tickets if ticket.nobody_would_wake_it()]
        assert sorted(woken) == sorted(ticket.id for ticket in expected)
        for ticket in expected:
            ticket.messages.unseen += 1
        self.check(unchanged=not woken)

    @act(
        2,
        limit=st.sampled_from([1, 2, 100]),
        fate=st.sampled_from(["published", "published", "under way", "back", "died"]),
    )
    def relay(self, limit: int, fate: str) -> None:
        """A relay takes messages. Those that it has are published and forgotten, given back, or come again because it
        died; a dead one may have been slow, and publish after all."""
        available = sum(ticket.messages.available for ticket in self.tickets)
        rows = self.do(self.site.outbox.take(limit, LONG))
        assert len(rows) == min(limit, available)
        for row in rows:
            self.named(row.ticket_id).messages.take(row.id)
        self.relayed |= {row.id for row in rows}
        match fate:
            case "published":
                assert self.do(self.site.outbox.take(0, LONG, sorted(self.relayed))) == []
                for ticket in self.tickets:
                    ticket.messages.forget(self.relayed)
                self.relayed.clear()
            case "back":
                self.do(self.site.outbox.give_back(sorted(self.relayed)))
                for ticket in self.tickets:
                    ticket.messages.offer(self.relayed)
                self.relayed.clear()
            case "died":
                for ticket in self.tickets:
                    self.site.outbox_hold_over(ticket.id)
                    ticket.messages.offer(ticket.messages.known)
        self.check()

    # Retention ---------------------------------------------------------------------------------------------------

    @act(number=TICKETS)
    def keep_newest_checkpoint(self, number: int) -> None:
        ticket = self.ticket(number, lambda ticket: len(ticket.checkpoints) > 1)
        self.do(self.site.checkpoints.aprune([str(ticket.id)]))
        ticket.keep_newest_checkpoint()
        self.check()

    @act(when=some(lambda ticket: ticket.status is Status.COMPLETED))
    def prune_what_closed_tickets_left(self) -> None:
        self.prune(whole=False)
        for ticket in self.tickets:
            if ticket.status is Status.COMPLETED:
                ticket.checkpoints.clear()
        self.check()

    def prune(self, *, whole: bool) -> None:
        async def prune() -> None:
            tomorrow = datetime.now(UTC) + timedelta(days=1)
            async for _ in Retention(self.site.wire).prune(tomorrow, whole=whole, batch=2, dry_run=False):
                pass

        self.do(prune())
