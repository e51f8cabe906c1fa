"""The README's own lines, run as they stand there, against what `make run` starts."""

from __future__ import annotations

import json
import subprocess

from tests.acceptance.laptop import Laptop
from tests.support.pages import lines_with_curl
from tests.support.processes import until


def test_the_curl_lines_work_as_printed(laptop: Laptop) -> None:
    with laptop.up() as (up, url):

        def answer(command: str) -> dict[str, object]:
            here = command.replace("http://127.0.0.1:8000", url)
            assert here != command
            done = subprocess.run(["bash", "-c", here], capture_output=True, text=True, timeout=30, check=True)
            answered: dict[str, object] = json.loads(done.stdout)
            return answered

        post, ticket, events, workflow = lines_with_curl("README.md")
        posted = answer(post)
        assert str(posted["ticket_id"]) in ticket
        done = until(lambda: (now := answer(ticket))["status"] == "completed" and now, 60, "an answer")
        assert done["result"]["disposition"] == "answered"
        assert done["result"]["model"] == "offline-rules-1"
        trail = answer(events)["items"]
        assert isinstance(trail, list)
        assert len(trail) == done["version"]
        assert answer(workflow)["current_step"] is None
        assert answer(post) == posted | {"status": "completed"}
        assert laptop.verify()["violations"] == []
        assert up.stop() == 0
