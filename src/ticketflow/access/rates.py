"""How many tickets a caller may send: the generic cell rate algorithm (ITU-T I.371), in memory."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from datetime import timedelta

from ticketflow.domain.errors import FieldProblem, Invalid, TooManyRequests
from ticketflow.domain.roles import LOCAL_ADMIN, Principal, Role

MOST_CALLERS = 10_000
_MINUTE = 60.0


class IntakeLimits:
    """So many tickets a minute for each caller of this process, all of which may come at once."""

    def __init__(self, customer: int, staff: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_minute = {role: customer if role is Role.CUSTOMER else staff for role in Role}
        self._clock = clock
        # When each caller will have all of a minute's tickets again; who came last stands last.
        self._full_at: OrderedDict[tuple[Role, str], float] = OrderedDict()

    def admit(self, caller: Principal, tickets: int = 1) -> None:
        """Count these tickets. Raises ``TooManyRequests``, having counted none, when they are too many just now, and
        ``Invalid`` when they always will be. Whoever sits at this machine is not limited."""
        if caller == LOCAL_ADMIN:
            return
        per_minute = self._per_minute[caller.role]
        if tickets > per_minute:
            message = f"more than the {per_minute} tickets a minute that are allowed: send fewer at once"
            raise Invalid(f"tickets: {message}", [FieldProblem("tickets", message)])
        now, key = self._clock(), (caller.role, caller.subject)
        full_at = max(self._full_at.get(key, now), now) + tickets * _MINUTE / per_minute
        wait = full_at - now - _MINUTE
        if wait > 1e-6:
            raise TooManyRequests(f"no more than {per_minute} tickets a minute", timedelta(seconds=wait))
        self._full_at[key] = full_at
        self._full_at.move_to_end(key)
        if len(self._full_at) > MOST_CALLERS:
            self._full_at.popitem(last=False)
