"""How good the pipeline is, measured on labelled data: one module for each task, and the scores that they share."""

from __future__ import annotations

from enum import StrEnum


class Task(StrEnum):
    """What can be scored."""

    CLASSIFY = "classify"
