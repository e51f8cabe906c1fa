"""Everything at once: what goes wrong is drawn from a seed, and in the end nothing is lost and nothing was done twice.

Meanwhile customers write about their tickets and agents move them, whoever has them.

``CHAOS_SEED`` replays a schedule (or several, with commas), ``CHAOS_TICKETS`` says how many tickets are sent meanwhile.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from random import Random, SystemRandom

import pytest

from tests.chaos.asked import assert_explained
from tests.chaos.customers import post_all, talk_and_move
from tests.chaos.forms import LONG
from tests.chaos.havoc import Havoc
from tests.chaos.scenarios import REVISED, URGENT
from tests.chaos.schedule import Act, drawn
from tests.support.deployment import QUESTION, Deployment
from tests.support.model import Model
from tests.support.processes import http, until
from tests.support.proxy import wired_broker, wired_database
from ticketflow.domain.delivery import MAX_TAKEOVERS

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(900)]

TICKETS = int(os.environ.get("CHAOS_TICKETS") or (1000 if LONG else 100))
RUNS = 3 if LONG else 1
SECONDS = max(9.0, TICKETS / 12)
ACTS_A_SECOND = 2.0
WORDS = TICKETS // 2
"""How often somebody writes about one of them, or moves it."""
MODEL_ATTEMPTS = 2
ENVIRONMENT = {
    "TICKETFLOW_LEASE_SECONDS": "2",
    "TICKETFLOW_SWEEP_AFTER_SECONDS": "0.5",
    # Few enough calls at once that the model's server keeps up, also on a busy machine.
    "TICKETFLOW_WORKER_CONCURRENCY": "15",
    "TICKETFLOW_MODEL_TIMEOUT_SECONDS": "2",
    "TICKETFLOW_MODEL_ATTEMPTS": str(MODEL_ATTEMPTS),
    "TICKETFLOW_MAX_ATTEMPTS": "100",
    "TICKETFLOW_RETRY_BASE_SECONDS": "0.1",
    "TICKETFLOW_RETRY_CEILING_SECONDS": "1",
    "TICKETFLOW_REPLY_SETTLE_SECONDS": "0.2",
    # Within the run, so that timers close what customers reopen.
    "TICKETFLOW_CLOSE_AFTER_HOURS": "0.001",
}


def seeds() -> list[int]:
    given = os.environ.get("CHAOS_SEED")
    return (
        [int(seed) for seed in given.split(",")]
        if given
        else [SystemRandom().randrange(1_000_000) for _ in range(RUNS)]
    )


# Named by their order: pytest-xdist collects in each of its processes, and each would draw another seed.
@pytest.mark.parametrize("seed", seeds(), ids=[f"seed {number}" for number, _ in enumerate(seeds(), 1)])
def test_whatever_goes_wrong_nothing_is_lost_and_nothing_is_done_twice(
    seed: int, deployment: Deployment, model: Model, rabbitmq_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    random = Random(seed)
    schedule = drawn(random, SECONDS, ACTS_A_SECOND)
    with capsys.disabled():
        print(f"\nCHAOS_SEED={seed} CHAOS_TICKETS={TICKETS}")
    try:
        live_through(schedule, deployment, model, rabbitmq_url, random)
    except AssertionError as error:
        raise AssertionError(report(error, seed, schedule, deployment)) from None


def live_through(schedule: list[Act], deployment: Deployment, model: Model, rabbitmq_url: str, random: Random) -> None:
    deployment.environment |= ENVIRONMENT
    with (
        wired_database(deployment.database_url) as (deployment.environment["DATABASE_URL"], database),
        wired_broker(rabbitmq_url) as (deployment.environment["RABBITMQ_URL"], broker),
        ThreadPoolExecutor(2) as pool,
    ):
        havoc = Havoc(deployment, model, (database, broker), rabbitmq_url, random)
        until(havoc.addresses, 30, "an API to be up")
        customers = pool.submit(
            post_all, deployment, havoc.addresses, TICKETS, SECONDS, (QUESTION, QUESTION, REVISED, URGENT)
        )
        talk = pool.submit(talk_and_move, deployment, havoc.addresses, WORDS, SECONDS, Random(random.random()))
        havoc.carry_out(schedule)
        until(lambda: havoc.supervise() or (customers.done() and talk.done()), 90, "everything to be taken in")
        customers.result()
        talk.result()
        ended(deployment, havoc)
        retry_what_failed(deployment, havoc)
        ended(deployment, havoc)
        # Before the wires go: whoever lives would connect again.
        deployment.stack.close()
    assert deployment.statuses() == {"completed": TICKETS}
    assert {ticket.id for ticket in deployment.posted} == {
        id for (id,) in deployment.sql("select id::text from tickets")
    }
    deployment.assert_consistent()
    assert deployment.said
    deployment.assert_all_said_once()
    assert_explained(deployment, model, deployment.posted, MODEL_ATTEMPTS)


def ended(deployment: Deployment, havoc: Havoc) -> None:
    query = "select count(*) from tickets where status not in ('completed', 'failed_permanent')"
    until(lambda: havoc.supervise() or deployment.sql(query) == [(0,)], 90, "every ticket to end")


def retry_what_failed(deployment: Deployment, havoc: Havoc) -> None:
    """A ticket fails when the model refused it, or when it lost many workers in a row; a person sends it on."""
    query = """
        select id::text, error->>'code',
               (select count(*) from events e where e.ticket_id = t.id and payload->>'reason' = 'takeover')
        from tickets t where status = 'failed_permanent'
    """
    for ticket_id, code, takeovers in deployment.sql(query):
        assert code == "model_refused" or (code == "poison" and takeovers > MAX_TAKEOVERS), (ticket_id, code, takeovers)
        status, _, answer = http("POST", f"{until(havoc.addresses, 30, 'an API')[0]}/tickets/{ticket_id}/retry")
        assert status in (200, 202), answer


def report(error: AssertionError, seed: int, schedule: list[Act], deployment: Deployment) -> str:
    """All that is needed to see what happened, and to have it happen again."""
    acts = "\n".join(map(str, schedule))
    command = f"CHAOS_SEED={seed} CHAOS_TICKETS={TICKETS} python -m pytest tests/chaos/test_random_chaos.py"
    story = deployment.story(deployment.posted)
    return f"{error}\n\nreplay: {command}\n\n{acts}\n\n{deployment.statuses()}\n{story}"
