"""PostgREST's schema cache: what it knows of the database between two reloads.

Imitated: PostgREST's reference, "Schema Cache" (loaded at start, again on ``NOTIFY pgrst, 'reload schema'``; stale in
between), "Functions as RPC" (a function is found by its name and its arguments' names, PGRST202 when there is none,
PGRST203 when there are several), and "Transactions" (settings of the impersonated role and of the function, taken only
where any user may set them). The hints come from another measure of likeness than PostgREST's. Not imitated: functions
with one unnamed argument, variadic ones, ``default_transaction_isolation``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

import psycopg

from tests.support.postgrest.errors import refused

SCHEMA = "public"
_HOISTED = ("statement_timeout", "plan_filter.statement_cost_limit")

_FUNCTIONS = """
select p.proname, p.provolatile::text, p.proretset, t.typtype = 'c' or t.typname = 'record', t.typname = 'void',
       coalesce(p.proargnames, '{}'), p.proargmodes::text[],
       array(select format_type(a.oid, null) from unnest(p.proargtypes) with ordinality a(oid, n) order by a.n),
       p.pronargdefaults, coalesce(p.proconfig, '{}')
from pg_proc p join pg_namespace n on n.oid = p.pronamespace join pg_type t on t.oid = p.prorettype
where n.nspname = %s and p.prokind = 'f'
"""
_TABLES = """
select c.relname, array(select a.attname from pg_attribute a where a.attrelid = c.oid and a.attnum > 0
                        and not a.attisdropped)
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where n.nspname = %s and c.relkind in ('r', 'v', 'm', 'f', 'p') and not c.relispartition
"""
_ROLE_SETTINGS = """
select r.rolname, split_part(each, '=', 1), substr(each, strpos(each, '=') + 1)
from pg_roles r, unnest(r.rolconfig) each join pg_settings s on s.name = split_part(each, '=', 1)
where s.context = 'user' and s.name <> 'default_transaction_isolation' and pg_has_role(r.oid, 'member')
  and r.rolname <> current_user
"""


@dataclass(frozen=True, slots=True)
class Function:
    name: str
    volatile: bool
    set: bool
    composite: bool
    void: bool
    arguments: dict[str, str]
    """Names and types."""
    required: frozenset[str]
    settings: tuple[tuple[str, str], ...]


@dataclass(slots=True)
class SchemaCache:
    """What one load found."""

    functions: dict[str, list[Function]] = field(default_factory=dict)
    tables: dict[str, frozenset[str]] = field(default_factory=dict)
    role_settings: dict[str, list[tuple[str, str]]] = field(default_factory=dict)

    def function(self, name: str, given: Collection[str]) -> Function:
        """The function of this name that takes these arguments. Raises ``Refused``."""
        named = self.functions.get(name, [])
        matching = [each for each in named if each.required <= set(given) <= each.arguments.keys()]
        if len(matching) == 1:
            return matching[0]
        if matching:
            candidates = ", ".join(
                f"{SCHEMA}.{name}({', '.join(f'{a} => {kind}' for a, kind in each.arguments.items())})"
                for each in matching
            )
            raise refused(
                300,
                "PGRST203",
                f"Could not choose the best candidate function between: {candidates}",
                hint="Try renaming the parameters or the function itself in the database so function overloading can "
                "be resolved",
            )
        arguments = ", ".join(sorted(given))
        without = "" if arguments else " without parameters"
        several = "s" if len(given) > 1 else ""
        searched = f" with parameter{several} {arguments}" if arguments else without
        shown = f"({arguments})" if arguments else without
        raise refused(
            404,
            "PGRST202",
            f"Could not find the function {SCHEMA}.{name}{shown} in the schema cache",
            f"Searched for the function {SCHEMA}.{name}{searched} or with a single unnamed json/jsonb parameter, but "
            "no matches were found in the schema cache.",
            self._function_hint(name, given, named),
        )

    def table(self, name: str) -> frozenset[str]:
        """The columns. Raises ``Refused``."""
        columns = self.tables.get(name)
        if columns is None:
            near = get_close_matches(name, self.tables, 1, 0.75)
            hint = f"Perhaps you meant the table '{SCHEMA}.{near[0]}'" if near else None
            message = f"Could not find the table '{SCHEMA}.{name}' in the schema cache"
            raise refused(404, "PGRST205", message, hint=hint)
        return columns

    def _function_hint(self, name: str, given: Iterable[str], named: list[Function]) -> str | None:
        if named:
            signatures = [f"({', '.join(sorted(each.arguments))})" for each in named]
            near = get_close_matches(f"({', '.join(sorted(given))})", signatures, 1, 0.33)
            near = [name + signature for signature in near]
        else:
            near = get_close_matches(name, self.functions, 1, 0.75)
        return f"Perhaps you meant to call the function {SCHEMA}.{near[0]}" if near else None


async def load(connection: psycopg.AsyncConnection[Any]) -> SchemaCache:
    """What the database has now."""
    cache = SchemaCache()
    for row in await (await connection.execute(_FUNCTIONS, (SCHEMA,))).fetchall():
        function = _function(*row)
        cache.functions.setdefault(function.name, []).append(function)
    for name, columns in await (await connection.execute(_TABLES, (SCHEMA,))).fetchall():
        cache.tables[name] = frozenset(columns)
    for role, name, value in await (await connection.execute(_ROLE_SETTINGS)).fetchall():
        cache.role_settings.setdefault(role, []).append((name, value))
    return cache


def _function(
    name: str,
    volatility: str,
    returns_set: bool,
    composite: bool,
    void: bool,
    names: list[str],
    modes: list[str] | None,
    types: list[str],
    defaults: int,
    config: list[str],
) -> Function:
    if modes is not None:
        names = [each for each, mode in zip(names, modes, strict=True) if mode in "ibv"]
    arguments = dict(zip(names, types, strict=False))
    required = frozenset(list(arguments)[: len(types) - defaults])
    settings = [(setting, value) for setting, _, value in (each.partition("=") for each in config)]
    return Function(
        name,
        volatility == "v",
        returns_set,
        composite,
        void,
        arguments,
        required,
        tuple(each for each in settings if each[0] in _HOISTED),
    )
