"""The two models of a demonstration, and the prices that are declared for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from turnout.errors import UnknownNameError
from turnout.pricing import Price, published_price
from turnout.types import ModelPair

PAPER_PAIR = ModelPair("gpt-4-1106-preview", "mixtral-8x7b-instruct-v0.1")
"""The paper's main pair: its prices are declared where none are published for the router's own."""


@dataclass(frozen=True, slots=True)
class DemoModel:
    """One of the two models: what it is called, where it answers, and what its tokens are said to cost."""

    name: str
    base_url: str
    price: Price
    api_key: str | None = None

    @classmethod
    def of(cls, name: str, base_url: str, priced_as: str, api_key: str | None = None) -> Self:
        """A model whose tokens are said to cost what the model `priced_as` published."""
        return cls(name, base_url, published_price(priced_as).price, api_key)


def priced_pair(pair: ModelPair) -> ModelPair:
    """The pair itself if prices of both its models are published, else the paper's.

    >>> priced_pair(ModelPair("gpt-4o", "gpt-4o-mini"))
    ModelPair(strong='gpt-4o', weak='gpt-4o-mini')
    >>> priced_pair(ModelPair("big", "small")) == PAPER_PAIR
    True
    """
    try:
        published_price(pair.strong)
        published_price(pair.weak)
    except UnknownNameError:
        return PAPER_PAIR
    return pair
