"""The only reader of the environment. Everything else is handed plain values."""

from ticketflow.settings.loading import load
from ticketflow.settings.refusals import SHORTEST_SECRET, SettingsError
from ticketflow.settings.values import Settings, variable_names

__all__ = ["SHORTEST_SECRET", "Settings", "SettingsError", "load", "variable_names"]
