"""What of this folder runs when: the short form with every change, the long one as ``make chaos``."""

from __future__ import annotations

import pytest

from tests.chaos.forms import LONG
from tests.support.rabbit_node import PROGRAM

# A node of one's own can be killed where the program is installed; a RabbitMQ in a container is not ours to kill.
collect_ignore = [] if PROGRAM else ["test_broker_killed.py"]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not LONG:
        late = [item for item in items if item.get_closest_marker("long_form")]
        items[:] = [item for item in items if item not in late]
        config.hook.pytest_deselected(items=late)
