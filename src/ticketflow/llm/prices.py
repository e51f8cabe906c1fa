"""What model calls cost, in whole millionths of a US dollar."""

from __future__ import annotations

import re
from dataclasses import dataclass

_SNAPSHOT = re.compile(r"-\d{4}-\d{2}-\d{2}$")
_MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Price:
    """Millionths of a US dollar for a million tokens; ``cached_input`` is input that the provider had in its cache."""

    input: int
    cached_input: int
    output: int


# US dollars a million tokens times a million. Standard tier, from https://developers.openai.com/api/docs/pricing
# as published in mid 2026. A list price is an estimate: discounts and regional premiums are not in it.
_TABLE = {
    "gpt-4o": Price(2_500_000, 1_250_000, 10_000_000),
    "gpt-4o-mini": Price(150_000, 75_000, 600_000),
    "gpt-4.1": Price(2_000_000, 500_000, 8_000_000),
    "gpt-4.1-mini": Price(400_000, 100_000, 1_600_000),
    "gpt-4.1-nano": Price(100_000, 25_000, 400_000),
    "gpt-5": Price(1_250_000, 125_000, 10_000_000),
    "gpt-5-mini": Price(250_000, 25_000, 2_000_000),
    "gpt-5-nano": Price(50_000, 5_000, 400_000),
    "gpt-5.4": Price(2_500_000, 250_000, 15_000_000),
    "gpt-5.4-mini": Price(750_000, 75_000, 4_500_000),
    "gpt-5.4-nano": Price(200_000, 20_000, 1_250_000),
    "o3": Price(2_000_000, 500_000, 8_000_000),
    "o4-mini": Price(1_100_000, 275_000, 4_400_000),
}


@dataclass(frozen=True, slots=True)
class PriceList:
    """Looks prices up; an override, in the same unit as ``Price``, holds for every model.

    An input override is also what cached input costs, because nothing is known of that provider's discounts.
    """

    input_override: int | None = None
    output_override: int | None = None

    def price(self, model: str) -> Price:
        """The price in force. A dated snapshot costs what its model does; what nobody knows costs nothing."""
        listed = self._listed(model) or Price(0, 0, 0)
        entry, cached, out = listed.input, listed.cached_input, listed.output
        if self.input_override is not None:
            entry = cached = self.input_override
        return Price(entry, cached, out if self.output_override is None else self.output_override)

    def known(self, model: str) -> bool:
        """Whether a cost of zero would mean free of charge rather than unknown."""
        overridden = self.input_override is not None and self.output_override is not None
        return overridden or self._listed(model) is not None

    def cost(self, model: str, input_tokens: int, output_tokens: int, cached_input_tokens: int = 0) -> int:
        """Millionths of a US dollar, rounded half up. ``cached_input_tokens`` are part of ``input_tokens``."""
        price = self.price(model)
        cached = min(max(cached_input_tokens, 0), input_tokens)
        total = (input_tokens - cached) * price.input + cached * price.cached_input + output_tokens * price.output
        return (total + _MILLION // 2) // _MILLION

    @staticmethod
    def _listed(model: str) -> Price | None:
        return _TABLE.get(model) or _TABLE.get(_SNAPSHOT.sub("", model))
