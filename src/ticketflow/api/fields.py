"""The texts that requests are made of, each with what it may hold: nothing that a database or a page cannot."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

import orjson
from pydantic import AfterValidator, Field, StringConstraints

from ticketflow.access.subjects import is_subject

MAX_METADATA_BYTES = 16_384
_EMAIL = r"[^@\s\x00-\x1f]{1,64}@[^@\s\x00-\x1f]{1,255}"


def _storable(text: str) -> str:
    if "\x00" in text:
        raise ValueError("must not contain NUL characters")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("must not contain lone surrogates") from None
    return text


def _filled(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be blank")
    return text


def _person(text: str) -> str:
    if not is_subject(text):
        raise ValueError("must be a name: printable, no spaces around it, and none of Ticketflow's own")
    return text


def _email(text: str) -> str:
    if not re.fullmatch(_EMAIL, text):
        raise ValueError("must be an e-mail address")
    return text


def _storable_tree(value: dict[str, Any]) -> dict[str, Any]:
    _check_tree(value, depth=8)
    try:
        size = len(orjson.dumps(value))
    except TypeError:
        raise ValueError("must be plain JSON with numbers of at most 64 bits") from None
    if size > MAX_METADATA_BYTES:
        raise ValueError(f"must not take more than {MAX_METADATA_BYTES} bytes")
    return value


def _check_tree(value: Any, depth: int) -> None:
    if depth == 0:
        raise ValueError("must not be nested deeper than 8 levels")
    if isinstance(value, str):
        _storable(value)
    elif isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        raise ValueError("must not contain NaN or infinite numbers")
    elif isinstance(value, dict):
        for key, item in value.items():
            _storable(key)
            _check_tree(item, depth - 1)
    elif isinstance(value, list):
        for item in value:
            _check_tree(item, depth - 1)


_Storable = AfterValidator(_storable)
_Filled = AfterValidator(_filled)

Subject = Annotated[str, StringConstraints(min_length=1, max_length=500, strict=True), _Storable, _Filled]
Body = Annotated[str, StringConstraints(min_length=1, max_length=20_000, strict=True), _Storable, _Filled]
CustomerId = Annotated[str, StringConstraints(min_length=1, max_length=100, strict=True), _Storable, _Filled]
Tag = Annotated[str, StringConstraints(min_length=1, max_length=50, strict=True), _Storable, _Filled]
PersonName = Annotated[
    str, StringConstraints(min_length=1, max_length=100, strict=True), _Storable, AfterValidator(_person)
]
TeamName = Annotated[str, StringConstraints(min_length=1, max_length=100), _Storable]
SearchWords = Annotated[str, StringConstraints(min_length=1, max_length=200), _Storable]
IdempotencyKey = Annotated[str, StringConstraints(min_length=1, max_length=200, strict=True), _Storable, _Filled]
Email = Annotated[
    str,
    StringConstraints(max_length=254),
    _Storable,
    AfterValidator(_email),
    # For the document alone: as a constraint, its refusal would be the pattern itself.
    Field(json_schema_extra={"pattern": f"^{_EMAIL}$"}),
]
Metadata = Annotated[dict[str, Any], AfterValidator(_storable_tree)]
StepField = Annotated[str, StringConstraints(min_length=1, max_length=50, strict=True), _Storable]
LetterKind = Literal["ticket", "message"]
LetterReason = Annotated[str, StringConstraints(min_length=1, max_length=100), _Storable]
Reason = Annotated[str, StringConstraints(min_length=1, max_length=500, strict=True), _Storable, _Filled]
