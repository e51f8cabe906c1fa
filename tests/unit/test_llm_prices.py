"""What model calls cost."""

from __future__ import annotations

import pytest

from ticketflow.llm.prices import PriceList


@pytest.mark.parametrize(
    ("model", "input_tokens", "output_tokens", "micro_usd"),
    [
        ("gpt-4o-mini", 1_000_000, 0, 150_000),
        ("gpt-4o-mini", 0, 1_000_000, 600_000),
        ("gpt-4o-mini", 1_200, 300, 360),
        ("gpt-4o", 1, 0, 3),  # 2.5 micro-dollars, half up
        ("gpt-4o-mini", 3, 0, 0),  # 0.45
        ("gpt-4.1", 0, 0, 0),
    ],
)
def test_cost_is_whole_micro_dollars_rounded_half_up(
    model: str, input_tokens: int, output_tokens: int, micro_usd: int
) -> None:
    assert PriceList().cost(model, input_tokens, output_tokens) == micro_usd


def test_a_dated_snapshot_costs_what_its_model_does() -> None:
    prices = PriceList()
    assert prices.price("gpt-4o-mini-2024-07-18") == prices.price("gpt-4o-mini")
    assert prices.known("gpt-4o-mini-2024-07-18")


@pytest.mark.parametrize("model", ["gpt-4o-minimal", "gpt-4o-mini-audio", "gpt-4", "llama3.2", "", "gpt-4o-2024"])
def test_a_longer_or_shorter_name_is_another_model(model: str) -> None:
    assert not PriceList().known(model)
    assert PriceList().cost(model, 10_000, 10_000) == 0


def test_cached_input_is_cheaper_and_never_more_than_the_input() -> None:
    prices = PriceList()
    assert prices.cost("gpt-4o-mini", 2_000_000, 0, cached_input_tokens=1_000_000) == 225_000
    assert prices.cost("gpt-4o-mini", 1_000_000, 0, cached_input_tokens=9_000_000) == 75_000
    assert prices.cost("gpt-4o-mini", 1_000_000, 0, cached_input_tokens=-5) == 150_000


def test_overrides_hold_for_every_model_and_make_it_known() -> None:
    prices = PriceList(input_override=1_000_000, output_override=2_000_000)
    for model in ("gpt-4o-mini", "llama3.2"):
        assert prices.cost(model, 3, 4) == 11
        assert prices.known(model)
    assert prices.cost("gpt-4o-mini", 10, 0, cached_input_tokens=10) == 10


def test_one_override_leaves_the_other_price_to_the_table() -> None:
    prices = PriceList(output_override=0)
    assert prices.cost("gpt-4o-mini", 1_000_000, 1_000_000) == 150_000
    assert not prices.known("llama3.2")
