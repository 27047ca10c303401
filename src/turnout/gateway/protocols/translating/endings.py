"""Why a model stopped and what it counted, in each protocol's words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from turnout.gateway.protocols.translating.answers import dict_or_empty, whole, word

_FINISH = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
_STOP_REASONS = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "content_filter": "refusal",
}
_INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}


def finish_reason(stop_reason: Any) -> str:
    """OpenAI's word for Anthropic's.

    >>> finish_reason("tool_use"), finish_reason("something new")
    ('tool_calls', 'stop')
    """
    return _FINISH.get(word(stop_reason) or "end_turn", "stop")


def stop_reason(finish: str | None, *, called: bool) -> str:
    """Anthropic's word for OpenAI's. Some servers say "stop" where the model called a tool.

    >>> stop_reason("length", called=False), stop_reason("stop", called=True)
    ('max_tokens', 'tool_use')
    """
    if called and finish not in ("length", "content_filter"):
        return "tool_use"
    return _STOP_REASONS.get(finish or "stop", "end_turn")


def incomplete_reason(finish: str | None) -> str | None:
    """Why a response is incomplete, in the words of OpenAI's responses; None for one that is complete.

    >>> incomplete_reason("length"), incomplete_reason("stop")
    ('max_output_tokens', None)
    """
    return _INCOMPLETE.get(finish or "")


def chat_usage_of(usage: Mapping[str, Any]) -> dict[str, Any]:
    """OpenAI's token counts for Anthropic's, which count what was cached apart from the input.

    >>> chat_usage_of({"input_tokens": 5, "cache_read_input_tokens": 90, "output_tokens": 7})["prompt_tokens"]
    95
    """
    cached, cached_now = whole(usage.get("cache_read_input_tokens")), whole(usage.get("cache_creation_input_tokens"))
    read = whole(usage.get("input_tokens")) + cached + cached_now
    written = whole(usage.get("output_tokens"))
    return {
        "prompt_tokens": read,
        "completion_tokens": written,
        "total_tokens": read + written,
        "prompt_tokens_details": {"cached_tokens": cached, "cache_write_tokens": cached_now},
    }


def message_usage(usage: Mapping[str, Any]) -> dict[str, Any]:
    """Anthropic's token counts for OpenAI's, which count what was cached as a part of the input.

    >>> message_usage({"prompt_tokens": 95, "prompt_tokens_details": {"cached_tokens": 90}})["input_tokens"]
    5
    """
    details = dict_or_empty(usage.get("prompt_tokens_details"))
    cached, cached_now = whole(details.get("cached_tokens")), whole(details.get("cache_write_tokens"))
    return {
        "input_tokens": max(0, whole(usage.get("prompt_tokens")) - cached - cached_now),
        "cache_creation_input_tokens": cached_now,
        "cache_read_input_tokens": cached,
        "output_tokens": whole(usage.get("completion_tokens")),
    }


def response_usage(usage: Mapping[str, Any]) -> dict[str, Any]:
    """The token counts of a response for those of a chat completion."""
    read, written = whole(usage.get("prompt_tokens")), whole(usage.get("completion_tokens"))
    reasoned = whole(dict_or_empty(usage.get("completion_tokens_details")).get("reasoning_tokens"))
    details = dict_or_empty(usage.get("prompt_tokens_details"))
    return {
        "input_tokens": read,
        "input_tokens_details": {
            "cached_tokens": whole(details.get("cached_tokens")),
            "cache_write_tokens": whole(details.get("cache_write_tokens")),
        },
        "output_tokens": written,
        "output_tokens_details": {"reasoning_tokens": reasoned},
        "total_tokens": read + written,
    }
