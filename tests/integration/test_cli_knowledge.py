"""``kb``: articles in, listed, found, and out again."""

from __future__ import annotations

import json

from tests.support.cli import Cli, assert_one_line
from ticketflow.samples import articles as samples


def test_articles_are_imported_and_found(cli: Cli) -> None:
    folder = cli.folder / "kb"
    folder.mkdir()
    (folder / "keypad.md").write_text("# The keypad stays dark\n\nPut two new AA cells into the lock.\n")
    (folder / "more.jsonl").write_text('{"id": "vat", "title": "Invoices", "text": "VAT is on every invoice."}\n')
    (cli.folder / "broken.jsonl").write_text('{"id": "a", "title": "A", "body": "fine"}\n{"id": "b"}\n')
    stored, broken = cli.at_once(("kb", "import", "kb"), ("kb", "import", "broken.jsonl"))
    assert (stored.returncode, stored.stdout) == (0, "2 articles stored\n")
    assert broken.returncode == 1
    assert broken.stderr.startswith("ticketflow: broken.jsonl:2: ")
    assert "Traceback" not in broken.stderr
    found, as_text = cli.at_once(
        ("kb", "search", "my KEYPAD is dark, which cells?", "--json"), ("kb", "search", "invoice")
    )
    [hit] = json.loads(found.stdout)
    assert (hit["id"], hit["title"], hit["snippet"]) == (
        "keypad",
        "The keypad stays dark",
        "Put two new AA cells into the lock.",
    )
    assert "Invoices" in as_text.stdout


def test_what_cannot_be_imported_is_one_clear_line(cli: Cli) -> None:
    (cli.folder / "kb").mkdir()
    (cli.folder / "kb" / "empty.md").write_text("\n")
    (cli.folder / "none").mkdir()
    empty, missing, none, other = cli.at_once(
        ("kb", "import", "kb"), ("kb", "import", "nowhere"), ("kb", "import", "none"), ("kb", "import", "/dev/null")
    )
    assert assert_one_line(empty) == "ticketflow: kb/empty.md: there is no text in it"
    assert assert_one_line(missing) == "ticketflow: nowhere does not exist"
    assert assert_one_line(none) == "ticketflow: there are no articles in none"
    assert assert_one_line(other) == "ticketflow: /dev/null: articles are .md or .jsonl files, or folders of them"


def test_articles_are_listed_and_deleted_all_or_none(cli: Cli) -> None:
    lines = [
        {"id": f"a{number}", "title": f"Title {number} " * 9, "body": "# One\nx\n# Two\ny"} for number in range(120)
    ]
    (cli.folder / "many.jsonl").write_text("\n".join(map(json.dumps, lines)))
    (cli.folder / "own.md").write_text("---\nid: own\ntitle: Own\ncategory: billing\ntags: [x]\n---\ntext\n")
    assert cli("kb", "import", "many.jsonl").stdout == "120 articles stored\n"
    assert cli("kb", "import", "own.md").stdout == "1 article stored\n"
    listed = cli.json("kb", "list", "--json")
    assert {article["id"] for article in listed} == {"own", *(line["id"] for line in lines)}
    own = {"id": "own", "title": "Own", "category": "billing", "tags": ["x"], "passages": 1}
    assert own in listed
    assert len(cli("kb", "list", COLUMNS="80").stdout.splitlines()) == 122

    unknown = cli("kb", "delete", "own", "nobody", "a1", "zz-such")
    assert assert_one_line(unknown) == "ticketflow: nothing was deleted: no article has the id nobody, zz-such"
    assert len(cli.json("kb", "list", "--json")) == 121
    assert cli("kb", "delete", "own", "a1", "a1").stdout == "2 articles deleted\n"
    assert own not in cli.json("kb", "list", "--json")
    assert cli.json("kb", "search", "Own", "--json") == []
    neither, both = cli.at_once(("kb", "delete"), ("kb", "delete", "a2", "--samples"))
    assert (neither.returncode, both.returncode) == (2, 2)


def test_the_samples_can_be_deleted_and_what_replaced_one_of_them_stays(cli: Cli) -> None:
    shop = cli.folder / "shop.jsonl"
    shop.write_text(
        "\n".join(
            json.dumps({"id": a.id, "title": a.title, "body": a.body, "category": a.category, "tags": a.tags})
            for a in samples()
        )
    )
    assert cli("kb", "import", "shop.jsonl").returncode == 0
    (cli.folder / "reset-password.md").write_text("# Reset your password\nAsk Mirela.\n")
    assert cli("kb", "import", "reset-password.md").returncode == 0
    deleted = cli("kb", "delete", "--samples")
    assert (deleted.stdout, deleted.stderr) == (f"{len(samples()) - 1} sample articles deleted\n", "")
    assert [article["id"] for article in cli.json("kb", "list", "--json")] == ["reset-password"]
    assert cli("kb", "delete", "reset-password").returncode == 0
    none = cli("kb", "delete", "--samples")
    assert (none.returncode, none.stdout) == (0, "0 sample articles deleted\n")
    assert "--no-samples" in none.stderr


def test_a_folder_is_imported_whole_or_not_at_all(cli: Cli) -> None:
    good = [json.dumps({"id": f"a{number}", "title": "A", "body": "fine"}) for number in range(150)]
    (cli.folder / "late.jsonl").write_text("\n".join([*good, "{"]))
    twice = cli.folder / "twice"
    (twice / "deeper").mkdir(parents=True)
    (twice / "a.md").write_text("# One\n\ntext\n")
    (twice / "deeper" / "a.md").write_text("# Two\n\ntext\n")
    late, double = cli.at_once(("kb", "import", "late.jsonl"), ("kb", "import", "twice"))
    assert (late.returncode, late.stderr.splitlines()[0]) == (1, "ticketflow: late.jsonl:151: not JSON")
    assert assert_one_line(double) == "ticketflow: twice: two articles have the id 'a'"
    assert cli.json("kb", "list", "--json") == []


def test_a_byte_order_mark_hides_no_front_matter(cli: Cli) -> None:
    (cli.folder / "marked.md").write_text("---\nid: own\ntitle: Own\n---\ntext\n", encoding="utf-8-sig")
    assert cli("kb", "import", "marked.md").returncode == 0
    [article] = cli.json("kb", "list", "--json")
    assert (article["id"], article["title"]) == ("own", "Own")
