"""What each query costs with the strong and with the weak model, in US dollars, from the best that is known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from turnout.data.outcomes import Outcomes
from turnout.pricing import AVERAGE_INPUT_TOKENS, AVERAGE_OUTPUT_TOKENS, PUBLISHED_PRICES, Price, PublishedPrice
from turnout.types import FloatArray


@dataclass(frozen=True, eq=False)
class QueryCosts:
    """US dollars for each query with either model."""

    strong_usd: FloatArray
    """Shape (n,)."""
    weak_usd: FloatArray
    """Shape (n,)."""
    basis: str
    """Where the dollars come from, to be printed beside them."""


def query_costs(outcomes: Outcomes) -> QueryCosts | None:
    """What each query costs, or None where no price is known.

    Taken from, in this order: dollars in the outcomes; tokens in the outcomes at published prices; published prices for
    the paper's average query, the same for every query.

    Args:
        outcomes: of one pair, strong first, as `Outcomes.for_pair` gives them.
    """
    if outcomes.cost_usd is not None and np.isfinite(outcomes.cost_usd).all():
        return QueryCosts(outcomes.cost_usd[:, 0], outcomes.cost_usd[:, 1], "as recorded in the outcomes")
    published = [_published(model) for model in outcomes.models]
    if None in published:
        return None
    prices = [entry for entry in published if entry is not None]
    stated = "; ".join(sorted({f"{entry.source}, {entry.as_of}" for entry in prices}))
    n = len(outcomes)
    read, written = outcomes.input_tokens, outcomes.output_tokens
    if read is not None and written is not None and np.isfinite(read).all() and np.isfinite(written).all():
        strong, weak = (_usd(entry.price, read[:, side], written[:, side]) for side, entry in enumerate(prices))
        return QueryCosts(strong, weak, f"recorded tokens at published prices ({stated})")
    strong, weak = (np.full(n, entry.price.average_query_usd()) for entry in prices)
    return QueryCosts(
        strong,
        weak,
        f"estimated: {AVERAGE_INPUT_TOKENS} tokens read and {AVERAGE_OUTPUT_TOKENS} written for every query, the "
        f"paper's average, at published prices ({stated})",
    )


def _published(model: str) -> PublishedPrice | None:
    """The price of a model by its name, with or without the organisation before it."""
    return PUBLISHED_PRICES.get(model) or PUBLISHED_PRICES.get(model.rsplit("/", 1)[-1].lower())


def _usd(price: Price, tokens_read: FloatArray, tokens_written: FloatArray) -> FloatArray:
    per_million = (
        tokens_read * price.usd_per_million_input_tokens + tokens_written * price.usd_per_million_output_tokens
    )
    usd: FloatArray = per_million / 1e6
    return usd
