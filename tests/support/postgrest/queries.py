"""The SQL that a request becomes.

Imitated: PostgREST's reference, "Functions as RPC" (a JSON object's members become named arguments, converted to their
types by PostgreSQL; a scalar is the body as it is, a set an array) and "Tables and Views" (``select``, ``order``,
``limit``, ``offset``, and the filters ``eq neq gt gte lt lte is in``). Whatever else those pages know is answered with
501, so that nobody takes the stand-in's silence for PostgREST's.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from psycopg.types.json import Json

from tests.support.postgrest.errors import Refused, gateway_refused, refused
from tests.support.postgrest.schema import SCHEMA, Function

_COMPARISONS = {"eq": "=", "neq": "<>", "gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
_ORDER = re.compile(r"(?P<column>\w+)(\.(?P<way>asc|desc))?(\.nulls(?P<nulls>first|last))?")


@dataclass(frozen=True, slots=True)
class Query:
    sql: str
    parameters: Sequence[Any]


def given_arguments(body: bytes, content_type: str) -> list[str]:
    """The names of the arguments in a POST's body. Raises ``Refused``."""
    if (media := content_type.partition(";")[0].strip() or "application/json") != "application/json":
        raise refused(400, "PGRST102", f"Content-Type not acceptable: {media}")
    if not body:
        return []
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise refused(400, "PGRST102", "Empty or invalid json") from None
    if isinstance(document, list) and document:
        first = document[0]
        if not isinstance(first, dict) or not all(isinstance(e, dict) and e.keys() == first.keys() for e in document):
            raise refused(400, "PGRST102", "All object keys must match")
        return list(first)
    # What is neither an object nor an array of some counts as nothing given.
    return list(document) if isinstance(document, dict) else []


def call(function: Function, body: bytes, given: Sequence[str]) -> Query:
    """The call of a function with a POST's body; PostgreSQL converts the arguments."""
    arguments = ", ".join(f"{_quoted(name)} := given.{_quoted(name)}" for name in given)
    source = f"{_quoted(SCHEMA)}.{_quoted(function.name)}({arguments})"
    parameters: list[Any] = []
    before = ""
    if given:
        columns = ", ".join(f"{_quoted(name)} {function.arguments[name]}" for name in given)
        record = "json_to_recordset" if body.lstrip()[:1] == b"[" else "json_to_record"
        before = f"(select * from {record}(%s::json) as given({columns}) limit 1) given, lateral "
        parameters.append(Json(body, dumps=_as_it_is))
    called = source if function.composite else f"(select {source} as value)"
    value = "answer" if function.composite else "answer.value"
    rows = f"select {value} as value from {before}{called} answer"
    if function.set:
        return Query(f"select coalesce(json_agg(value), '[]')::text from ({rows}) rows", parameters)
    return Query(f"select (json_agg(value) -> 0)::text from ({rows}) rows", parameters)


def read(table: str, asked: Sequence[tuple[str, str]]) -> Query:
    """The rows of a table as one JSON array."""
    select, order, bounds = "*", "", ""
    filters: list[str] = []
    parameters: list[Any] = []
    for name, value in asked:
        match name:
            case "select":
                select = _select(value)
            case "order":
                order = " order by " + ", ".join(map(_order, value.split(",")))
            case "limit" | "offset":
                if not value.isdecimal():
                    raise refused(400, "PGRST100", f'"failed to parse {name} ({value})" (line 1, column 1)')
                bounds += f" {name} {int(value)}"
            case _:
                filters.append(_filter(name, value, parameters))
    where = f" where {' and '.join(filters)}" if filters else ""
    rows = f"select {select} from {_quoted(SCHEMA)}.{_quoted(table)}{where}{order}{bounds}"
    return Query(f"select coalesce(json_agg(rows), '[]')::text from ({rows}) rows", parameters)


def not_imitated(what: str) -> Refused:
    return gateway_refused(501, f"not imitated: {what}", "PostgREST may well know it; this stand-in does not.")


def _select(value: str) -> str:
    columns = []
    for each in value.split(","):
        if each != "*" and not re.fullmatch(r"\w+", each):
            raise not_imitated(f"select={each}")
        columns.append(each if each == "*" else _quoted(each))
    return ", ".join(columns)


def _order(term: str) -> str:
    matched = _ORDER.fullmatch(term)
    if matched is None:
        raise refused(400, "PGRST100", f'"failed to parse order ({term})" (line 1, column 1)')
    nulls = f" nulls {matched['nulls']}" if matched["nulls"] else ""
    return f"{_quoted(matched['column'])} {matched['way'] or 'asc'}{nulls}"


def _filter(column: str, value: str, parameters: list[Any]) -> str:
    operator, _, operand = value.partition(".")
    if operator in _COMPARISONS:
        parameters.append(operand)
        return f"{_quoted(column)} {_COMPARISONS[operator]} %s"
    if operator == "is" and operand in ("null", "true", "false"):
        return f"{_quoted(column)} is {operand}"
    if operator == "in" and re.fullmatch(r"\([^()\"]*\)", operand):
        members = operand[1:-1].split(",")
        parameters.extend(members)
        return f"{_quoted(column)} in ({', '.join(['%s'] * len(members))})"
    raise not_imitated(f"{column}={value}")


def _quoted(name: str) -> str:
    # Doubled for psycopg as well, which looks for placeholders.
    return '"' + name.replace('"', '""').replace("%", "%%") + '"'


def _as_it_is(document: Any) -> bytes:
    return bytes(document)
