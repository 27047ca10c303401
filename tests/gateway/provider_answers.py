"""What providers of each protocol answer: text, and calls of two tools at once, whole and as events."""

from __future__ import annotations

import json
from typing import Any

from scripted_provider import Reply, event, plain, streamed

CHAT_TEXT: dict[str, Any] = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 7,
    "model": "mock",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Paris."}, "finish_reason": "stop"}],
    "usage": {
        "prompt_tokens": 18,
        "completion_tokens": 19,
        "total_tokens": 37,
        "prompt_tokens_details": {"cached_tokens": 8},
    },
}
CHAT_CALLS: dict[str, Any] = {
    **CHAT_TEXT,
    "choices": [
        {
            "index": 0,
            "message": {
                "role": "assistant",
                "content": "Let me look.",
                "tool_calls": [
                    {
                        "id": f"call_{city}",
                        "type": "function",
                        "function": {"name": "weather", "arguments": json.dumps({"city": city})},
                    }
                    for city in ("Paris", "Rome")
                ],
            },
            "finish_reason": "tool_calls",
        }
    ],
}
MESSAGE_TEXT: dict[str, Any] = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "mock",
    "content": [{"type": "text", "text": "Paris."}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {
        "input_tokens": 10,
        "cache_read_input_tokens": 5,
        "cache_creation_input_tokens": 3,
        "output_tokens": 19,
    },
}
MESSAGE_CALLS: dict[str, Any] = {
    **MESSAGE_TEXT,
    "content": [
        {"type": "text", "text": "Let me look."},
        *(
            {"type": "tool_use", "id": f"call_{city}", "name": "weather", "input": {"city": city}}
            for city in ("Paris", "Rome")
        ),
    ],
    "stop_reason": "tool_use",
}
RESPONSE_TEXT: dict[str, Any] = {
    "id": "resp_1",
    "object": "response",
    "created_at": 7,
    "status": "completed",
    "model": "mock",
    "output": [
        {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_text", "text": "Paris.", "annotations": []}],
        }
    ],
    "parallel_tool_calls": True,
    "tool_choice": "auto",
    "tools": [],
    "usage": {
        "input_tokens": 18,
        "input_tokens_details": {"cached_tokens": 8},
        "output_tokens": 19,
        "output_tokens_details": {"reasoning_tokens": 2},
        "total_tokens": 37,
    },
}


def named(value: dict[str, Any]) -> bytes:
    """An event that is named by its type."""
    return f"event: {value['type']}\n".encode() + event(value)


def _chunk(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {"id": "c1", "object": "chat.completion.chunk", "created": 7, "model": "mock", "choices": [choice]}


def _call(index: int, **function: str) -> dict[str, Any]:
    call: dict[str, Any] = {"index": index, "function": function}
    if "name" in function:
        call |= {"id": f"call_{'Paris' if index == 0 else 'Rome'}", "type": "function"}
    return {"tool_calls": [call]}


CHAT_USAGE = {**_chunk({}), "choices": [], "usage": CHAT_TEXT["usage"]}
CHAT_TEXT_EVENTS = [
    event(_chunk({"role": "assistant", "content": ""})),
    event(_chunk({"content": "Pa"})),
    b": keep-alive\n\n",
    event(_chunk({"content": "ris."})),
    event(_chunk({}, "stop")),
    event(CHAT_USAGE),
    b"data: [DONE]\n\n",
]
CHAT_CALL_EVENTS = [
    event(_chunk({"role": "assistant", "content": "Let me look."})),
    event(_chunk(_call(0, name="weather", arguments=""))),
    event(_chunk(_call(0, arguments='{"city": '))),
    event(_chunk(_call(0, arguments='"Paris"}'))),
    event(_chunk(_call(1, name="weather", arguments='{"city": "Rome"}'))),
    event(_chunk({}, "tool_calls")),
    event(CHAT_USAGE),
    b"data: [DONE]\n\n",
]

_BEGUN = {**MESSAGE_TEXT, "content": [], "stop_reason": None, "usage": {**MESSAGE_TEXT["usage"], "output_tokens": 1}}


def _block(index: int, block: dict[str, Any], *deltas: dict[str, Any]) -> list[bytes]:
    return [
        named({"type": "content_block_start", "index": index, "content_block": block}),
        *(named({"type": "content_block_delta", "index": index, "delta": delta}) for delta in deltas),
        named({"type": "content_block_stop", "index": index}),
    ]


def _ended(reason: str) -> list[bytes]:
    delta = {"stop_reason": reason, "stop_sequence": None}
    return [
        named({"type": "message_delta", "delta": delta, "usage": {"output_tokens": 19}}),
        named({"type": "message_stop"}),
    ]


_TEXT_BLOCK = {"type": "text", "text": ""}
MESSAGE_TEXT_EVENTS = [
    named({"type": "message_start", "message": _BEGUN}),
    named({"type": "ping"}),
    *_block(0, _TEXT_BLOCK, *({"type": "text_delta", "text": text} for text in ("Pa", "ris."))),
    *_ended("end_turn"),
]
MESSAGE_CALL_EVENTS = [
    named({"type": "message_start", "message": _BEGUN}),
    *_block(0, _TEXT_BLOCK, {"type": "text_delta", "text": "Let me look."}),
    *_block(
        1,
        {"type": "tool_use", "id": "call_Paris", "name": "weather", "input": {}},
        {"type": "input_json_delta", "partial_json": '{"city": '},
        {"type": "input_json_delta", "partial_json": '"Paris"}'},
    ),
    *_block(
        2,
        {"type": "tool_use", "id": "call_Rome", "name": "weather", "input": {}},
        {"type": "input_json_delta", "partial_json": '{"city": "Rome"}'},
    ),
    *_ended("tool_use"),
]
RESPONSE_TEXT_EVENTS = [
    named({"type": "response.created", "sequence_number": 0, "response": {**RESPONSE_TEXT, "status": "in_progress"}}),
    named(
        {
            "type": "response.output_text.delta",
            "sequence_number": 1,
            "item_id": "msg_1",
            "output_index": 0,
            "content_index": 0,
            "delta": "Paris.",
            "logprobs": [],
        }
    ),
    named({"type": "response.completed", "sequence_number": 2, "response": RESPONSE_TEXT}),
]
EMBEDDING: dict[str, Any] = {
    "object": "list",
    "model": "mock",
    "data": [{"object": "embedding", "index": 0, "embedding": [0.5, -0.25]}],
    "usage": {"prompt_tokens": 3, "total_tokens": 3},
}

WHOLE: dict[tuple[str, str], dict[str, Any]] = {
    ("openai", "text"): CHAT_TEXT,
    ("openai", "calls"): CHAT_CALLS,
    ("anthropic", "text"): MESSAGE_TEXT,
    ("anthropic", "calls"): MESSAGE_CALLS,
}
EVENTS: dict[tuple[str, str], list[bytes]] = {
    ("openai", "text"): CHAT_TEXT_EVENTS,
    ("openai", "calls"): CHAT_CALL_EVENTS,
    ("anthropic", "text"): MESSAGE_TEXT_EVENTS,
    ("anthropic", "calls"): MESSAGE_CALL_EVENTS,
}


def answering(protocol: str, what: str, *, stream: bool) -> Reply:
    """A provider of this protocol that answers with text, or with calls."""
    return streamed(*EVENTS[protocol, what]) if stream else plain(WHOLE[protocol, what])
