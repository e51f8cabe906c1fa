"""Take in: a request becomes a ticket, once, however often it is sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol
from uuid import UUID

from ticketflow.db.commits import Commits
from ticketflow.domain.change import Applied, Change, Create, Outcome, Refused, WakeUp
from ticketflow.domain.errors import Conflict, FieldProblem, Invalid, beyond_role
from ticketflow.domain.events import EventType, NewEvent
from ticketflow.domain.firing import fired
from ticketflow.domain.ids import DEDUPE_WINDOW, Identity, fingerprint, identify
from ticketflow.domain.lifecycle import Move, Place
from ticketflow.domain.roles import RESERVED_SUBJECTS, Principal
from ticketflow.domain.routing import lane_for
from ticketflow.domain.tickets import Category, Channel, Priority, Status
from ticketflow.services.caller import Caller
from ticketflow.workflow.state import FLOW_VERSION


@dataclass(frozen=True, slots=True)
class NewTicket:
    """What a caller sends, already checked for shape. ``idempotency_key`` names the request, not its content."""

    customer_id: str
    subject: str
    body: str
    customer_email: str | None = None
    priority: Priority | None = None
    category: Category | None = None
    vip: bool = False
    tags: tuple[str, ...] = ()
    channel: Channel = Channel.API
    metadata: Mapping[str, Any] = field(default_factory=dict)
    assignee: str | None = None
    """Who takes it in to keep it, such as an agent on the telephone. The pipeline then only makes suggestions."""
    idempotency_key: str | None = None


@dataclass(frozen=True, slots=True)
class Taken:
    """``created`` is False when the ticket was there already."""

    ticket_id: UUID
    status: Status
    created: bool


class IntakeObserver(Protocol):
    def created(self, channel: Channel) -> None: ...


class Intake:
    def __init__(self, commits: Commits, observer: IntakeObserver) -> None:
        self._commits = commits
        self._observer = observer

    async def take_in(self, new: NewTicket, caller: Caller) -> Taken:
        """Store the ticket with its first event and its wake-up, or find the one that is there already.

        Raises ``Forbidden`` for what a customer may not say, ``Invalid`` when an idempotency key comes back with
        another content, ``StoreUnavailable`` when nothing is stored.
        """
        _refuse_beyond_role(new, caller.principal)
        change, print_ = _creation(new, caller, datetime.now(UTC))
        return self._taken(new, change, print_, await self._commits.apply(change))

    async def take_in_many(self, news: Sequence[NewTicket], caller: Caller) -> list[Taken | Invalid]:
        """Many in one round trip; a key that is reused wrongly hurts only its own item."""
        for new in news:
            _refuse_beyond_role(new, caller.principal)
        now = datetime.now(UTC)
        changes = [_creation(new, caller, now) for new in news]
        outcomes = await self._commits.apply_all([change for change, _ in changes])
        results: list[Taken | Invalid] = []
        for new, (change, print_), outcome in zip(news, changes, outcomes, strict=True):
            try:
                results.append(self._taken(new, change, print_, outcome))
            except Invalid as error:
                results.append(error)
        return results

    def _taken(self, new: NewTicket, change: Change, print_: str, outcome: Outcome) -> Taken:
        match outcome:
            case Applied():
                self._observer.created(new.channel)
                return Taken(change.ticket_id, Status.PENDING, created=True)
            case Refused(existing=existing) if existing is not None:
                if new.idempotency_key is not None and existing.fingerprint != print_:
                    raise Invalid(
                        "this Idempotency-Key was used for another ticket",
                        [FieldProblem("Idempotency-Key", "was used with another body")],
                    )
                return Taken(existing.id, Status(existing.status), created=False)
            case Refused(reason=reason):
                raise Conflict(f"the ticket could not be created: {reason}")


def _refuse_beyond_role(new: NewTicket, who: Principal) -> None:
    """A customer writes for themselves, and has no say in how the ticket is handled."""
    if new.assignee in RESERVED_SUBJECTS:
        raise Invalid("this assignee is no person", [FieldProblem("assignee", "is a reserved name")])
    if not who.is_customer:
        return
    if new.customer_id != who.subject:
        raise beyond_role("customer_id", "a customer sends their own tickets only")
    given = {"vip": new.vip, "tags": new.tags, "assignee": new.assignee}
    if beyond := [name for name, value in given.items() if value]:
        raise beyond_role(beyond[0], "is not for customers to set")


def _creation(new: NewTicket, caller: Caller, now: datetime) -> tuple[Change, str]:
    identity: Identity = identify(new.customer_id, new.subject, new.body, new.idempotency_key, now)
    content: dict[str, Any] = {
        "customer_id": new.customer_id,
        "customer_email": new.customer_email,
        "subject": new.subject,
        "body": new.body,
        "priority": new.priority,
        "category": new.category,
        "vip": new.vip,
        "tags": list(new.tags),
        "channel": new.channel,
        "metadata": dict(new.metadata),
    }
    print_ = fingerprint({**content, "assignee": new.assignee} if new.assignee is not None else content)
    created = NewEvent(
        EventType.CREATED,
        caller.actor,
        payload={"channel": new.channel, "idempotency_key": new.idempotency_key},
        changes={
            **content,
            "status": Status.PENDING,
            "attempt": 1,
            "excused_attempts": 0,
            "flow_version": FLOW_VERSION,
            "fingerprint": print_,
        },
        request_id=caller.request_id,
    )
    events = [created]
    if new.assignee is not None:
        assigned = {"assignee": new.assignee}
        events.append(fired(Move.ASSIGN, Place.NEW, None, caller.principal, assigned, caller.request_id))
    return (
        Change(
            ticket_id=identity.ticket_id,
            guard=Create(identity.window_key, DEDUPE_WINDOW if identity.window_key else None),
            events=events,
            wake_ups=[WakeUp(lane_for(new.priority), "created", caller.headers())],
        ),
        print_,
    )
