"""The benchmark's rows in small: what each measures, in which shape, and what is said where it cannot be measured."""

from __future__ import annotations

import json

import pytest

from tests.support.api import settings_for
from tests.support.cli import Cli, assert_one_line, data_folder
from ticketflow.bench import commits, many_in_flight, scale_out
from ticketflow.bench.frame import Bench, Measurement, Plan
from ticketflow.bench.processes import PATIENCE_SECONDS, stage
from ticketflow.cli.throwaway import throwaway_database
from ticketflow.domain.errors import ConfigurationError, TicketflowError


def small(server: str, rabbitmq_url: str | None = None) -> Bench:
    settings = settings_for(server, RABBITMQ_URL=rabbitmq_url)
    return Bench(lambda: throwaway_database(server, "bench"), Plan(rounds=1), settings)


def assert_sound(measured: Measurement) -> None:
    assert all(0 < figure.min <= figure.median <= figure.max for figure in measured.figures.values())
    assert {goal.figure for goal in measured.goals} <= measured.figures.keys()


@pytest.mark.parametrize("database", ["server", "embedded"])
def test_durable_steps_stand_beside_every_anchor(cli: Cli, database: str) -> None:
    with data_folder() as folder:
        choice = {"DATABASE_URL": "", "TICKETFLOW_DATA_DIR": str(folder)} if database == "embedded" else {}
        done = cli("bench", "durable-steps", "--rounds", "1", "--tickets", "4", "--in-flight", "2", **choice)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert {"python", "postgresql", "langgraph", "dbos", "ticketflow"} <= told["versions"].keys()
    assert told["machine"]["cores"] >= 1
    [row] = told["rows"]
    assert all(figure["min"] > 0 for figure in row["figures"].values())
    assert {"to_langgraph_postgres_saver", "to_dbos", "to_langgraph_no_saver"} <= row["figures"].keys()
    calls = row["details"]["database_calls_alone_by_function"]
    assert calls["ticketflow_claim"] == 1
    assert calls["ticketflow_commit"] == 6
    shown = [line.split() for line in done.stderr.splitlines()]
    assert ["figure", "median", "min", "to", "max", "goal", "reached"] in shown
    assert any(line[:1] == ["to_dbos"] and line[-1] in ("yes", "no") for line in shown)


async def test_commits_are_measured_alone_and_in_company(postgres_server: str) -> None:
    load = commits.Load(levels=(1, 30), pause_seconds=0.001, fewest_tickets=2)
    measured = await commits.measure(small(postgres_server), load)
    assert_sound(measured)
    assert measured.figures["mean_batch_at_1"].max == 1
    assert measured.figures["mean_batch_at_30"].min > 1
    assert measured.figures["p50_ms_at_30"].median <= measured.figures["p99_ms_at_30"].median
    assert [plot.name for plot in measured.plots] == ["commit-latency", "commit-batches"]
    assert all([x for x, _ in points] == [1, 30] for plot in measured.plots for points in plot.lines.values())


@pytest.mark.parametrize("queue", ["rabbitmq", "embedded"])
async def test_many_tickets_in_one_worker(postgres_server: str, rabbitmq_url: str, queue: str) -> None:
    place = small(postgres_server, rabbitmq_url if queue == "rabbitmq" else None)
    measured = await many_in_flight.measure(place, many_in_flight.Load(tickets=20, seconds_a_call=0.05))
    assert_sound(measured)
    assert (measured.setting["queue"], measured.setting["calls_a_ticket"]) == (queue, 3)
    assert measured.setting["ideal_seconds"] == pytest.approx(0.15)
    assert measured.figures["time_to_ideal"].min > 1
    assert measured.figures["rss_mb"].min > 10
    assert measured.figures["p99_to_median"].min >= 1


async def test_one_worker_against_three(postgres_server: str) -> None:
    load = scale_out.Load(tickets=2, in_flight=2, seconds_a_call=0.05)
    measured = await scale_out.measure(small(postgres_server), load)
    assert_sound(measured)
    ideal = load.in_flight / (4 * load.seconds_a_call)
    assert measured.figures["one_worker_tickets_per_second"].max < ideal
    assert measured.figures["three_workers_tickets_per_second"].max < 3 * ideal


def test_takeover_tells_how_long_a_killed_workers_tickets_stand_still(cli: Cli) -> None:
    done = cli("bench", "takeover", "--rounds", "1")
    assert done.returncode == 0, done.stderr
    [row] = json.loads(done.stdout)["rows"]
    assert (row["setting"]["in_flight"], set(row["figures"])) == (100, {"embedded_seconds"})
    assert row["figures"]["embedded_seconds"]["median"] > 0


async def test_a_queue_that_others_use_is_left_alone(postgres_server: str, rabbitmq_url: str) -> None:
    place = small(postgres_server, rabbitmq_url)
    async with stage(place, "rabbitmq") as first:
        await first.queue_up(1)
        with pytest.raises(ConfigurationError, match="virtual host of its own"):
            async with stage(place, "rabbitmq"):
                pytest.fail("it was taken for an empty one")


async def test_a_worker_that_dies_ends_the_wait(postgres_server: str) -> None:
    async with stage(small(postgres_server), "embedded") as place, place.worker(None) as worker:
        await worker.ready()
        worker.go()
        tickets = await place.take_in(1)
        worker.kill()
        with pytest.raises(TicketflowError, match="ended with -9"):
            await place.until("select 0 where %s::uuid[] is not null", tickets, worker)


async def test_a_worker_that_cannot_start_is_told_at_once(postgres_server: str) -> None:
    assert PATIENCE_SECONDS > 60
    async with stage(small(postgres_server), "embedded") as place, place.worker(None) as worker:
        worker.kill()
        with pytest.raises(TicketflowError, match="ended with -9"):
            await worker.ready()


_ROWS = """
import sys
from ticketflow.bench.frame import Goal, Measurement, Plot, Spread
from ticketflow.cli import bench, main
from ticketflow.domain.errors import TicketflowError

async def sound(place):
    plot = Plot("growth", "Growth", "tickets", "ms", {"intake": [(1, 2.0), (10, 3.0)]})
    spread = Spread(1234.5, 1000.0, 2000.0)
    return Measurement("a sound row", {}, {"rate": spread}, [Goal("rate", at_least=1000)], plots=[plot])

async def refused(place):
    raise TicketflowError("not today: postgresql://u:hunter2@db/")

async def broken(place):
    raise RuntimeError("hunter2")

bench.ROWS |= {"sound": sound, "refused": refused, "broken": broken}
sys.exit(main.main())
"""


def test_a_row_that_fails_hides_no_other(cli: Cli) -> None:
    (cli.folder / "rows.py").write_text(_ROWS)
    done = cli.shell("$PYTHON rows.py bench refused sound broken --plots made/here")
    assert done.returncode == 1
    refused, sound, broken = json.loads(done.stdout)["rows"]
    assert refused == {"row": "refused", "error": "not today: postgresql://u:[redacted]@db/"}
    assert broken == {"row": "broken", "error": "RuntimeError"}
    assert sound["figures"] == {"rate": {"median": 1230.0, "min": 1000.0, "max": 2000.0}}
    assert sound["goals"] == [{"figure": "rate", "at_least": 1000, "at_most": None, "reached": True}]
    assert sound["plots"] == ["made/here/growth.svg"]
    assert "<svg" in (cli.folder / "made/here/growth.svg").read_text()
    assert "ticketflow: refused: not today: postgresql://u:[redacted]@db/" in done.stderr
    assert "rate    1,230   1,000 to 2,000  at least 1000  yes" in done.stderr
    assert "Traceback" in done.stderr


_WITHOUT = """
import sys
sys.modules[sys.argv.pop(1)] = None
from ticketflow.cli import main
sys.exit(main.main())
"""


def test_what_is_in_the_way_is_one_line(cli: Cli) -> None:
    (cli.folder / "a-file").touch()
    away = cli("bench", "takeover", DATABASE_URL="postgresql://postgres@127.0.0.1:1/postgres")
    assert "refused" in assert_one_line(away)
    assert "RabbitMQ" in assert_one_line(cli("bench", "takeover", RABBITMQ_URL="amqp://u:p@127.0.0.1:1/"))
    assert "a-file" in assert_one_line(cli("bench", "takeover", "--plots", "a-file"))


def test_a_package_of_development_that_is_missing_is_named(cli: Cli) -> None:
    (cli.folder / "without.py").write_text(_WITHOUT)
    undrawn = cli.shell("$PYTHON without.py matplotlib bench takeover --plots made")
    assert "needs matplotlib" in assert_one_line(undrawn)
    assert not (cli.folder / "made").exists()
    unanchored = cli.shell("$PYTHON without.py dbos bench durable-steps --rounds 1")
    [row] = json.loads(unanchored.stdout)["rows"]
    assert (unanchored.returncode, row["row"]) == (1, "durable-steps")
    assert "needs dbos, which is not installed: pip install '.[dev]' in a checkout" in row["error"]
    assert "Traceback" not in unanchored.stderr


def test_a_wrong_command_line_is_exit_2(cli: Cli) -> None:
    for done in cli.at_once(("bench", "no-such-row"), ("bench", "takeover", "--rounds", "0")):
        assert (done.returncode, done.stdout) == (2, "")
        assert "Traceback" not in done.stderr
        assert "durable-steps" in done.stderr or "--rounds" in done.stderr
