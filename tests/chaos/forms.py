"""The short form runs with every change, the long one as ``make chaos``."""

from __future__ import annotations

import os

LONG = os.environ.get("CHAOS_FORM") == "long"
