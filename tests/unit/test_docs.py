"""What the documents say is still so: their links lead somewhere, and their pictures are of what runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ticketflow.settings import variable_names
from ticketflow.workflow import visualize

ROOT = Path(__file__).parents[2]
DOCUMENTS = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_to_a_file(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    targets = re.findall(r"\]\(([^)#]+)", text) + re.findall(r'src="([^"]+)"', text)
    missing = [target for target in targets if "://" not in target and not (document.parent / target).exists()]
    assert missing == []


def test_the_picture_is_drawn_from_todays_graph(tmp_path: Path) -> None:
    fresh = tmp_path / "workflow.svg"
    assert visualize.main([str(fresh)]) == 0
    assert fresh.read_bytes() == (ROOT / "docs/workflow.svg").read_bytes(), "run `ticketflow graph docs/workflow.svg`"


def test_the_lifecycle_is_drawn_from_todays_net(tmp_path: Path) -> None:
    fresh, kept = tmp_path / "lifecycle.svg", ROOT / "docs/lifecycle.svg"
    assert visualize.main(["--lifecycle", str(fresh)]) == 0
    assert fresh.read_bytes() == kept.read_bytes(), "run `ticketflow graph --lifecycle docs/lifecycle.svg`"


def test_the_readme_names_no_variable_that_is_not_read() -> None:
    named = set(re.findall(r"\b(?:TICKETFLOW|OPENAI|DATABASE|RABBITMQ)_[A-Z_]+", (ROOT / "README.md").read_text()))
    assert named <= set(variable_names())


def test_the_architecture_names_every_table() -> None:
    migrations = "\n".join(path.read_text() for path in (ROOT / "migrations").glob("*.sql"))
    tables = set(re.findall(r"^create table (?:if not exists )?(\w+)", migrations, re.MULTILINE))
    text = (ROOT / "docs/ARCHITECTURE.md").read_text()
    assert tables
    assert {table for table in tables if f"`{table}`" not in text} == set()
