"""What the documentation tells people to type."""

from __future__ import annotations

import re

from tests.support.services import ROOT


def lines_with_curl(page: str) -> list[str]:
    """Every command of the page's shell blocks that calls curl, in order."""
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL)
    return [
        command for block in blocks for command in re.findall(r"^curl (?:'[^']*'|\\\n|[^'\n])*", block, re.MULTILINE)
    ]


def shell_blocks(page: str, section: str) -> list[str]:
    """The shell blocks below a heading of the second level, in order."""
    _, _, rest = (ROOT / page).read_text(encoding="utf-8").partition(f"\n## {section}\n")
    blocks: list[str] = re.findall(r"```sh\n(.*?)```", rest.partition("\n## ")[0], re.DOTALL)
    return blocks


def table_below(page: str, section: str) -> list[list[str]]:
    """The rows of the first table below a heading of the second level, without its head; cells as they are written."""
    _, _, rest = (ROOT / page).read_text(encoding="utf-8").partition(f"\n## {section}\n")
    lines = re.findall(r"^\| (.*) \|$", rest.partition("\n## ")[0], re.MULTILINE)
    return [line.split(" | ") for line in lines[1:]]
