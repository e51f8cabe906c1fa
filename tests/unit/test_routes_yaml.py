"""Routing rules from YAML: read as they are meant, or refused before the first ticket meets them."""

from __future__ import annotations

from pathlib import Path

import pytest

from ticketflow.domain.errors import ConfigurationError
from ticketflow.domain.routing import Rule
from ticketflow.workflow.routes import load


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "routes.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_rule_may_name_one_value_or_several_of_any_fact(tmp_path: Path) -> None:
    rules = load(
        written(
            tmp_path,
            """
            - name: everything
              when: {category: [billing, account], priority: high, vip: [true, false], channel: web,
                     tag: [a, b], customer_id: cus_1}
              team: l2
              escalate: true
              tags: [x, y]
            - {name: label, tags: [z]}
            """,
        )
    )
    assert rules == (
        Rule(
            "everything",
            {
                "category": frozenset({"billing", "account"}),
                "priority": frozenset({"high"}),
                "vip": frozenset({True, False}),
                "channel": frozenset({"web"}),
                "tag": frozenset({"a", "b"}),
                "customer_id": frozenset({"cus_1"}),
            },
            "l2",
            True,
            ("x", "y"),
        ),
        Rule("label", tags=("z",)),
    )


def test_an_empty_list_of_rules_sends_everything_to_the_general_team(tmp_path: Path) -> None:
    assert load(written(tmp_path, "[]")) == ()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "is not a list of rules"),
        ("rules: []", "is not a list of rules"),
        ("just text", "is not a list of rules"),
        ("- [", "cannot be read"),
        ("- name: a\n\tteam: b", "cannot be read"),
        ("- !!python/object/apply:os.system ['true']", "cannot be read"),
        ("- {name: 2024-13-45}", "cannot be read"),
        ("- text", "rule 1: needs a name"),
        ("- {team: a}", "rule 1: needs a name"),
        ("- {name: 7, team: a}", "rule 1: needs a name"),
        ("- {name: a, team: b}\n- {name: b}", "rule 2: names neither a `team` nor `tags`"),
        ("- {name: a, team: b, then: c}", "unknown key 'then'"),
        ("- {name: a, team: b, 7: c}", "unknown key '7'"),
        ("- {name: a, team: b, when: [category]}", "`when` is not a mapping"),
        ("- {name: a, team: 7}", "`team` is not a name"),
        ("- {name: a, team: ''}", "`team` is not a name"),
        ("- {name: a, team: b, escalate: maybe}", "`escalate` is true or false"),
        ("- {name: a, tags: [x], escalate: true}", "needs a `team`"),
        ("- {name: a, tags: x}", "`tags` is not a list of names"),
        ("- {name: a, tags: [7]}", "`tags` is not a list of names"),
        ("- {name: a, tags: ['']}", "`tags` is not a list of names"),
        ("- {name: a, team: b, when: {category: sales}}", "category is never 'sales'"),
        ("- {name: a, team: b, when: {category: [billing, Sales]}}", "category is never 'Sales'"),
        ("- {name: a, team: b, when: {priority: 1}}", "priority is never '1'"),
        ("- {name: a, team: b, when: {vip: maybe}}", "vip is never 'maybe'"),
        ("- {name: a, team: b, when: {channel: fax}}", "channel is never 'fax'"),
        ("- {name: a, team: b, when: {language: en}}", "unknown fact 'language'"),
        ("- {name: a, team: b, when: {7: en}}", "unknown fact 7"),
        ("- {name: a, team: b, when: {category: {billing: true}}}", "category"),
        ("- {name: a, team: b, when: {tag: [[a]]}}", "tag"),
        ("- {name: a, team: b, when: {tag: 7}}", "tag"),
        ("- {name: a, team: b, when: {customer_id: []}}", "customer_id"),
    ],
)
def test_a_rule_that_cannot_work_is_refused_with_its_place_and_reason(
    tmp_path: Path, text: str, complaint: str
) -> None:
    path = written(tmp_path, text)
    with pytest.raises(ConfigurationError) as refused:
        load(path)
    assert complaint in str(refused.value)
    assert "TICKETFLOW_ROUTES_FILE" in str(refused.value)
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00\x80")
    for path in (tmp_path / "nowhere.yaml", tmp_path, tmp_path / "binary.yaml"):
        with pytest.raises(ConfigurationError, match="cannot be read") as refused:
            load(path)
        assert "\n" not in str(refused.value)
