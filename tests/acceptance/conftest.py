"""What the acceptance tests share beside a deployment of their own."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Iterator

import pytest

from tests.acceptance.laptop import Laptop, own_laptop
from tests.support import services
from tests.support.deployment import Deployment, deployed
from tests.support.model import Model
from tests.support.nursery import Nursery
from tests.support.services import ROOT

PREVIOUS = "48c2659bcbf8704ee4fb2136e5849488c2a5e08b"
"""The last commit before the schema went beyond migration 6. Once there are releases: the tag of the last one."""

collect_ignore = []

# An export of the sources has no history to take the previous release from.
if subprocess.run(["git", "cat-file", "-e", PREVIOUS], cwd=ROOT, check=False, capture_output=True).returncode:
    collect_ignore.append("test_previous_release.py")


@pytest.fixture(scope="module")
def shared(
    tmp_path_factory: pytest.TempPathFactory,
    postgres_server: str,
    template: str,
    _virtual_host: str,
    _model: Model,
    nursery: Nursery,
) -> Iterator[Deployment]:
    """A deployment that all tests of the module use."""
    with services.database(postgres_server, template) as url:
        with deployed(tmp_path_factory.mktemp("shared"), url, _virtual_host, _model.url, nursery.running) as common:
            yield common
        asyncio.run(services.empty(_virtual_host))


@pytest.fixture
def laptop() -> Iterator[Laptop]:
    with own_laptop() as own:
        yield own
