"""Logs: one JSON object a line, with ids as fields and without secrets."""

from __future__ import annotations

import io
import json
import logging
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog

from ticketflow.telemetry import logs


class Stderr(io.StringIO):
    """What a process writes to a file or a terminal."""

    def __init__(self, terminal: bool = False) -> None:
        super().__init__()
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal

    def records(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.getvalue().splitlines()]


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    before = (root.handlers[:], root.level)
    levels = {name: logging.getLogger(name).level for name in ("aio_pika", "aiormq", "psycopg", "httpx", "openai")}
    logging.captureWarnings(False)
    yield
    logging.captureWarnings(False)
    root.handlers[:], root.level = before
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


Configured = Callable[..., Stderr]


@pytest.fixture
def configured(monkeypatch: pytest.MonkeyPatch) -> Configured:
    """Configures logging as a process with this kind of stderr would, and gives what it writes."""

    def configure(level: str = "INFO", json_lines: bool | None = None, terminal: bool = False) -> Stderr:
        written = Stderr(terminal)
        monkeypatch.setattr(sys, "stderr", written)
        logs.configure(level, json_lines)
        return written

    return configure


SECRETS = [
    ("postgresql://app:hunter2@db:5432/x", "postgresql://app:[redacted]@db:5432/x"),
    ("amqps://guest:hunter2@mq/%2F", "amqps://guest:[redacted]@mq/%2F"),
    ("redis://:hunter2@cache/0", "redis://:[redacted]@cache/0"),
    ("cannot reach amqp://a:hunter2@b/ nor http://c:hunter2@d.", None),
    ("postgresql://app:hunter2@evil@db/x", "postgresql://app:[redacted]@db/x"),
    ("postgresql://app:hunter2:hunter2@db/x", "postgresql://app:[redacted]@db/x"),
    ("host=db user=app password=hunter2 dbname=x", None),
    ("postgresql:///x?host=/run/pg&user=a&password=hunter2", None),
    ("Incorrect API key provided: sk-proj-hunter2hunter2_ab.", "Incorrect API key provided: [redacted]."),
    ("Unregistered API key: sb_secret_hunter2_hunter2-ab.", "Unregistered API key: [redacted]."),
    ("Authorization: Bearer hunter2.hunter2-hunter2", "Authorization: [redacted]"),
    ("authorization: bearer hunter2hunter2", "authorization: [redacted]"),
]


@pytest.mark.parametrize(("text", "shown"), SECRETS)
def test_a_secret_is_struck_out(text: str, shown: str | None) -> None:
    redacted = logs.redacted(text)
    assert "hunter2" not in redacted
    assert "[redacted]" in redacted
    if shown is not None:
        assert redacted == shown


@pytest.mark.parametrize(
    "text",
    [
        "http://127.0.0.1:8000/tickets",
        "postgresql://app@db:5432/x",
        "write to mirela@example.com: she knows",
        "task-1234567890 asked for a desk-lamp",
        "the bearer of bad news",
        "see http://shop.example.com:80/a and mail a@b.c",
        "the customer forgot their password",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert logs.redacted(text) == text


def test_a_record_is_one_json_line_with_its_fields(configured: Configured) -> None:
    stderr = configured()
    with structlog.contextvars.bound_contextvars(request_id="req-1"):
        structlog.get_logger().info("ticket.claimed", ticket_id="t-1", attempt=2, text="two\nlines")
    [record] = stderr.records()
    moment = record.pop("timestamp")
    assert moment.endswith("Z")
    assert record == {
        "event": "ticket.claimed",
        "level": "info",
        "ticket_id": "t-1",
        "attempt": 2,
        "text": "two\nlines",
        "request_id": "req-1",
    }


def test_every_text_of_a_record_is_redacted_however_deep(configured: Configured) -> None:
    stderr = configured()
    structlog.get_logger().warning(
        "relay.waiting postgresql://a:hunter2@db/",
        error="amqp://a:hunter2@mq/",
        nested={"url": "amqp://a:hunter2@mq/", "list": [{"key": "sk-hunter2hunter2"}]},
    )
    assert "hunter2" not in stderr.getvalue()
    assert stderr.records()[0]["nested"]["list"] == [{"key": "[redacted]"}]


def test_a_traceback_is_a_field_and_redacted(configured: Configured) -> None:
    stderr = configured()
    try:
        raise RuntimeError("connect to amqp://a:hunter2@mq/ failed")
    except RuntimeError:
        structlog.get_logger().exception("worker.crashed")
    [record] = stderr.records()
    assert "RuntimeError: connect to amqp://a:[redacted]@mq/ failed" in record["exception"]
    assert "hunter2" not in stderr.getvalue()


def test_on_a_terminal_a_traceback_shows_no_secret_and_no_variables(configured: Configured) -> None:
    stderr = configured(terminal=True)

    def failing(text: str) -> None:
        raise RuntimeError("connect to amqp://a:hunter2@mq/ failed")

    try:
        failing("a very " + "private sentence")
    except RuntimeError:
        structlog.get_logger().exception("worker.crashed")
    shown = stderr.getvalue()
    assert "in failing" in shown
    assert "hunter2" not in shown
    assert "a very private sentence" not in shown


def test_libraries_come_through_the_same_door(configured: Configured) -> None:
    stderr = configured()
    logging.getLogger("some.library").warning("lost %s", "amqp://a:hunter2@mq/")
    logging.getLogger("some.library").info("chatter")
    logging.getLogger("aio_pika").error("connection lost, with a long traceback")
    # As it says where a call was given up and the process ends.
    logging.getLogger("psycopg").warning("query cancellation interrupted (CancelledError): closing connection")
    [record] = stderr.records()
    assert (record["event"], record["logger"], record["level"]) == (
        "lost amqp://a:[redacted]@mq/",
        "some.library",
        "warning",
    )


def test_warnings_come_through_the_same_door(configured: Configured) -> None:
    stderr = configured()
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("this model\nknows no amqp://a:hunter2@mq/", UserWarning, stacklevel=1)
    [record] = stderr.records()
    assert "UserWarning: this model\nknows no amqp://a:[redacted]@mq/" in record["event"]
    assert (record["logger"], record["level"]) == ("py.warnings", "warning")


def test_the_level_is_a_threshold(configured: Configured) -> None:
    stderr = configured("WARNING")
    structlog.get_logger().info("ticket.claimed")
    structlog.get_logger().warning("relay.waiting")
    assert [record["event"] for record in stderr.records()] == ["relay.waiting"]


@pytest.mark.parametrize(
    ("terminal", "json_lines", "expected"),
    [(False, None, True), (True, None, False), (True, True, True), (False, False, False)],
)
def test_json_or_readable_as_asked_else_by_what_stderr_is(
    configured: Configured, terminal: bool, json_lines: bool | None, expected: bool
) -> None:
    stderr = configured("INFO", json_lines, terminal)
    structlog.get_logger().info("ticket.claimed", ticket_id="t-1")
    assert stderr.getvalue().startswith("{") is expected
    assert "ticket.claimed" in stderr.getvalue()


@pytest.mark.parametrize(("no_color", "coloured"), [(None, True), ("", True), ("1", False)])
def test_a_terminal_gets_colours_unless_it_wants_none(
    configured: Configured, monkeypatch: pytest.MonkeyPatch, no_color: str | None, coloured: bool
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    if no_color is not None:
        monkeypatch.setenv("NO_COLOR", no_color)
    stderr = configured(terminal=True)
    structlog.get_logger().info("ticket.claimed", ticket_id="t-1")
    assert ("\x1b[" in stderr.getvalue()) is coloured
