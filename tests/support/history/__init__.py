"""Random histories of a few tickets, played against the real functions and against a simple model."""

import pytest

PARTS = ("base", "workers", "people", "conversation", "upkeep", "belongings", "standing", "worked", "model")

# So that a failure shows both sides of the comparison.
pytest.register_assert_rewrite(*(f"{__name__}.{part}" for part in PARTS))
