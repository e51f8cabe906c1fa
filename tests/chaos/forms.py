"""The short form runs with every change, the long one as ``make chaos``."""

from __future__ import annotations

import os

import pytest

LONG = os.environ.get("CHAOS_FORM") == "long"

long_form = pytest.mark.skipif(not LONG, reason="the long form: make chaos")
