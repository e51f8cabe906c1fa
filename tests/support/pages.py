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
