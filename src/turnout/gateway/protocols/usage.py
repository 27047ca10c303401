"""What a provider counted, the same for every protocol."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeGuard

from turnout.pricing import Price

MOST_TOKENS = 1_000_000_000_000
"""A provider that says more than this is not believed: neither sums nor databases hold whatever JSON can say."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens that a provider counted. The input includes what was read from a prompt cache or written to it."""

    input_tokens: int
    output_tokens: int
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0

    def cost_usd(self, price: Price) -> float:
        """US dollars at a price."""
        return price.cost_usd(
            self.input_tokens,
            self.output_tokens,
            cached_input_tokens=self.cache_read_tokens,
            cache_write_tokens=self.cache_write_tokens,
        )


def chat_usage(answer: dict[str, Any]) -> Usage | None:
    """The token counts of an OpenAI-shaped answer or chunk, if it has any.

    >>> chat_usage({"usage": {"prompt_tokens": 18, "completion_tokens": 19}})
    Usage(input_tokens=18, output_tokens=19, cache_read_tokens=0, cache_write_tokens=0)
    """
    usage = answer.get("usage")
    if not isinstance(usage, dict):
        return None
    read, written = usage.get("prompt_tokens"), usage.get("completion_tokens", 0)
    if not is_count(read) or not is_count(written):
        return None
    return Usage(read, written, *_cached(usage.get("prompt_tokens_details")))


def response_usage(response: dict[str, Any]) -> Usage | None:
    """The token counts of an OpenAI response, if it has any.

    >>> response_usage({"usage": {"input_tokens": 18, "output_tokens": 19}})
    Usage(input_tokens=18, output_tokens=19, cache_read_tokens=0, cache_write_tokens=0)
    """
    usage = response.get("usage")
    if not isinstance(usage, dict):
        return None
    read, written = usage.get("input_tokens"), usage.get("output_tokens")
    if not is_count(read) or not is_count(written):
        return None
    return Usage(read, written, *_cached(usage.get("input_tokens_details")))


class UsageOfMessage:
    """The token counts of an Anthropic message, which come in parts where it is streamed.

    >>> counted = UsageOfMessage()
    >>> counted.add({"input_tokens": 5, "cache_read_input_tokens": 90, "output_tokens": 1})
    >>> counted.add({"output_tokens": 7})
    >>> counted.total()
    Usage(input_tokens=95, output_tokens=7, cache_read_tokens=90, cache_write_tokens=0)
    """

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}

    def add(self, usage: Any) -> None:
        """Take the counts of a message or of an event; later ones replace earlier ones."""
        if isinstance(usage, dict):
            self._counts |= {name: value for name, value in usage.items() if is_count(value)}

    def total(self) -> Usage | None:
        """The counts so far, if there are any."""
        counts = self._counts
        if "input_tokens" not in counts and "output_tokens" not in counts:
            return None
        read, written = counts.get("cache_read_input_tokens", 0), counts.get("cache_creation_input_tokens", 0)
        return Usage(counts.get("input_tokens", 0) + read + written, counts.get("output_tokens", 0), read, written)


def message_usage(message: dict[str, Any]) -> Usage | None:
    """The token counts of a whole Anthropic message, if it has any."""
    counted = UsageOfMessage()
    counted.add(message.get("usage"))
    return counted.total()


def is_count(value: Any) -> TypeGuard[int]:
    """Whether this is a number of tokens."""
    return type(value) is int and 0 <= value <= MOST_TOKENS


def _cached(details: Any) -> tuple[int, int]:
    """Tokens read from a prompt cache and written to it, by OpenAI's details of the input."""
    if not isinstance(details, dict):
        return 0, 0
    read, written = details.get("cached_tokens"), details.get("cache_write_tokens")
    return read if is_count(read) else 0, written if is_count(written) else 0
