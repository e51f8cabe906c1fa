"""Leases: who may work on a ticket, proven by a fencing token that every write carries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from ticketflow.db.batching import Batcher, BatchLimits
from ticketflow.db.codec import event_json, message_from, milliseconds, ticket_from
from ticketflow.db.gateway import Gateway
from ticketflow.domain.conversation import Message
from ticketflow.domain.events import EventType, NewEvent
from ticketflow.domain.firing import fired
from ticketflow.domain.lifecycle import Move, Place
from ticketflow.domain.roles import PIPELINE, SYSTEM, THE_PIPELINE
from ticketflow.domain.routing import LANE_OF_PRIORITY
from ticketflow.domain.tickets import CLAIMABLE, Status, Ticket

OTHER_FLOW_WAIT = timedelta(seconds=3)
"""Until a ticket that this release cannot run is offered again: during a deploy the next taker may know it."""

CONVERSATION_MESSAGES = 50
"""The newest public messages that come with a claim: what the pipeline reads before it answers again."""


def _take_up() -> dict[str, list[dict[str, Any]]]:
    """By place, what the pipeline fires when it takes a ticket: a new one becomes its own, and is begun."""
    assigned = fired(Move.ASSIGN, Place.NEW, None, THE_PIPELINE)
    begun = fired(Move.START_WORK, Place.ASSIGNED, PIPELINE, THE_PIPELINE)
    return {Place.NEW.value: [event_json(assigned), event_json(begun)]}


LANES = {str(priority): str(lane) for priority, lane in LANE_OF_PRIORITY.items()}


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to work on one ticket. ``takeovers``: workers lost on it since a step was last completed;
    ``request_id``: the request that this work goes back to."""

    ticket: Ticket
    token: UUID
    takeovers: int
    request_id: str | None
    checkpoint: Mapping[str, Any] | None
    """The newest checkpoint as ``db.checkpoints`` reads it, or None when no step was completed yet."""
    conversation: tuple[Message, ...] = ()
    """The ticket's latest public messages, oldest first."""


@dataclass(frozen=True, slots=True)
class Held:
    """Another worker works on it."""

    worker: str


@dataclass(frozen=True, slots=True)
class NotClaimable:
    """The ticket's status needs no worker."""

    status: Status


@dataclass(frozen=True, slots=True)
class OtherFlow:
    """The ticket is under way on a flow version that only another release knows. A message wakes it again soon."""

    version: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """No such ticket."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """The ticket has a value that only another release knows. It was given back, and a message wakes it again soon."""

    reason: str


Claimed = Lease | Held | NotClaimable | OtherFlow | Unreadable | Unknown


@dataclass(frozen=True, slots=True)
class _Claim:
    ticket_id: UUID
    takeover: bool
    request_id: str | None
    token: UUID


class Leases:
    """Takes, keeps and returns leases in the name of ``worker``.

    ``flows`` are the flow versions that the worker can run, the first being the one that tickets are started on.
    """

    def __init__(
        self, gateway: Gateway, worker: str, ttl: timedelta, flows: Sequence[str], limits: BatchLimits | None = None
    ) -> None:
        self._gateway = gateway
        self._worker = worker
        self.ttl = ttl
        self._flows = list(flows)
        self._take_up = _take_up()
        self._batcher: Batcher[_Claim, Claimed] = Batcher(
            self._send, lambda claim: claim.ticket_id, limits or BatchLimits()
        )
        # At the end of a drain all of them come at once.
        self._releases: Batcher[Lease, None] = Batcher(self._release_all, id, BatchLimits(patience=0))

    async def claim(self, ticket_id: UUID, *, takeover: bool, request_id: str | None = None) -> Claimed:
        """Take a ticket under a fresh token. ``takeover``: its former holder is known to be gone, so do not wait."""
        return await self._batcher.submit(_Claim(ticket_id, takeover, request_id, uuid4()))

    async def extend(self, leases: Sequence[Lease]) -> dict[UUID, Status | None]:
        """Keep all leases of this process in one call. Returns the tickets that were lost with their status, which is
        None for one that is gone."""
        lost = await self._gateway.call(
            "ticketflow_keep_leases",
            {"ttl_ms": milliseconds(self.ttl), "worker": self._worker, "leases": _named(leases)},
        )
        return {UUID(row["ticket_id"]): Status(row["ticket_status"]) if row["ticket_status"] else None for row in lost}

    async def release(self, lease: Lease) -> None:
        """Give a ticket back unfinished, with a message that lets another worker go on at once."""
        await self._releases.submit(lease)

    async def _release_all(self, leases: Sequence[Lease]) -> Sequence[None]:
        await self._gateway.call("ticketflow_release", {"leases": _named(leases), "lanes": LANES})
        return [None] * len(leases)

    async def _send(self, claims: Sequence[_Claim]) -> list[Claimed]:
        rows = await self._gateway.call(
            "ticketflow_claim",
            {
                "worker": self._worker,
                "ttl_ms": milliseconds(self.ttl),
                "claimable": sorted(CLAIMABLE),
                "flows": self._flows,
                "flow": self._flows[0],
                "flow_wait_ms": milliseconds(OTHER_FLOW_WAIT),
                "lanes": LANES,
                "take_up": self._take_up,
                "messages": CONVERSATION_MESSAGES,
                "claims": [self._claim_json(claim) for claim in claims],
            },
        )
        answers = [self._claimed(claim, row) for claim, row in zip(claims, rows, strict=True)]
        if odd := [claim for claim, answer in zip(claims, answers, strict=True) if isinstance(answer, Unreadable)]:
            # Claimed it is, but by a release that does not know all of its values. Another may.
            named = [{"ticket_id": str(claim.ticket_id), "token": str(claim.token)} for claim in odd]
            wait = milliseconds(OTHER_FLOW_WAIT)
            await self._gateway.call("ticketflow_release", {"leases": named, "lanes": LANES, "wait_ms": wait})
        return answers

    def _claim_json(self, claim: _Claim) -> dict[str, Any]:
        first = NewEvent(
            EventType.STATUS_CHANGE,
            PIPELINE,
            payload={"from": Status.PENDING, "to": Status.PROCESSING, "worker": self._worker},
            changes={"status": Status.PROCESSING},
            request_id=claim.request_id,
        )
        takeover = NewEvent(
            EventType.RETRY,
            SYSTEM,
            payload={"reason": "takeover", "worker": self._worker},
            request_id=claim.request_id,
        )
        return {
            "ticket_id": str(claim.ticket_id),
            "token": str(claim.token),
            "takeover": claim.takeover,
            "first_event": event_json(first),
            "takeover_event": event_json(takeover),
        }

    @staticmethod
    def _claimed(claim: _Claim, row: Mapping[str, Any]) -> Claimed:
        match row["status"]:
            case "claimed":
                try:
                    ticket = ticket_from(row["ticket"])
                    conversation = tuple(message_from(message) for message in row["messages"])
                except ValueError as error:
                    return Unreadable(str(error))
                return Lease(ticket, claim.token, row["takeovers"], row["request_id"], row["checkpoint"], conversation)
            case "held":
                return Held(row["worker"])
            case "not_claimable":
                return NotClaimable(Status(row["ticket_status"]))
            case "other_flow":
                return OtherFlow(row["flow_version"])
            case _:
                return Unknown()


def _named(leases: Sequence[Lease]) -> list[dict[str, str]]:
    return [{"ticket_id": str(lease.ticket.id), "token": str(lease.token)} for lease in leases]
