"""``eval`` as an operator runs it: scores on stdout, complaints on stderr, exit codes."""

from __future__ import annotations

import json

import pytest

from tests.support.cli import Cli, assert_one_line
from tests.support.model import Model


@pytest.fixture
def nowhere(cli: Cli) -> Cli:
    """Without a database: none is needed."""
    cli._environment["DATABASE_URL"] = "postgresql://nobody@127.0.0.1:1/none"
    return cli


def test_the_shipped_tickets_are_scored_without_a_database(nowhere: Cli) -> None:
    shown = nowhere("eval", "samples", "--task", "classify")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert shown.stdout.startswith("samples: 48 of 48 tickets answered\nby offline-rules-1, prompt classify-")
    assert "label \\ answer:" in shown.stdout
    report = nowhere.json("eval", "samples", "--task", "classify", "--json")
    category = report["scores"]["category"]
    assert (category["n"], report["failed"], report["usage"]["calls"]) == (48, 0, 0)
    assert category["accuracy"] > category["baseline"]["accuracy"]
    assert sum(sum(row.values()) for row in category["confusion"].values()) == 48
    assert set(report["scores"]["priority"]["classes"]) == {"low", "medium", "high", "urgent"}


def test_a_models_failures_are_counted_and_named_and_its_tokens_add_up(cli: Cli, model: Model) -> None:
    rows = [{"subject": "Invoice", "body": f"My bill {n} is wrong.", "category": "billing"} for n in range(5)]
    (cli.folder / "in.jsonl").write_text("\n".join(map(json.dumps, rows)), "utf-8")
    model.faults(next=["bad_request"])
    endpoint = {"OPENAI_BASE_URL": model.url, "OPENAI_API_KEY": "sk-test", "OPENAI_MODEL": "gpt-4o-mini"}
    arguments = ("eval", "in.jsonl", "--task", "classify", "--concurrency", "1", "--json")
    done = cli(*arguments, **endpoint)
    report = json.loads(done.stdout)
    assert done.returncode == 1
    assert (report["asked"], report["answered"], report["models"]) == (5, 4, ["gpt-4o-mini"]), report["errors"]
    assert [(each["row"], each["code"]) for each in report["errors"]] == [(1, "model_refused")]
    assert report["scores"]["category"]["accuracy"] == 1
    assert report["usage"]["calls"] == 5
    assert report["usage_per_ticket"]["input_tokens"] == pytest.approx(report["usage"]["input_tokens"] / 5)
    assert report["usage_per_ticket"]["cost_usd"] > 0


def test_a_file_that_cannot_be_scored_is_an_error_and_a_wrong_call_is_usage(nowhere: Cli) -> None:
    (nowhere.folder / "in.jsonl").write_text('{"text": "t", "category": "fees"}\n{"text": "", "category": "billing"}')
    missing, bad, no_task, task, seed = nowhere.at_once(
        ("eval", "no.csv", "--task", "classify"),
        ("eval", "in.jsonl", "--task", "classify"),
        ("eval", "in.jsonl"),
        ("eval", "in.jsonl", "--task", "guess"),
        ("eval", "in.jsonl", "--task", "classify", "--seed", "1"),
    )
    assert "no.csv does not exist" in assert_one_line(missing)
    assert (bad.returncode, bad.stdout) == (1, "")
    first, *rows = bad.stderr.splitlines()
    assert first == "ticketflow: in.jsonl: 2 of 2 rows cannot be scored"
    assert [row.split(":")[0] for row in rows] == ["  row 1", "  row 2"]
    assert [each.returncode for each in (no_task, task, seed)] == [2, 2, 2]
    assert "--limit" in seed.stderr


def test_a_map_and_a_sample(nowhere: Cli) -> None:
    (nowhere.folder / "map.csv").write_text("label,category\nfees,billing\nother,\n")
    (nowhere.folder / "in.csv").write_text("text,category\n" + "My invoice is wrong,fees\nx,other\n" * 6)
    done = nowhere.json(
        *("eval", "in.csv", "--task", "classify", "--map", "map.csv", "--limit", "4", "--seed", "3", "--json")
    )
    assert [done[name] for name in ("rows", "left_out", "asked", "answered", "seed")] == [12, 6, 4, 4, 3]
