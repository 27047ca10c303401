"""A chat completion as an Anthropic message."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from turnout.errors import UpstreamProtocolError
from turnout.gateway.protocols.translating.answers import answered_arguments, dict_or_empty, word
from turnout.gateway.protocols.translating.chat import calls_of, first_choice
from turnout.gateway.protocols.translating.endings import message_usage, stop_reason


def message_answer(completion: Mapping[str, Any]) -> dict[str, Any]:
    """The Anthropic message for a chat completion.

    Raises:
        UpstreamProtocolError: it holds no choice, or a tool call whose arguments are not a JSON object.
    """
    choice = first_choice(completion)
    message, finish = dict_or_empty(choice.get("message")), word(choice.get("finish_reason"))
    content: list[dict[str, Any]] = []
    words = message.get("content") or message.get("refusal")
    if isinstance(words, str) and words:
        content.append({"type": "text", "text": words, "citations": None})
    for id, name, written in calls_of(message):
        try:
            arguments = answered_arguments(written)
        except UpstreamProtocolError:
            if finish == "length":
                continue  # the limit cut it off; what came before is still an answer
            raise
        content.append({"type": "tool_use", "id": id, "name": name, "input": arguments})
    called = any(block["type"] == "tool_use" for block in content)
    return {
        "id": completion.get("id"),
        "type": "message",
        "role": "assistant",
        "model": completion.get("model"),
        "content": content,
        "stop_reason": "refusal" if message.get("refusal") else stop_reason(finish, called=called),
        "stop_sequence": None,
        "usage": message_usage(dict_or_empty(completion.get("usage"))),
    }
