"""Who asks a service to do something, and within which request."""

from __future__ import annotations

from dataclasses import dataclass

from ticketflow.domain.roles import LOCAL_ADMIN, Principal


@dataclass(frozen=True, slots=True)
class Caller:
    """The request that a change came with, carried along so that the trail and the logs can be joined to it, and who
    made it: on the command line, whoever sits at this machine."""

    request_id: str
    traceparent: str | None = None
    principal: Principal = LOCAL_ADMIN

    @property
    def actor(self) -> str:
        return self.principal.actor

    def headers(self) -> dict[str, str]:
        """For the wake-up message."""
        headers = {"x-request-id": self.request_id}
        if self.traceparent:
            headers["traceparent"] = self.traceparent
        return headers
