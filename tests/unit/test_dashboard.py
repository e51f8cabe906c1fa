"""The Grafana dashboard asks for what the processes expose, and for nothing else."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import Counter, Gauge, Histogram

from ticketflow.telemetry.metrics import Metrics

GRAFANA = Path(__file__).parents[2] / "docker/grafana"
DASHBOARD = json.loads((GRAFANA / "dashboards/ticketflow.json").read_text(encoding="utf-8"))
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
TARGETS = [
    pytest.param(target, id=f"{panel['title']}-{target['refId']}") for panel in PANELS for target in panel["targets"]
]

PROCESS = {"process_cpu_seconds_total", "process_resident_memory_bytes"}
"""From the client library's own collector, which measures nothing on macOS."""

SHARED = ("tickets_waiting", "queue_depth", "outbox_pending", "outbox_oldest_age_seconds", "dead_letters")
"""Gauges about the database or the broker. Every process reports the same number, so that a sum would multiply it."""

SCRAPED = {"job", "instance"}
FUNCTIONS = {"count", "histogram_quantile", "increase", "max", "rate", "sum", "vector"}
GROUPING = {"by", "without", "on", "ignoring", "group_left", "group_right"}
OPERATORS = {"and", "or", "unless", "bool", "offset"}
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|\[[^\]]*\]|[A-Za-z_:][\w:]*|\d+(?:\.\d+)?|=~|!~|!=|[-+*/%^<>=(){},]|(\s+)|(.)')


@dataclass
class Query:
    metrics: set[str] = field(default_factory=set)
    labels: set[str] = field(default_factory=set)
    functions: set[str] = field(default_factory=set)


def parse(expression: str) -> Query:
    """The names in a PromQL expression, by what they are."""
    tokens = []
    for match in _TOKEN.finditer(expression):
        assert match[2] is None, f"{match[2]!r} in {expression}"
        if match[1] is None:
            tokens.append(match[0])
    query = Query()
    closing: str | None = None
    for token, following in zip(tokens, [*tokens[1:], ""], strict=True):
        name = re.fullmatch(r"[A-Za-z_:][\w:]*", token)
        if closing is not None:
            if token == closing:
                closing = None
            elif name:
                query.labels.add(token)
        elif token == "{":
            closing = "}"
        elif token in GROUPING:
            closing = ")" if following == "(" else None
        elif name and (following == "(" or following in {"by", "without"}):
            query.functions.add(token)
        elif name and token not in OPERATORS:
            query.metrics.add(token)
    return query


def exposed() -> dict[str, set[str]]:
    """Every sample that a process can expose, with its labels."""
    samples: dict[str, set[str]] = {name: set() for name in PROCESS}
    for instrument in vars(Metrics()).values():
        match instrument:
            case Counter():
                names, extra = [f"{instrument._name}_total"], set()
            case Gauge():
                names, extra = [instrument._name], set()
            case Histogram():
                names, extra = [f"{instrument._name}_{part}" for part in ("sum", "count", "bucket")], {"le"}
            case _:
                continue
        samples |= {name: {*instrument._labelnames, *extra} for name in names}
    return samples


def test_the_parser_finds_what_a_query_asks_for() -> None:
    query = parse(
        '60 * sum by (le, route) (rate(made_up_total{status=~"5..", kind!="not_a_metric(x)"}[$__rate_interval]))'
        " / on (job) group_left max(other) or vector(0)"
    )
    assert query.metrics == {"made_up_total", "other"}
    assert query.labels == {"le", "route", "status", "kind", "job"}
    assert query.functions == {"sum", "rate", "max", "vector"}


@pytest.mark.parametrize(
    "name", ["tickets_created", "tickets_created_count", "tickets_seen_total", "queue_depth_bucket"]
)
def test_a_metric_that_no_process_exposes_is_noticed(name: str) -> None:
    assert parse(f"sum(rate({name}[5m]))").metrics - exposed().keys() == {name}


@pytest.mark.parametrize("target", TARGETS)
def test_a_dashboard_query_uses_only_metrics_and_labels_that_exist(target: dict[str, Any]) -> None:
    samples = exposed()
    query = parse(target["expr"])
    assert query.metrics
    assert query.metrics <= samples.keys()
    assert query.labels <= SCRAPED.union(*(samples[name] for name in query.metrics))
    assert query.functions <= FUNCTIONS
    assert set(re.findall(r"{{\s*(\w+)\s*}}", target["legendFormat"])) <= query.labels


@pytest.mark.parametrize("target", TARGETS)
def test_what_every_process_reports_alike_is_not_added_up(target: dict[str, Any]) -> None:
    for name in SHARED:
        used = re.findall(rf"\b{name}\b", target["expr"])
        as_maximum = re.findall(rf"\bmax\s*(?:by\s*\([^)]*\)\s*)?\(\s*{name}\b", target["expr"])
        assert len(used) == len(as_maximum)


def test_the_dashboard_leaves_no_metric_out() -> None:
    shown = set().union(*(parse(target["expr"]).metrics for panel in PANELS for target in panel["targets"]))
    families = {re.sub(r"_(sum|count|bucket)$", "", name) for name in exposed()}
    assert {re.sub(r"_(sum|count|bucket)$", "", name) for name in shown} == families


def test_no_panel_covers_another() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert at["x"] + at["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells


def test_the_dashboard_finds_its_data_source() -> None:
    provisioned = yaml.safe_load((GRAFANA / "provisioning/datasources/prometheus.yml").read_text("utf-8"))
    (variable,) = DASHBOARD["templating"]["list"]
    assert variable["current"]["value"] == provisioned["datasources"][0]["uid"]
    assert {panel["datasource"]["uid"] for panel in PANELS} == {"${datasource}"}
    assert provisioned["datasources"][0]["url"] == "http://prometheus:9090"
