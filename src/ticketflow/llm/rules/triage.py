"""One reading of a ticket: its classification and its facts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ticketflow.llm.rules.classify import classify
from ticketflow.llm.rules.extract import extract


def triage(material: Mapping[str, Any]) -> dict[str, Any]:
    """What the sender gave decides about the facts too: the kind of issue is sought within the category."""
    classified = classify(material)
    known = {**classified, **(material.get("given") or {})}
    return {**classified, "facts": extract({**material, "classification": known})}
