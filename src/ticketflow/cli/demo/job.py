"""What a process of the demo is told by the one that started it, and what it says to that one."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import orjson

from ticketflow.cli.demo.pace import Pace
from ticketflow.llm.tasks import TaskName
from ticketflow.settings import Settings

ASKED = "asked"
"""A line with this word and a task: the process is about to ask the model."""


@dataclass(frozen=True, slots=True)
class Job:
    """``answers``: the file that the plain loop writes to. A job travels through a pipe, as it holds secrets."""

    settings: Settings
    pace: Pace | None
    tickets: int
    answers: Path | None = None

    def as_line(self) -> bytes:
        body = {
            "settings": self.settings.handed_on(),
            "pace": self.pace and asdict(self.pace),
            "tickets": self.tickets,
            "answers": self.answers and str(self.answers),
        }
        return orjson.dumps(body) + b"\n"


def taken_job() -> Job:
    """The job from the first line of stdin."""
    body: dict[str, Any] = orjson.loads(sys.stdin.buffer.readline())
    return Job(
        Settings.model_validate(body["settings"]),
        body["pace"] and Pace(**body["pace"]),
        body["tickets"],
        body["answers"] and Path(body["answers"]),
    )


def say_asked(task: TaskName) -> None:
    """Unbuffered: what a process has done must be known however it ends."""
    os.write(sys.stdout.fileno(), f"{ASKED} {task}\n".encode())


def answers_in(path: Path) -> list[dict[str, Any]]:
    """The answers written so far; a line that was being written when the script was killed is none."""
    answers = []
    for line in path.read_bytes().splitlines() if path.exists() else ():
        try:
            answers.append(orjson.loads(line))
        except orjson.JSONDecodeError:
            continue
    return answers


def when_left_alone(leave: Callable[[], object]) -> None:
    """Call ``leave`` once when the process that holds the other end of stdin lets go of it, or is gone."""
    loop, stdin = asyncio.get_running_loop(), sys.stdin.fileno()

    def left() -> None:
        loop.remove_reader(stdin)
        leave()

    loop.add_reader(stdin, left)
