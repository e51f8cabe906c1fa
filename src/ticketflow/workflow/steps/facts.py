"""The facts of a ticket on their way from the step that reads them to the step that commits them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, cast

from pydantic import create_model

from ticketflow.llm.tasks import Extraction, Fact, Triage
from ticketflow.workflow.state import State
from ticketflow.workflow.steps.frame import Outcome


@lru_cache(maxsize=8)
def extraction_schema(extra_fields: tuple[str, ...]) -> type[Extraction]:
    """``Extraction`` with the configured further fields, each a text or null."""
    if not extra_fields:
        return Extraction
    fields = dict.fromkeys(extra_fields, (Fact, ...))
    return cast(type[Extraction], create_model("Extraction", __base__=Extraction, **fields))  # type: ignore[call-overload]


@lru_cache(maxsize=8)
def triage_schema(extra_fields: tuple[str, ...]) -> type[Triage]:
    """``Triage`` with the configured further fields among its facts."""
    if not extra_fields:
        return Triage
    return create_model("Triage", __base__=Triage, facts=(extraction_schema(extra_fields), ...))


def noted(found: Mapping[str, Any], source: Outcome, attempt: int) -> dict[str, Any]:
    """The facts as the state keeps them, with where they are from."""
    return {
        "found": dict(found),
        "attempt": attempt,
        "model": source.model,
        "prompt_version": source.prompt_version,
    }


def taken(state: State, extra_fields: tuple[str, ...], attempt: int) -> Outcome | None:
    """The facts that were noted, at no further cost. None where the model has to be asked.

    That is with a checkpoint of an earlier release, after a change of the configured fields, and in a later attempt:
    whoever has a ticket run again from ``extract`` wants another answer.
    """
    facts = state.get("facts")
    if facts is None or facts["attempt"] != attempt:
        return None
    if facts["found"].keys() != extraction_schema(extra_fields).model_fields.keys():
        return None
    return Outcome(output=facts["found"], model=facts["model"], prompt_version=facts["prompt_version"])
