from __future__ import annotations

import re

import pytest

from turnout.errors import InvalidValueError, UnknownNameError
from turnout.pricing import PUBLISHED_PRICES, Price, published_price


def test_cost_counts_input_and_output_at_their_own_price() -> None:
    price = Price(usd_per_million_input_tokens=2.0, usd_per_million_output_tokens=8.0)
    assert price.cost_usd(input_tokens=1_000_000, output_tokens=0) == 2.0
    assert price.cost_usd(input_tokens=0, output_tokens=500_000) == 4.0
    assert price.cost_usd(input_tokens=0, output_tokens=0) == 0.0


def test_average_query_gives_the_papers_average_prices() -> None:
    per_token = published_price("gpt-4-1106-preview").price.average_query_usd() / (95 + 264)
    assert per_token * 1e6 == pytest.approx(24.7, abs=0.05)
    per_token = published_price("mixtral-8x7b").price.average_query_usd() / (95 + 264)
    assert per_token * 1e6 == pytest.approx(0.24)


@pytest.mark.parametrize("bad", [-1.0, float("nan"), float("inf")])
def test_prices_that_are_no_prices_are_refused(bad: float) -> None:
    with pytest.raises(InvalidValueError, match="usd_per_million_output_tokens"):
        Price(1.0, bad)


def test_unknown_model_is_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'gpt-4o-mini'"):
        published_price("gpt-4o-mimi")


def test_every_published_price_names_its_source_and_month() -> None:
    for model, published in PUBLISHED_PRICES.items():
        assert published.source, model
        assert re.fullmatch(r"20\d\d-(0[1-9]|1[0-2])", published.as_of), model


def test_cached_input_has_its_own_price() -> None:
    price = Price(2.0, 8.0, usd_per_million_cached_input_tokens=0.5)
    assert price.cost_usd(1_000_000, 0, cached_input_tokens=400_000) == pytest.approx(0.6 * 2.0 + 0.4 * 0.5)
    assert price.cost_usd(100, 0, cached_input_tokens=10**9) == pytest.approx(100 * 0.5 / 1e6), "no more than was read"
    assert Price(2.0, 8.0).cost_usd(1_000_000, 0, cached_input_tokens=400_000) == 2.0
    with pytest.raises(InvalidValueError, match="usd_per_million_cached_input_tokens"):
        Price(2.0, 8.0, usd_per_million_cached_input_tokens=2.5)


def test_writing_to_a_prompt_cache_has_its_own_price() -> None:
    price = Price(2.0, 8.0, usd_per_million_cached_input_tokens=0.5, usd_per_million_cache_write_tokens=2.5)
    cost = price.cost_usd(1_000_000, 0, cached_input_tokens=400_000, cache_write_tokens=100_000)
    assert cost == pytest.approx(0.5 * 2.0 + 0.4 * 0.5 + 0.1 * 2.5)
    assert Price(2.0, 8.0).cost_usd(1_000_000, 0, cache_write_tokens=400_000) == 2.0
    with pytest.raises(InvalidValueError, match="usd_per_million_cache_write_tokens"):
        Price(2.0, 8.0, usd_per_million_cache_write_tokens=-1.0)
