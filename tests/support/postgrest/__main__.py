"""``python -m tests.support.postgrest``: a Supabase project on a laptop, until interrupted.

Prints SUPABASE_URL, SUPABASE_KEY and DATABASE_URL as a shell takes them. With ``--url`` it serves the database whose
owner that connection string names; otherwise it makes a server and a migrated project, which are gone afterwards.
"""

from __future__ import annotations

import argparse
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from shlex import quote

from tests.support.postgrest.server import rest_api
from tests.support.supabase import supabase

_ENDS = (signal.SIGINT, signal.SIGTERM)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", help="the owner's connection string of an existing project")
    parser.add_argument("--port", type=int, default=54321)
    options = parser.parse_args()
    for number in _ENDS:
        signal.signal(number, _leave)
    with _project(options.url) as owner_url, rest_api(owner_url, port=options.port) as api:
        for name, value in (
            ("SUPABASE_URL", api.url),
            ("SUPABASE_KEY", api.secret_key),
            ("DATABASE_URL", owner_url),
        ):
            print(f"export {name}={quote(value)}", flush=True)
        threading.Event().wait()


def _leave(*_: object) -> None:
    """Once: a second signal, such as `timeout` passes on, must not meet what the first has begun."""
    for number in _ENDS:
        signal.signal(number, signal.SIG_IGN)
    raise SystemExit


@contextmanager
def _project(owner_url: str | None) -> Iterator[str]:
    if owner_url is not None:
        yield owner_url
        return
    with supabase() as server, server.project() as made:
        yield made


if __name__ == "__main__":
    main()
