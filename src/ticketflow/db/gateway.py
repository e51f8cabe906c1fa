"""The door to PostgreSQL: named SQL functions, each with one JSON argument and one JSON result."""

from __future__ import annotations

from typing import Any, Protocol

OF_THE_DATA = ("21", "22", "23", "42", "54", "P0")
"""Classes of SQLSTATE: what was sent is at fault, and would be again. Whatever is not known to be waits for somebody to
look: a pooler that lost its connection to the server says XX000 (Supavisor)."""


class Gateway(Protocol):
    """Calls ``ticketflow_*`` functions.

    ``call`` raises ``StoreUnavailable`` when the answer is not known (connection lost, time-out, deadlock: the call may
    or may not have taken effect) or when nobody is let in until somebody changes something, and ``Poison`` when the
    data itself was refused (nothing took effect).
    """

    async def call(self, function: str, args: Any) -> Any: ...

    async def ping(self) -> None:
        """Raise ``StoreUnavailable`` unless the database answers and lets us call what is ours."""
        ...

    async def aclose(self) -> None: ...
