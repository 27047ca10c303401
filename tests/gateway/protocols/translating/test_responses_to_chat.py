from __future__ import annotations

from typing import Any

import pytest
from conversations import completions, streamed_completions
from hypothesis import given
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from turnout.errors import UpstreamProtocolError
from turnout.gateway.errors import RequestError
from turnout.gateway.protocols.translating.responses_to_chat.answer import response_answer
from turnout.gateway.protocols.translating.responses_to_chat.request import chat_request
from turnout.gateway.protocols.translating.responses_to_chat.stream import ResponseEvents

USER = {"role": "user", "content": "Hi"}
TOOL = {"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": True}
EVENT: TypeAdapter[ResponseStreamEvent] = TypeAdapter(ResponseStreamEvent)


def translate(**fields: Any) -> dict[str, Any]:
    request = chat_request({"input": "Hi", **fields}, model="m")
    assert request.pop("model") == "m"
    return request


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, {}),
        ({"max_output_tokens": 5}, {"max_tokens": 5}),
        ({"temperature": 0.5, "top_p": 0.1, "user": "u"}, {"temperature": 0.5, "top_p": 0.1, "user": "u"}),
        ({"reasoning": {"effort": "low", "summary": "auto"}}, {"reasoning_effort": "low"}),
        ({"store": True, "metadata": {"a": "b"}, "truncation": "auto", "background": False}, {}),
        ({"include": ["reasoning.encrypted_content"], "parallel_tool_calls": False}, {}),
        ({"stream": True}, {"stream": True, "stream_options": {"include_usage": True}}),
        ({"text": {"format": {"type": "text"}, "verbosity": "low"}}, {}),
        ({"text": {"format": {"type": "json_object"}}}, {"response_format": {"type": "json_object"}}),
        (
            {"text": {"format": {"type": "json_schema", "name": "a", "schema": {}, "strict": True}}},
            {"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {}, "strict": True}}},
        ),
        (
            {"tools": [TOOL], "tool_choice": {"type": "function", "name": "f"}, "parallel_tool_calls": False},
            {
                "tools": [
                    {
                        "type": "function",
                        "function": {"name": "f", "parameters": {"type": "object"}, "strict": True},
                    }
                ],
                "tool_choice": {"type": "function", "function": {"name": "f"}},
                "parallel_tool_calls": False,
            },
        ),
    ],
)
def test_fields(fields: dict[str, Any], expected: dict[str, Any]) -> None:
    assert translate(**fields) == {"messages": [USER], **expected}


def test_a_conversation_with_tools() -> None:
    items = [
        {"role": "developer", "content": "Be kind."},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Weather?"}]},
        {"type": "reasoning", "summary": [], "encrypted_content": "…"},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Let me look."}]},
        {"type": "function_call", "call_id": "a", "name": "f", "arguments": '{"x":1}'},
        {"type": "function_call", "call_id": "b", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "a", "output": "one"},
        {"type": "function_call_output", "call_id": "b", "output": [{"type": "input_text", "text": "two"}]},
        {
            "role": "user",
            "content": [
                {"type": "input_text", "text": "And this?"},
                {"type": "input_image", "image_url": "https://x/y.png", "detail": "low"},
            ],
        },
    ]
    assert translate(instructions="Be brief.", input=items)["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "Weather?"},
        {
            "role": "assistant",
            "content": "Let me look.",
            "tool_calls": [
                {"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x":1}'}},
                {"id": "b", "type": "function", "function": {"name": "f", "arguments": "{}"}},
            ],
        },
        {"role": "tool", "tool_call_id": "a", "content": "one"},
        {"role": "tool", "tool_call_id": "b", "content": "two"},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "And this?"},
                {"type": "image_url", "image_url": {"url": "https://x/y.png", "detail": "low"}},
            ],
        },
    ]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"previous_response_id": "r"}, "previous_response_id"),
        ({"conversation": "c"}, "conversation"),
        ({"background": True}, "background"),
        ({"prompt": {"id": "p"}}, "prompt"),
        ({"include": ["message.output_text.logprobs"]}, "include[0]"),
        ({"include": [{}]}, "include[0]"),
        ({"include": "all"}, "include"),
        ({"tools": [{"type": "web_search"}]}, "tools[0].type"),
        ({"tools": [TOOL], "tool_choice": {"type": "file_search"}}, "tool_choice"),
        ({"text": {"format": {"type": "grammar"}}}, "text.format.type"),
        ({"text": "short"}, "text"),
        ({"input": [{"type": "item_reference", "id": "i"}]}, "input[0].type"),
        ({"input": [{"role": "critic", "content": "a"}]}, "input[0].role"),
        ({"input": [{"role": "user", "content": [{"type": "input_audio"}]}]}, "input[0].content[0].type"),
        (
            {"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}]},
            "input[0].content[0].file_id",
        ),
        ({"input": [{"type": "function_call", "call_id": "a", "name": "f"}]}, "input[0].arguments"),
        ({"input": None}, "input"),
    ],
)
def test_what_cannot_go_over_is_named(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(RequestError) as caught:
        translate(**fields)
    assert (caught.value.status, caught.value.param) == (400, param)
    assert f"'{param}" in caught.value.message


def test_a_response_repeats_what_was_asked() -> None:
    request = {"instructions": "Be brief.", "temperature": 0.5, "tools": [TOOL], "metadata": {"a": "b"}}
    completion = {"id": "c", "choices": [{"message": {"content": "Hi."}, "finish_reason": "length"}]}
    response = response_answer(completion, request)
    assert {field: response[field] for field in request} == request
    assert (response["status"], response["incomplete_details"]) == ("incomplete", {"reason": "max_output_tokens"})
    assert response["output"][0]["status"] == "incomplete"


def test_a_refusal_is_a_part_of_its_own() -> None:
    completion = {"choices": [{"message": {"content": None, "refusal": "No."}, "finish_reason": "stop"}]}
    response = response_answer(completion, {})
    assert response["output"][0]["content"] == [{"type": "refusal", "refusal": "No."}]
    events = ResponseEvents({})
    told = events.feed({"choices": [{"delta": {"refusal": "No."}}]}) + events.end()
    assert told[-1]["response"]["output"] == response["output"]


def test_an_answer_without_a_choice_is_a_fault() -> None:
    with pytest.raises(UpstreamProtocolError, match="no choice"):
        response_answer({}, {})


@given(completions())
def test_a_response_is_what_the_official_client_expects(completion: dict[str, Any]) -> None:
    Response.model_validate(response_answer(completion, {"input": "Hi"}), strict=True)


@given(streamed_completions())
def test_a_stream_tells_the_same_response_as_a_whole_answer(both: tuple[dict[str, Any], list[dict[str, Any]]]) -> None:
    completion, chunks = both
    translator = ResponseEvents({"input": "Hi"})
    events = [event for chunk in chunks for event in translator.feed(chunk)] + translator.end()
    for event in events:
        EVENT.validate_python(event, strict=True)
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert [event["type"] for event in events[:2]] == ["response.created", "response.in_progress"]
    last = events[-1]["response"]
    assert events[-1]["type"] == f"response.{last['status']}"
    assert last == response_answer(completion, {"input": "Hi"})
    done = [event["item"] for event in events if event["type"] == "response.output_item.done"]
    assert done == last["output"]
    deltas = "".join(event["delta"] for event in events if event["type"] == "response.output_text.delta")
    assert deltas == (completion["choices"][0]["message"]["content"] or "")
