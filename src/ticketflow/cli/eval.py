"""``eval``: the pipeline's judgement beside the labels of a data set, and beside whoever always says the same."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ticketflow import wiring
from ticketflow.cli.console import counted, err, fail, one_line, out, say_json, show_table
from ticketflow.cli.labelled import Dataset, dataset, label_map
from ticketflow.domain.errors import Invalid, TicketflowError
from ticketflow.evaluation import Task
from ticketflow.evaluation.classify import FIELDS, Judgement, LabelledTicket, judge
from ticketflow.evaluation.scores import Scores, calibration_error, majority, scored
from ticketflow.settings import Settings
from ticketflow.telemetry import logs

_MOST_TOLD = 20


@dataclass(frozen=True, slots=True)
class Plan:
    """What to score, and how much of it. ``seed`` draws ``limit`` tickets at random; without one they are the first."""

    name: str
    task: Task
    map_file: Path | None = None
    limit: int | None = None
    seed: int | None = None
    at_once: int = 8


def evaluate(settings: Settings, plan: Plan, as_json: bool) -> int:
    """Ask about the data set and print the scores. Returns 1 when any ticket got no answer, or nothing was asked at all
    because the file cannot be used."""
    logs.configure("ERROR")
    try:
        data = dataset(plan.name, label_map(plan.map_file) if plan.map_file else None)
        tickets = data.drawn(plan.limit, plan.seed)
        judgement = asyncio.run(_judged(settings, tickets, plan.at_once))
    except Invalid as error:
        return _refused(error)
    except TicketflowError as error:
        return fail(error)
    report = _report(plan, data, len(tickets), judgement)
    if as_json:
        say_json(report)
    else:
        _show(report)
    return 1 if judgement.failed else 0


async def _judged(settings: Settings, tickets: Sequence[LabelledTicket], at_once: int) -> Judgement:
    bar = Progress(
        TextColumn("[progress.description]{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=err,
        disable=not sys.stderr.isatty(),
    )
    async with wiring.first_step_tools(settings) as tools:
        with bar:
            task = bar.add_task("judging", total=len(tickets))
            return await judge(tickets, tools, at_once, lambda: bar.advance(task))


def _refused(error: Invalid) -> int:
    """Unlike ``fail``, with every row that is told of: rows may be wrong in the same way."""
    sys.stderr.write(f"ticketflow: {logs.redacted(str(error))}\n")
    for problem in error.problems[:10]:
        sys.stderr.write(f"  {problem.field}: {logs.redacted(problem.message)}\n")
    return 1


def _report(plan: Plan, data: Dataset, asked: int, judgement: Judgement) -> dict[str, Any]:
    """The run as plain JSON values."""
    scores = {name: _of_field(name, judgement) for name in FIELDS if judgement.pairs(name)}
    usage = judgement.usage.as_json()
    return {
        "task": plan.task,
        "dataset": plan.name,
        "rows": data.rows,
        "left_out": data.left_out,
        "asked": asked,
        "answered": len(judgement.judged),
        "failed": len(judgement.failed),
        "seed": plan.seed,
        "models": sorted(judgement.models),
        "prompt_versions": sorted(judgement.prompts),
        "scores": scores,
        "usage": usage,
        "usage_per_ticket": {name: round(value / asked, 6) for name, value in usage.items()},
        "errors": [
            {"row": each.ticket.row, "code": each.code, "message": logs.redacted(each.message)}
            for each in judgement.failed
        ],
    }


def _of_field(name: str, judgement: Judgement) -> dict[str, Any]:
    pairs = judgement.pairs(name)
    always, baseline = majority(pairs, FIELDS[name])
    found = _as_json(scored(pairs, FIELDS[name]))
    if name == "category":
        found["calibration_error"] = round(calibration_error(judgement.confidences()), 4)
    told = {key: value for key, value in _as_json(baseline).items() if key in ("accuracy", "macro_f1")}
    return {**found, "baseline": {"always": always, **told}}


def _as_json(scores: Scores) -> dict[str, Any]:
    return {
        "n": scores.n,
        "accuracy": round(scores.accuracy, 4),
        "interval_95": [round(bound, 4) for bound in scores.interval],
        "macro_f1": round(scores.macro_f1, 4),
        "classes": {
            name: {key: round(value, 4) for key, value in asdict(each).items()} for name, each in scores.classes.items()
        },
        "confusion": scores.confusion,
    }


def _show(report: dict[str, Any]) -> None:
    left_out = f", {report['left_out']} left out by the map" if report["left_out"] else ""
    answered = f"{report['answered']} of {counted(report['asked'], 'ticket')} answered"
    out.print(f"{one_line(report['dataset'])}: {answered}{left_out}")
    out.print(f"by {one_line(', '.join(report['models']))}, prompt {', '.join(report['prompt_versions'])}")
    for name, scores in report["scores"].items():
        _show_field(name, scores)
    per_ticket = report["usage_per_ticket"]
    out.print(
        f"\nper ticket: {per_ticket['calls']:.3g} calls, {per_ticket['input_tokens']:.0f} tokens in, "
        f"{per_ticket['output_tokens']:.0f} out, {per_ticket['cost_usd']:.6f} USD"
    )
    for code, times in sorted(Counter(each["code"] for each in report["errors"]).items()):
        err.print(f"{counted(times, 'ticket')} without an answer: {code}")
    for each in report["errors"][:_MOST_TOLD]:
        err.print(f"row {each['row']}: {one_line(each['message'])}")


def _show_field(name: str, scores: dict[str, Any]) -> None:
    baseline, (low, high) = scores["baseline"], scores["interval_95"]
    out.print(
        f"\n[bold]{name}[/]: accuracy {scores['accuracy']:.3f} ({low:.3f} to {high:.3f} at 95 %), "
        f"macro F1 {scores['macro_f1']:.3f}, n {scores['n']}"
    )
    out.print(f"always {baseline['always']}: accuracy {baseline['accuracy']:.3f}, macro F1 {baseline['macro_f1']:.3f}")
    if "calibration_error" in scores:
        out.print(f"calibration error {scores['calibration_error']:.3f}")
    rows = [
        [each, *(f"{of[key]:.3f}" for key in ("precision", "recall", "f1")), str(of["support"])]
        for each, of in scores["classes"].items()
    ]
    show_table(["class", "precision", "recall", "F1", "support"], rows, flexible=())
    out.print("label \\ answer:")
    answers = FIELDS[name]
    matrix = [[label, *(str(row[answer]) for answer in answers)] for label, row in scores["confusion"].items()]
    show_table(["", *answers], matrix, flexible=())
