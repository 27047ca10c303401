"""What tokens cost, in US dollars, with a small table of published prices and where each was published."""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import MappingProxyType

from turnout.errors import InvalidValueError, UnknownNameError

AVERAGE_INPUT_TOKENS = 95
"""Input tokens of the paper's average query (Appendix D)."""

AVERAGE_OUTPUT_TOKENS = 264
"""Output tokens of the paper's average query (Appendix D)."""

CHARACTERS_A_TOKEN = 4
"""English text, by the common rule of thumb; enough to tell what a query costs before any model has read it."""

_ONE_MILLION = 1_000_000


def estimate_tokens(text: str) -> int:
    """About how many tokens a text has, rounded up, where no model has counted them.

    >>> estimate_tokens("What is the capital of France?")
    8
    """
    return -(-len(text) // CHARACTERS_A_TOKEN)


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars for a million input tokens and for a million output tokens; input from a prompt cache may be cheaper.

    >>> price = Price(usd_per_million_input_tokens=10, usd_per_million_output_tokens=30)
    >>> round(price.cost_usd(input_tokens=95, output_tokens=264), 6)
    0.00887
    """

    usd_per_million_input_tokens: float
    usd_per_million_output_tokens: float
    usd_per_million_cached_input_tokens: float | None = None
    """Of input that is read from a prompt cache; None if that costs what all input costs."""
    usd_per_million_cache_write_tokens: float | None = None
    """Of input that is written to a prompt cache, which some providers charge more for; None as above."""

    def __post_init__(self) -> None:
        cached = self.usd_per_million_cached_input_tokens
        if cached is not None and not 0 <= cached <= self.usd_per_million_input_tokens:
            raise InvalidValueError(
                "usd_per_million_cached_input_tokens must be from 0 to usd_per_million_input_tokens "
                f"({self.usd_per_million_input_tokens:g}), got {cached}."
            )
        names = ["usd_per_million_input_tokens", "usd_per_million_output_tokens"]
        if self.usd_per_million_cache_write_tokens is not None:
            names.append("usd_per_million_cache_write_tokens")
        for name in names:
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise InvalidValueError(f"{name} must be a number of dollars, at least 0, got {value}.")

    def cost_usd(
        self, input_tokens: int, output_tokens: int, *, cached_input_tokens: int = 0, cache_write_tokens: int = 0
    ) -> float:
        """US dollars for one call that read and wrote this many tokens.

        Args:
            input_tokens: all that was read.
            output_tokens: all that was written.
            cached_input_tokens: how many of those read came from a prompt cache.
            cache_write_tokens: how many of those read went into one.
        """
        usd = input_tokens * self.usd_per_million_input_tokens + output_tokens * self.usd_per_million_output_tokens
        if cached_input_tokens and self.usd_per_million_cached_input_tokens is not None:
            discount = self.usd_per_million_input_tokens - self.usd_per_million_cached_input_tokens
            usd -= min(cached_input_tokens, input_tokens) * discount
        if cache_write_tokens and self.usd_per_million_cache_write_tokens is not None:
            surcharge = self.usd_per_million_cache_write_tokens - self.usd_per_million_input_tokens
            usd += min(cache_write_tokens, input_tokens) * surcharge
        return usd / _ONE_MILLION

    def average_query_usd(self) -> float:
        """US dollars for the paper's average query: 95 tokens read, 264 written.

        >>> round(Price(10, 30).average_query_usd() / (95 + 264) * 1e6, 1)  # dollars per million tokens
        24.7
        """
        return self.cost_usd(AVERAGE_INPUT_TOKENS, AVERAGE_OUTPUT_TOKENS)


@dataclass(frozen=True, slots=True)
class PublishedPrice:
    """A price, who published it and when it was last read there (a month, YYYY-MM)."""

    price: Price
    source: str
    as_of: str


_PAPER = "RouteLLM paper, arXiv 2406.18665v4, Appendix D"
_OPENAI = "OpenAI, API pricing"
_ANTHROPIC = "Anthropic, API pricing"


def _published(usd_in: float, usd_out: float, source: str, as_of: str) -> PublishedPrice:
    return PublishedPrice(Price(usd_in, usd_out), source, as_of)


_MIXTRAL = _published(0.24, 0.24, _PAPER, "2024-06")

PUBLISHED_PRICES: MappingProxyType[str, PublishedPrice] = MappingProxyType(
    {
        "gpt-4-1106-preview": _published(10.00, 30.00, _PAPER, "2024-06"),
        "mixtral-8x7b": _MIXTRAL,
        "mixtral-8x7b-instruct-v0.1": _MIXTRAL,
        "gpt-3.5-turbo": _published(0.50, 1.50, _OPENAI, "2026-05"),
        "gpt-4-turbo": _published(10.00, 30.00, _OPENAI, "2024-07"),
        "gpt-4o": _published(2.50, 10.00, _OPENAI, "2026-05"),
        "gpt-4o-mini": _published(0.15, 0.60, _OPENAI, "2026-05"),
        "gpt-4.1": _published(2.00, 8.00, _OPENAI, "2026-04"),
        "gpt-4.1-mini": _published(0.40, 1.60, _OPENAI, "2026-04"),
        "gpt-4.1-nano": _published(0.10, 0.40, _OPENAI, "2026-04"),
        "claude-3-haiku": _published(0.25, 1.25, _ANTHROPIC, "2024-11"),
        "claude-3-opus": _published(15.00, 75.00, _ANTHROPIC, "2024-07"),
        "claude-3-5-sonnet": _published(3.00, 15.00, _ANTHROPIC, "2024-11"),
    }
)
"""Prices by model name. They are defaults for estimates and age: a configuration states its own.

Mixtral's is the paper's average over tokens read and written; the paper gives no split.
"""


def published_price(model: str) -> PublishedPrice:
    """The published price of a model, or an UnknownNameError with the nearest name that has one.

    >>> published_price("gpt-4-1106-preview").price.usd_per_million_output_tokens
    30.0
    """
    try:
        return PUBLISHED_PRICES[model]
    except KeyError:
        raise UnknownNameError("published price", model, PUBLISHED_PRICES) from None
