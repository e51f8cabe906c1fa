"""``prune``: what closed tickets of long ago left behind, removed in batches."""

from __future__ import annotations

import contextlib
import sys
from dataclasses import asdict
from datetime import timedelta
from typing import Any

from ticketflow.cli.console import counted, err, out, say_json, with_application
from ticketflow.db.retention import Pruned
from ticketflow.services.prune import prune as pruning
from ticketflow.settings import Settings
from ticketflow.wiring import Application


def prune(settings: Settings, older_than: timedelta, whole: bool, batch: int, dry_run: bool, as_json: bool) -> int:
    """Prune until nothing that old is left. Returns the exit code; stopped half-way, whole batches have gone."""

    async def run(app: Application) -> int:
        total = Pruned()
        status: contextlib.AbstractContextManager[Any] = (
            err.status("looking for tickets that ended long ago") if sys.stderr.isatty() else contextlib.nullcontext()
        )
        with status as shown:
            async for pruned in pruning(app.retention, older_than, whole=whole, batch=batch, dry_run=dry_run):
                total += pruned
                if shown is not None:
                    shown.update(_told(total, whole, dry_run))
        if as_json:
            say_json({**asdict(total), "whole": whole, "dry_run": dry_run})
        else:
            out.print(_told(total, whole, dry_run))
        return 0

    return with_application(settings, run)


def _told(total: Pruned, whole: bool, dry_run: bool) -> str:
    verb = "would remove" if dry_run else "removed"
    tickets, checkpoints = counted(total.tickets, "ticket"), counted(total.checkpoints, "checkpoint")
    what = (
        f"{tickets} with {counted(total.events, 'event')} and {checkpoints}" if whole else f"{checkpoints} of {tickets}"
    )
    left = [f"{total.kept} kept: an open dead letter, or a person has them"] if total.kept else []
    left += [f"{total.busy} busy, for the next time"] if total.busy else []
    return "; ".join([f"{verb} {what}", *left])
