"""A ticket in every kind of state, each brought there by what brings tickets there."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID, uuid4

from tests.support.history.site import Unwatched
from tests.support.trails import (
    RESULT,
    TTL,
    applied,
    claimed,
    complete,
    event,
    fail,
    new_ticket,
    put_aside,
    step_done,
    under,
)
from ticketflow.db.commits import Commits
from ticketflow.db.leases import Lease, Leases
from ticketflow.db.postgres import PostgresGateway
from ticketflow.db.reads import Reads
from ticketflow.domain.change import CheckpointRow
from ticketflow.domain.conversation import MessageKind
from ticketflow.domain.events import NewEvent
from ticketflow.domain.lifecycle import Move
from ticketflow.domain.roles import Principal, Role
from ticketflow.domain.tickets import Disposition
from ticketflow.services.again import Again
from ticketflow.services.caller import Caller
from ticketflow.services.conversation import Conversation
from ticketflow.services.steer import Steer
from ticketflow.services.transitions import Transitions
from ticketflow.worker.run import TicketRun
from ticketflow.workflow.state import StepName, StepReport

CALLER = Caller("request-1")
MIA = Caller("request-2", None, Principal("mia", Role.AGENT))
CUSTOMER = Caller("request-3", None, Principal("cus_1", Role.CUSTOMER))
STEPS = ("classify", "extract", "research")


class Making:
    def __init__(self, gateway: PostgresGateway) -> None:
        self.commits, self.reads = Commits(gateway), Reads(gateway)
        self.leases = Leases(gateway, "worker-1", TTL, ["1"])
        self.others = Leases(gateway, "worker-2", TTL, ["1"])
        self.steer = Steer(self.commits, self.reads, Unwatched())
        again = Again(self.reads, timedelta())
        self.transitions = Transitions(self.commits, self.reads, again, TTL)
        self.conversation = Conversation(self.commits, self.reads, again)

    async def working(self) -> Lease:
        """A ticket under way, with three steps done and a checkpoint after each."""
        lease = await claimed(self.leases, await new_ticket(self.commits))
        for step in STEPS:
            await self.step(lease, step)
        return lease

    async def step(self, lease: Lease, step: str, *more: NewEvent, release: bool = False) -> None:
        done = step_done(step)
        name = str(uuid4())
        named = NewEvent(
            done.event_type, done.actor, {**done.payload, "checkpoint_id": name}, done.changes, step_name=step
        )
        row = CheckpointRow(str(lease.ticket.id), "", name, None, {"channel_versions": {step: "1"}}, {}, {})
        await applied(self.commits, under(lease, named, *more, release=release, checkpoint=row))

    async def answered(self) -> UUID:
        lease = await self.working()
        await self.step(lease, "finalize", event(status="completed", result={"reply": "Here is how."}), release=True)
        return lease.ticket.id

    async def said(self, disposition: Disposition, lease: Lease | None = None) -> UUID:
        """A ticket to whose customer the pipeline has said something."""
        lease = lease or await self.working()
        run = TicketRun(lease, self.commits, close_after=TTL)
        run.record(StepReport(StepName.FINALIZE, {}, 1, 1, result={**RESULT, "disposition": disposition}))
        name = str(uuid4())
        body = {"channel_versions": {"finalize": "1"}}
        await run.commit_step(CheckpointRow(str(lease.ticket.id), "", name, None, body, {}, {}))
        return lease.ticket.id

    async def fired(self, ticket_id: UUID, *moves: Move) -> UUID:
        """What Mia does with it."""
        for move in moves:
            await self.transitions.fire(ticket_id, move, {}, MIA)
        return ticket_id

    async def told(self, ticket_id: UUID, kind: MessageKind, caller: Caller) -> UUID:
        await self.conversation.say(ticket_id, kind, "And this.", caller)
        return ticket_id

    async def suggested(self) -> UUID:
        lease = await self.working()
        await self.told(lease.ticket.id, MessageKind.REPLY, MIA)
        return await self.said(Disposition.ANSWERED, lease)

    async def waiting(self) -> UUID:
        ticket_id = await new_ticket(self.commits)
        await put_aside(self.commits, self.leases, ticket_id, timedelta(hours=1))
        return ticket_id

    async def failed(self) -> UUID:
        ticket_id = await new_ticket(self.commits)
        await fail(self.commits, self.leases, ticket_id)
        return ticket_id

    async def moved(self, ticket_id: UUID, *moves: str) -> UUID:
        for move in moves:
            await getattr(self.steer, move)(ticket_id, CALLER)
        return ticket_id

    async def everything(self) -> dict[str, UUID]:
        replayed = await self.answered()
        await self.steer.replay(replayed, "extract", CALLER)
        answered_again = await self.answered()
        await self.steer.replay(answered_again, "finalize", CALLER)
        lease = await claimed(self.others, answered_again)
        await self.step(lease, "finalize", event(status="completed", result={"reply": "And so."}), release=True)
        taken_over = (await self.working()).ticket.id
        await self.step(await claimed(self.others, taken_over, takeover=True), "draft")
        released = await self.working()
        await self.leases.release(released)
        plain = await new_ticket(self.commits)
        await complete(self.commits, self.leases, plain)
        return {
            "taken in": await new_ticket(self.commits),
            "in work": (await self.working()).ticket.id,
            "taken over": taken_over,
            "given back": released.ticket.id,
            "waiting": await self.waiting(),
            "waiting and paused": await self.moved(await self.waiting(), "pause"),
            "paused in work": await self.moved((await self.working()).ticket.id, "pause"),
            "resumed": await self.moved((await self.working()).ticket.id, "pause", "resume"),
            "tried again": await self.moved(await self.waiting(), "retry"),
            "failed": await self.failed(),
            "failed and tried again": await self.moved(await self.failed(), "retry"),
            "cancelled": await self.moved((await self.working()).ticket.id, "cancel"),
            "answered": await self.answered(),
            "answered without checkpoints": plain,
            "replayed": replayed,
            "answered again": answered_again,
            "resolved": await self.said(Disposition.ANSWERED),
            "closed": await self.fired(await self.said(Disposition.ANSWERED), Move.CLOSE),
            "asked": await self.said(Disposition.ASKED),
            "reopened": await self.told(await self.said(Disposition.ANSWERED), MessageKind.REPLY, CUSTOMER),
            "worked on by a person": await self.fired(
                await self.told(await new_ticket(self.commits), MessageKind.NOTE, MIA), Move.ASSIGN, Move.START_WORK
            ),
            "suggested": await self.suggested(),
        }
