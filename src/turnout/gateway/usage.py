"""What a provider counted, the same for every protocol."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeGuard


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens that a provider counted. The input includes what was read from a prompt cache or written to it."""

    input_tokens: int
    output_tokens: int
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0


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
    details = usage.get("prompt_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, dict) else 0
    return Usage(read, written, cached if is_count(cached) else 0)


def is_count(value: Any) -> TypeGuard[int]:
    """Whether this is a number of tokens."""
    return type(value) is int and value >= 0
