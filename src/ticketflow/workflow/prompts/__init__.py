"""Prompts: Markdown files with a version, shipped with the package."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import yaml

from ticketflow.llm.tasks import TaskName


@dataclass(frozen=True, slots=True)
class Prompt:
    """``version`` names the file and its revision, such as ``classify-1``; every step event records it."""

    version: str
    text: str


@cache
def prompt(task: TaskName) -> Prompt:
    """The shipped prompt for a task."""
    raw = (files(__package__) / f"{task}.md").read_text("utf-8")
    _, front, text = raw.split("---\n", 2)
    return Prompt(f"{task}-{yaml.safe_load(front)['version']}", text.strip())
