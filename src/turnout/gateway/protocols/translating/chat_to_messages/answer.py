"""An Anthropic message as a chat completion."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from turnout.gateway.protocols.translating.answers import dict_or_empty, dicts, json_text
from turnout.gateway.protocols.translating.chat import tool_call
from turnout.gateway.protocols.translating.endings import chat_usage_of, finish_reason


def chat_answer(message: Mapping[str, Any], *, created: int) -> dict[str, Any]:
    """The chat completion for an Anthropic message.

    Args:
        message: the provider's answer.
        created: seconds since 1970, which Anthropic's protocol does not tell.
    """
    texts, calls = [], []
    for block in dicts(message.get("content")):
        if block.get("type") == "text":
            texts.append(str(block.get("text", "")))
        elif block.get("type") == "tool_use":
            arguments = json_text(dict_or_empty(block.get("input")))
            calls.append(tool_call(block.get("id"), block.get("name"), arguments))
    answered: dict[str, Any] = {"role": "assistant", "content": "".join(texts) if texts or not calls else None}
    if calls:
        answered["tool_calls"] = calls
    answered["refusal"] = None
    return {
        "id": message.get("id"),
        "object": "chat.completion",
        "created": created,
        "model": message.get("model"),
        "choices": [
            {
                "index": 0,
                "message": answered,
                "logprobs": None,
                "finish_reason": finish_reason(message.get("stop_reason")),
            }
        ],
        "usage": chat_usage_of(dict_or_empty(message.get("usage"))),
    }
