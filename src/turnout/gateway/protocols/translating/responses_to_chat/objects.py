"""What responses are made of: the response itself, its items, their parts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from turnout.gateway.protocols.translating.endings import incomplete_reason, response_usage

_ECHOED = (
    "instructions",
    "max_output_tokens",
    "metadata",
    "parallel_tool_calls",
    "reasoning",
    "temperature",
    "text",
    "tool_choice",
    "tools",
    "top_p",
    "truncation",
    "user",
)


def response_object(
    request: Mapping[str, Any],
    *,
    name: str,
    created: int,
    model: Any,
    output: list[dict[str, Any]],
    finish: str | None,
    usage: dict[str, Any] | None,
) -> dict[str, Any]:
    """A response object; one that is still being written if `finish` is None."""
    incomplete = incomplete_reason(finish)
    status = "in_progress" if finish is None else "incomplete" if incomplete else "completed"
    defaults = {"parallel_tool_calls": True, "tool_choice": "auto", "tools": [], "metadata": {}}
    echoed = {field: request.get(field) for field in _ECHOED}
    return {
        "id": f"resp_{name}",
        "object": "response",
        "created_at": created,
        "status": status,
        "background": False,
        "error": None,
        "incomplete_details": {"reason": incomplete} if incomplete else None,
        "model": model,
        "output": output,
        "previous_response_id": None,
        "store": False,
        **{field: defaults.get(field) if value is None else value for field, value in echoed.items()},
        "usage": None if usage is None else response_usage(usage),
    }


def message_item(name: str, position: int, parts: list[dict[str, Any]], *, status: str) -> dict[str, Any]:
    """What the model said, as an item of the output."""
    return {
        "id": f"msg_{name}_{position}",
        "type": "message",
        "role": "assistant",
        "status": status,
        "content": parts,
    }


def call_item(name: str, position: int, call: Any, function: Any, arguments: Any, *, status: str) -> dict[str, Any]:
    """A tool call, as an item of the output."""
    return {
        "id": f"fc_{name}_{position}",
        "type": "function_call",
        "call_id": call,
        "name": function,
        "arguments": arguments or "",
        "status": status,
    }


def said_part(words: str) -> dict[str, Any]:
    """A part of a message that is text."""
    return {"type": "output_text", "text": words, "annotations": [], "logprobs": []}


def refusal_part(words: str) -> dict[str, Any]:
    """A part of a message that says why there is no answer."""
    return {"type": "refusal", "refusal": words}


def item_status(finish: str | None) -> str:
    """Whether an item was cut off, by why the model stopped."""
    return "incomplete" if incomplete_reason(finish) else "completed"
