"""The demo while it runs: bars and news on a terminal, the news alone off it."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable
from uuid import UUID

from rich.console import Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ticketflow.cli.console import counted, err
from ticketflow.cli.demo.beside import PlainLoop
from ticketflow.cli.demo.crash import Running
from ticketflow.cli.demo.trails import ended, steps_done
from ticketflow.domain.events import Event
from ticketflow.workflow.state import StepName

NEWS_LINES = 8
DRAW_SECONDS = 0.1
_BESIDE = 100
"""Columns from which two pictures have room beside each other."""


class Screen:
    """Shows ``picture`` ten times a second on a terminal, with the news below; it is gone at the end. On stderr."""

    def __init__(self, picture: Callable[[], RenderableType]) -> None:
        self._picture = picture
        self._news: deque[str] = deque(maxlen=NEWS_LINES)
        self._live = Live(console=err, auto_refresh=False, transient=True) if sys.stderr.isatty() else None

    def tell(self, news: str) -> None:
        """One line of plain text."""
        self._news.append(news)
        if self._live is None:
            err.print(news, markup=False)

    @contextlib.asynccontextmanager
    async def shown(self) -> AsyncIterator[None]:
        """For as long as the block lasts."""
        if self._live is None:
            yield
            return
        with self._live as live:
            drawing = asyncio.create_task(self._draw(live))
            try:
                yield
            finally:
                drawing.cancel()
                await asyncio.gather(drawing, return_exceptions=True)

    async def _draw(self, live: Live) -> None:
        while True:
            told = Text("\n".join(["", *self._news]), overflow="ellipsis", no_wrap=True)
            live.update(Group(self._picture(), told), refresh=True)
            await asyncio.sleep(DRAW_SECONDS)


def progress(trails: dict[UUID, list[Event]]) -> Table:
    """A bar for each step, and one for tickets that have ended."""
    done = Counter(step for trail in trails.values() for step in {event.step_name for event in steps_done(trail)})
    return _bars([(step, done[step]) for step in StepName] + [("ended", sum(map(ended, trails.values())))], len(trails))


def running(now: Running, beside: PlainLoop | None) -> RenderableType:
    """Ticketflow's side, and the plain loop's where there is one."""
    workers = [f"{pid} ({counted(len(now.in_hand(pid)), 'ticket')})" for pid in now.workers]
    ours = Group(
        Text(f"Ticketflow   {now.elapsed():.1f} s   {now.calls} calls", style="bold"),
        progress(now.trails),
        Text(f"workers {', '.join(workers)}" if workers else "", overflow="ellipsis", no_wrap=True),
    )
    if beside is None:
        return ours
    theirs = Group(
        Text(f"plain loop   {beside.elapsed():.1f} s   {beside.calls} calls", style="bold"),
        _bars([("ended", beside.answered)], beside.tickets),
        Text(f"ticket {beside.answered + 1}: {beside.task}" if beside.answered < beside.tickets else ""),
    )
    if err.width < _BESIDE:
        return Group(ours, Text(), theirs)
    both = Table.grid(padding=(0, 4, 0, 0))
    both.add_row(ours, theirs)
    return both


def _bars(counts: list[tuple[str, int]], total: int) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False)
    for name, number in counts:
        table.add_row(name, ProgressBar(total=max(total, 1), completed=number, width=32), f"{number}")
    return table
