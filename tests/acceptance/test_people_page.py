"""docs/people.md, line by line as it stands there, against what `make run` starts."""

from __future__ import annotations

import json
import subprocess
from typing import Any

from tests.acceptance.laptop import Laptop
from tests.support.pages import lines_with_curl
from tests.support.processes import until


def test_one_ticket_goes_from_the_telephone_to_the_pipeline_and_back(laptop: Laptop) -> None:
    with laptop.up(TICKETFLOW_REPLY_SETTLE_SECONDS="0.2") as (up, url):

        def answer(command: str) -> dict[str, Any]:
            here = command.replace("http://127.0.0.1:8000", url)
            assert here != command
            done = subprocess.run(["bash", "-c", here], capture_output=True, text=True, timeout=30, check=True)
            answered: dict[str, Any] = json.loads(done.stdout)
            return answered

        lines = iter(lines_with_curl("docs/people.md"))
        taken_in, options, start, escalate, suggested = (answer(next(lines)) for _ in range(5))
        assert f"/tickets/{taken_in['ticket_id']}/" in lines_with_curl("docs/people.md")[1]
        assert [each["name"] for each in options["enabled"]] == ["start_work"]
        assert (start["lifecycle"], start["assignee"]) == ("in_progress", "mia")
        assert (escalate["lifecycle"], escalate["assignee"]) == ("escalated", None)
        assert suggested["items"][0]["author"] == "customer:cus_mirela"
        resolved, closed, seen, reopened = (answer(next(lines)) for _ in range(4))
        assert (resolved["lifecycle"], resolved["assignee"], closed["lifecycle"]) == ("resolved", "kai", "closed")
        assert [item["author"] for item in seen["items"]] == ["customer:cus_mirela", "supervisor"]
        assert reopened["kind"] == "reply"
        again = next(lines)
        ticket = until(
            lambda: (now := answer(again))["attempt"] == 2 and now["status"] in ("completed", "waiting") and now,
            60,
            "the pipeline to answer again",
        )
        assert ticket["lifecycle"] in ("resolved", "escalated", "pending_customer")
        conversation = answer(next(lines))["items"]
        assert [item["author"] for item in conversation][2:] == ["customer:cus_mirela", "pipeline"]
        trail, past = answer(next(lines))["items"], answer(next(lines))
        moves = [event["payload"]["transition"] for event in trail if event["event_type"] == "lifecycle"]
        walked = ["assign", "start_work", "escalate", "resolve_escalated", "close", "reopen", "assign", "start_work"]
        assert moves[:8] == walked
        assert past["version"] == 5
        aggregate = answer(next(lines))
        assert aggregate["state"][ticket["lifecycle"]] == 1
        assert list(lines) == []
        assert laptop.verify()["violations"] == []
        assert up.stop() == 0
