from __future__ import annotations

from typing import Any

import pytest
from conversations import chat_bodies, completions, streamed_completions
from hypothesis import given

from turnout.gateway.errors import RequestError
from turnout.gateway.protocols.translating.chat_to_messages.answer import chat_answer
from turnout.gateway.protocols.translating.chat_to_messages.request import DEFAULT_MAX_TOKENS, messages_request
from turnout.gateway.protocols.translating.chat_to_messages.stream import ChatChunks
from turnout.gateway.protocols.translating.endings import finish_reason
from turnout.gateway.protocols.translating.messages_to_chat.answer import message_answer
from turnout.gateway.protocols.translating.messages_to_chat.request import chat_request
from turnout.gateway.protocols.translating.messages_to_chat.stream import MessageEvents

USER = {"role": "user", "content": "Hi"}
HI = {"role": "user", "content": [{"type": "text", "text": "Hi"}]}
TOOL = {"type": "function", "function": {"name": "f"}}


def translate(**fields: Any) -> dict[str, Any]:
    request = messages_request({"messages": [USER], **fields}, model="m", max_tokens=None)
    assert request.pop("model") == "m"
    return request


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, {"max_tokens": DEFAULT_MAX_TOKENS}),
        ({"max_tokens": 5}, {"max_tokens": 5}),
        ({"max_tokens": 5, "max_completion_tokens": 6}, {"max_tokens": 6}),
        ({"stop": "x"}, {"stop_sequences": ["x"]}),
        ({"stop": ["x", "y"]}, {"stop_sequences": ["x", "y"]}),
        ({"temperature": 0.5, "top_p": 0.1, "top_k": 3}, {"temperature": 0.5, "top_p": 0.1, "top_k": 3}),
        ({"stream": True, "stream_options": {"include_usage": True}}, {"stream": True}),
        ({"stream": False}, {}),
        ({"n": 1, "logprobs": False, "frequency_penalty": 0, "logit_bias": {}}, {}),
        ({"user": "u", "seed": 5, "store": True, "reasoning_effort": "high"}, {}),
        ({"new_and_unset": None}, {}),
        ({"response_format": {"type": "text"}}, {}),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object"}}}},
            {"output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}}},
        ),
        (
            {"tools": [TOOL]},
            {"tools": [{"name": "f", "input_schema": {"type": "object", "properties": {}}}]},
        ),
        ({"tool_choice": "required"}, {}),
    ],
)
def test_fields(fields: dict[str, Any], expected: dict[str, Any]) -> None:
    assert translate(**fields) == {"max_tokens": DEFAULT_MAX_TOKENS, "messages": [HI], **expected}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, None),
        ({"tool_choice": "auto"}, {"type": "auto"}),
        ({"tool_choice": "none", "parallel_tool_calls": False}, {"type": "none"}),
        ({"tool_choice": "required"}, {"type": "any"}),
        ({"tool_choice": {"type": "function", "function": {"name": "f"}}}, {"type": "tool", "name": "f"}),
        ({"parallel_tool_calls": False}, {"type": "auto", "disable_parallel_tool_use": True}),
        ({"parallel_tool_calls": True}, None),
    ],
)
def test_tool_choice(fields: dict[str, Any], expected: Any) -> None:
    assert translate(tools=[TOOL], **fields).get("tool_choice") == expected


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        ({"type": "text", "text": "a"}, {"type": "text", "text": "a"}),
        (
            {"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}},
            {"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}},
        ),
        (
            {"type": "image_url", "image_url": {"url": "https://x/y.png", "detail": "low"}},
            {"type": "image", "source": {"type": "url", "url": "https://x/y.png"}},
        ),
        (
            {"type": "image_url", "image_url": {"url": "data:image/webp;base64,AAAA"}},
            {"type": "image", "source": {"type": "base64", "media_type": "image/webp", "data": "AAAA"}},
        ),
        (
            {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,AAAA"}},
            {
                "type": "document",
                "source": {"type": "base64", "media_type": "application/pdf", "data": "AAAA"},
                "title": "a.pdf",
            },
        ),
    ],
)
def test_parts(part: dict[str, Any], expected: dict[str, Any]) -> None:
    assert translate(messages=[{"role": "user", "content": [part]}])["messages"][0]["content"] == [expected]


def test_a_conversation_with_tools_takes_turns() -> None:
    calls = [{"id": f"call:{i}", "type": "function", "function": {"name": "f", "arguments": ""}} for i in (1, 2)]
    request = translate(
        messages=[
            {"role": "system", "content": "Be brief."},
            {"role": "developer", "content": [{"type": "text", "text": "Be kind."}]},
            USER,
            {"role": "assistant", "content": "", "tool_calls": calls},
            {"role": "tool", "tool_call_id": "call:1", "content": "one"},
            {"role": "tool", "tool_call_id": "call:2", "content": ""},
            {"role": "user", "content": "And?"},
        ]
    )
    assert request["system"] == [{"type": "text", "text": "Be brief."}, {"type": "text", "text": "Be kind."}]
    assert request["messages"] == [
        HI,
        {
            "role": "assistant",
            "content": [{"type": "tool_use", "id": f"call_{i}", "name": "f", "input": {}} for i in (1, 2)],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "call_1", "content": [{"type": "text", "text": "one"}]},
                {"type": "tool_result", "tool_use_id": "call_2"},
                {"type": "text", "text": "And?"},
            ],
        },
    ]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"n": 2}, "n"),
        ({"logprobs": True}, "logprobs"),
        ({"logit_bias": {"5": 1}}, "logit_bias"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"temperature": 1.5}, "temperature"),
        ({"functions": [{"name": "f"}]}, "functions"),
        ({"web_search_options": {}}, "web_search_options"),
        ({"new_in_2030": 1}, "new_in_2030"),
        ({"response_format": {"type": "json_object"}}, "response_format.type"),
        ({"response_format": "json"}, "response_format"),
        ({"tools": [{"type": "custom", "custom": {"name": "f"}}]}, "tools[0].type"),
        ({"tools": [TOOL], "tool_choice": {"type": "allowed_tools"}}, "tool_choice"),
        ({"tools": "all"}, "tools"),
        ({"messages": []}, "messages"),
        ({"messages": [USER, {"role": "system", "content": "a"}]}, "messages[1].role"),
        ({"messages": [{"role": "function", "content": "a"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]}, "messages[0].content[0].type"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "ftp://x"}}]}]},
            "messages[0].content[0].image_url.url",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "file", "file": {"file_id": "f"}}]}]},
            "messages[0].content[0].file.file_id",
        ),
        (
            {
                "messages": [
                    {
                        "role": "assistant",
                        "tool_calls": [{"id": "a", "function": {"name": "f", "arguments": "[]"}}],
                    }
                ]
            },
            "messages[0].tool_calls[0].function.arguments",
        ),
        ({"messages": [USER, {"role": "tool", "content": "a"}]}, "messages[1].tool_call_id"),
    ],
)
def test_what_cannot_go_over_is_named(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(RequestError) as caught:
        translate(**fields)
    assert (caught.value.status, caught.value.param) == (400, param)
    assert f"'{param}" in caught.value.message


@given(chat_bodies())
def test_requests_go_there_and_back(body: dict[str, Any]) -> None:
    assert chat_request(messages_request(body, model="m", max_tokens=None), model="m") == body


@given(completions())
def test_answers_go_there_and_back(completion: dict[str, Any]) -> None:
    assert chat_answer(message_answer(completion), created=7) == completion


@pytest.mark.parametrize(
    ("reason", "finish"),
    [("end_turn", "stop"), ("max_tokens", "length"), ("refusal", "content_filter"), (None, "stop"), ({}, "stop")],
)
def test_why_it_ended(reason: Any, finish: str) -> None:
    assert finish_reason(reason) == finish


def test_what_a_model_thought_stays_out_of_the_answer() -> None:
    blocks = [{"type": "thinking", "thinking": "hm", "signature": "s"}, {"type": "text", "text": "a"}]
    assert chat_answer({"content": blocks}, created=7)["choices"][0]["message"]["content"] == "a"
    chunks = ChatChunks(created=7)
    chunks.feed({"type": "message_start", "message": {}})
    assert chunks.feed({"type": "content_block_start", "index": 0, "content_block": blocks[0]}) == []
    delta = {"type": "thinking_delta", "thinking": "hm"}
    assert chunks.feed({"type": "content_block_delta", "index": 0, "delta": delta}) == []


def accumulated(chunks: list[dict[str, Any]]) -> dict[str, Any]:
    """The completion that chunks stream."""
    message: dict[str, Any] = {"role": "assistant", "content": "", "refusal": None}
    finish = None
    for chunk in chunks[:-1]:
        (choice,) = chunk["choices"]
        message["content"] += choice["delta"].get("content") or ""
        for call in choice["delta"].get("tool_calls", []):
            calls = message.setdefault("tool_calls", [])
            if call["index"] == len(calls):
                calls.append({name: value for name, value in call.items() if name != "index"})
            else:
                calls[call["index"]]["function"]["arguments"] += call["function"]["arguments"]
        finish = finish or choice["finish_reason"]
    message["content"] = message["content"] or (None if "tool_calls" in message else "")
    head = {name: chunks[0][name] for name in ("id", "created", "model")}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish}
    return {**head, "object": "chat.completion", "choices": [choice], "usage": chunks[-1]["usage"]}


@given(streamed_completions())
def test_streams_go_there_and_back(both: tuple[dict[str, Any], list[dict[str, Any]]]) -> None:
    completion, chunks = both
    there, back = MessageEvents(), ChatChunks(created=7)
    events = [event for chunk in chunks for event in there.feed(chunk)] + there.end()
    returned = [chunk for event in events for chunk in back.feed(event)] + back.end()
    assert accumulated(returned) == completion
