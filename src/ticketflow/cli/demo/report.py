"""What a demo with processes comes to: figures that were counted in this run, for people and as JSON."""

from __future__ import annotations

from collections import Counter
from typing import Any

from ticketflow.cli.console import counted, one_line, out, show_table
from ticketflow.cli.demo.beside import PlainLoop
from ticketflow.cli.demo.crash import IN_FLIGHT, Held, Kill, Running
from ticketflow.cli.demo.plan import WORKERS, Plan
from ticketflow.cli.demo.summary import print_verdict, summary
from ticketflow.cli.demo.trails import asked_for, steps_done, steps_repeated
from ticketflow.domain.tickets import Status


def report(plan: Plan, now: Running, beside: PlainLoop | None) -> dict[str, Any]:
    """The run as plain JSON values; ``loop`` is None where none ran beside it."""
    assert now.verdict is not None
    trails = list(now.trails.values())
    needed = sum(asked_for(event) for trail in trails for event in steps_done(trail))
    results = Counter(sum(event.changes.get("result") is not None for event in trail) for trail in trails)
    held = [each for kill in now.kills for each in kill.held]
    return {
        **summary(now.tickets, now.elapsed(), now.verdict),
        "seed": plan.seed,
        "added_seconds_a_call": plan.job.pace and [plan.job.pace.shortest, plan.job.pace.longest],
        "workers": WORKERS,
        "in_flight": IN_FLIGHT,
        "kills": [_kill(kill) for kill in now.kills],
        "held": len(held),
        "taken_over": sum(each.by is not None for each in held),
        "longest_pause_seconds": _longest([each.after for each in held]),
        "steps_repeated": sum(map(steps_repeated, trails)),
        "results_per_ticket": {str(times): tickets for times, tickets in sorted(results.items())},
        "lost": lost(plan, now),
        "model_calls": now.calls,
        "model_calls_in_vain": now.calls - needed,
        "loop": beside and _loop(now, beside),
    }


def lost(plan: Plan, now: Running) -> int:
    """Tickets that were taken in and have no end, or that ended as completed without a result."""
    whole = [
        ticket
        for ticket in now.tickets
        if ticket.at_rest and (ticket.status is not Status.COMPLETED or ticket.result is not None)
    ]
    return plan.job.tickets - len(whole)


def proven(plan: Plan, figures: dict[str, Any]) -> bool:
    """Whether the run shows what it was to show: it killed as planned, and nothing was lost or done twice."""
    faults = ("violations", "lost", "steps_repeated")
    once = all(int(times) <= 1 for times in figures["results_per_ticket"])
    return len(figures["kills"]) == len(plan.moments) and once and not any(figures[fault] for fault in faults)


def _kill(kill: Kill) -> dict[str, Any]:
    return {
        "pid": kill.pid,
        "at_seconds": round(kill.at, 3),
        "held": [
            {
                "ticket": each.number + 1,
                "ticket_id": str(each.ticket_id),
                "steps_done": each.steps,
                "taken_over_by": each.by,
                "after_seconds": each.after and round(each.after, 3),
            }
            for each in kill.held
        ],
    }


def _loop(now: Running, beside: PlainLoop) -> dict[str, Any]:
    replies = [(ticket.result or {}).get("reply") for ticket in now.tickets]
    same = {answer["ticket"] for answer in beside.answers if answer["reply"] == replies[answer["ticket"]]}
    return {
        "tickets": beside.tickets,
        "seconds": round(beside.elapsed(), 3),
        "in_flight": 1,
        "answered": beside.answered,
        "answered_twice": beside.answered_twice,
        "kills": [
            {
                "at_seconds": round(kill.at, 3),
                "held": kill.held,
                "unanswered": kill.unanswered,
                "after_seconds": kill.after and round(kill.after, 3),
            }
            for kill in beside.kills
        ],
        "longest_pause_seconds": _longest([kill.after for kill in beside.kills]),
        "model_calls": beside.calls,
        "model_calls_in_vain": beside.calls_in_vain,
        "same_replies": len(same),
    }


def _longest(pauses: list[float | None]) -> float | None:
    return round(max(known), 3) if (known := [pause for pause in pauses if pause is not None]) else None


def print_report(plan: Plan, now: Running, figures: dict[str, Any]) -> None:
    """For a person: who was killed and what became of it, the two sides, and the audit."""
    assert now.verdict is not None
    if now.kills:
        _print_kills(now)
    if figures["loop"] is not None:
        _print_sides(figures)
        out.print()
    outcomes = ", ".join(f"{number} {name}" for name, number in sorted(figures["by_disposition"].items()))
    out.print(f"{counted(figures['tickets'], 'ticket')} in {figures['seconds']:.1f} s: {outcomes}")
    if plan.moments:
        each = ", ".join(
            f"{counted(int(times), 'result')} for {'each' if number == len(now.ids) else number}"
            for times, number in figures["results_per_ticket"].items()
        )
        out.print(
            f"{counted(len(now.kills), 'worker')} killed, {counted(figures['taken_over'], 'takeover')}, "
            f"{counted(figures['steps_repeated'], 'committed step')} repeated, {each}, "
            f"{counted(figures['lost'], 'ticket')} lost"
        )
    if plan.job.pace is not None:
        out.print(f"{plan.job.pace} were added to each call of the model, as a real one would take", style="dim")
    print_verdict(now.verdict)


def _print_kills(now: Running) -> None:
    names = ("killed", "worker", "ticket", "subject", "steps kept", "went on after", "with")
    rows = [
        (f"{kill.at:.1f} s", str(kill.pid), f"#{held.number + 1}", _subject(now, held), str(held.steps), *_fate(held))
        for kill in now.kills
        for held in kill.held
    ]
    show_table(names, rows, flexible=("subject",), expendable=("subject",))
    out.print()


def _subject(now: Running, held: Held) -> str:
    return next((one_line(ticket.subject) for ticket in now.tickets if ticket.id == held.ticket_id), "")


def _fate(held: Held) -> tuple[str, str]:
    return ("", "ended already") if held.after is None else (f"{held.after:.1f} s", str(held.by))


def _print_sides(figures: dict[str, Any]) -> None:
    loop = figures["loop"]
    ours_answered = figures["tickets"] - figures["lost"]
    rows: list[tuple[str, Any, Any]] = [
        ("seconds from the first model call to the last answer", f"{figures['seconds']:.1f}", f"{loop['seconds']:.1f}"),
        ("tickets in flight at once", figures["in_flight"], loop["in_flight"]),
        ("tickets answered", ours_answered, loop["answered"]),
        ("tickets lost", figures["lost"], loop["tickets"] - loop["answered"]),
        ("tickets answered twice", sum(n for times, n in figures["results_per_ticket"].items() if int(times) > 1),
         loop["answered_twice"]),
        ("model calls begun", figures["model_calls"], loop["model_calls"]),
        ("of these in vain", figures["model_calls_in_vain"], loop["model_calls_in_vain"]),
    ]  # fmt: skip
    if figures["kills"]:
        rows += [
            ("processes killed", len(figures["kills"]), len(loop["kills"])),
            ("tickets in their hands", figures["held"], sum(kill["held"] for kill in loop["kills"])),
            ("longest pause after a kill, in seconds", _seconds(figures), _seconds(loop)),
        ]
    show_table(("", "Ticketflow", "plain loop"), [(name, str(a), str(b)) for name, a, b in rows], flexible=())
    out.print(f"the same reply on both sides: {loop['same_replies']} of {figures['tickets']}")
    if loop["kills"]:
        out.print(
            f"the loop reads its tickets from a file: in its memory alone, {loop['kills'][0]['unanswered']} of them "
            "would have gone with the first kill"
        )


def _seconds(side: dict[str, Any]) -> str:
    return "" if side["longest_pause_seconds"] is None else f"{side['longest_pause_seconds']:.1f}"
