"""For whoever runs the system: health, readiness, metrics, statistics, dead letters."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response

from ticketflow.api.deps import App, Calling, KnownParameters, at_least
from ticketflow.api.docs import answers
from ticketflow.api.fields import LetterKind, LetterReason
from ticketflow.api.operations_models import (
    DeadLetterList,
    DeadLetterOut,
    DeadLetterStoryOut,
    HealthOut,
    ReadyOut,
    RedriveBody,
    RedrivenOut,
    StatsOut,
)
from ticketflow.api.problems import problem, request_id_of
from ticketflow.api.render import cursor_after, json_response, parse_cursor
from ticketflow.db.reads import Which
from ticketflow.domain.roles import Role
from ticketflow.telemetry.metrics import CONTENT_TYPE

router = APIRouter(tags=["operations"])
_SUPERVISOR = at_least(Role.SUPERVISOR)


@router.get("/", include_in_schema=False)
async def root() -> Response:
    """A person who opens the address wants to know what is here."""
    return RedirectResponse("/docs")


@router.get("/health", responses=answers(HealthOut))
async def health() -> Response:
    """The process is alive."""
    return json_response({"status": "ok"})


@router.get("/ready", responses=answers(ReadyOut, 503))
async def ready(app: App, request: Request) -> Response:
    """Whether requests can be served; a 503 names the part that is away. Without broker or model, tickets only wait."""
    checks = await app.readiness()
    if checks["database"] != "ok":
        return problem(
            request_id_of(request),
            503,
            "not_ready",
            "the database does not answer",
            headers={"Retry-After": "1"},
            checks=checks,
        )
    return json_response({"status": "ready", "checks": checks})


@router.get("/metrics", response_class=PlainTextResponse, dependencies=[at_least(Role.AGENT)])
async def metrics(app: App) -> Response:
    """Prometheus metrics of this process."""
    await app.refresh_gauges()
    return Response(app.metrics.render(), media_type=CONTENT_TYPE)


@router.get("/stats", responses=answers(StatsOut, 422, 503), dependencies=[at_least(Role.AGENT), KnownParameters])
async def stats(app: App) -> Response:
    """Counts, throughput, tokens and cost, computed in the database."""
    return json_response(await app.reads.stats())


@router.get(
    "/dead-letters",
    responses=answers(DeadLetterList, 422, 503),
    dependencies=[at_least(Role.AGENT), KnownParameters],
)
async def dead_letters(
    app: App,
    kind: LetterKind | None = None,
    reason: LetterReason | None = None,
    include_redriven: bool = False,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: Annotated[str | None, Query(max_length=200)] = None,
) -> Response:
    """What stopped moving and waits for a person, newest first."""
    letters = await app.reads.dead_letters(
        Which(kind, reason), limit=limit, after=parse_cursor(cursor), include_redriven=include_redriven
    )
    return json_response({"items": [asdict(letter) for letter in letters], "next_cursor": cursor_after(letters, limit)})


@router.get(
    "/dead-letters/{letter_id}",
    responses=answers(DeadLetterStoryOut, 404, 422, 503),
    dependencies=[at_least(Role.AGENT)],
)
async def dead_letter(letter_id: UUID, app: App) -> Response:
    """One dead letter with its payload, and what happened to its ticket: errors, retries and changes of status."""
    story = await app.dead_letters.story(letter_id)
    happened = [asdict(each) for each in story.history]
    return json_response(
        {**asdict(story.letter), "redriven_request_id": story.redriven_request_id, "history": happened}
    )


@router.post(
    "/dead-letters/redrive",
    responses=answers(RedrivenOut, 400, 413, 415, 422, 503),
    dependencies=[_SUPERVISOR, KnownParameters],
)
async def redrive_many(app: App, calling: Calling, body: RedriveBody) -> Response:
    """Redrive the oldest dead letters, all of them or those of a kind and a reason, as many as `limit`.

    Each is redriven as it would be by itself, with an event of its own in its ticket's trail. One whose ticket changes
    meanwhile is skipped. `remaining` says how many are left: ask again until it is 0.
    """
    redriven = await app.dead_letters.redrive_many(Which(body.kind, body.reason), body.limit, calling)
    return json_response(
        {
            "redriven": len(redriven.ids),
            "skipped": redriven.skipped,
            "remaining": redriven.remaining,
            "items": redriven.ids,
        }
    )


@router.post(
    "/dead-letters/{letter_id}/redrive",
    responses=answers(DeadLetterOut, 404, 409, 422, 503),
    dependencies=[_SUPERVISOR, KnownParameters],
)
async def redrive(letter_id: UUID, app: App, calling: Calling) -> Response:
    """Start the next attempt of the dead letter's ticket; the trail and the letter say who body.

    A dead message is closed by it, and its ticket is woken if it still waits for a worker.
    """
    return json_response(asdict(await app.dead_letters.redrive(letter_id, calling)))
