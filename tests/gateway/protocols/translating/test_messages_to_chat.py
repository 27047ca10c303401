from __future__ import annotations

from typing import Any

import pytest
from conversations import streamed_completions
from hypothesis import given

from turnout.errors import UpstreamProtocolError
from turnout.gateway.errors import RequestError
from turnout.gateway.protocols.translating.endings import stop_reason
from turnout.gateway.protocols.translating.messages_to_chat.answer import message_answer
from turnout.gateway.protocols.translating.messages_to_chat.request import chat_request
from turnout.gateway.protocols.translating.messages_to_chat.stream import MessageEvents

USER = {"role": "user", "content": "Hi"}
SCHEMA = {"type": "object"}
TOOL = {"name": "f", "input_schema": SCHEMA}
TWO = {"type": "text", "text": "two"}
PNG = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}


def translate(**fields: Any) -> dict[str, Any]:
    request = chat_request({"messages": [USER], **fields}, model="m")
    assert request.pop("model") == "m"
    return request


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"max_tokens": 5}, {"max_tokens": 5}),
        ({"stop_sequences": ["x"]}, {"stop": ["x"]}),
        ({"stop_sequences": []}, {}),
        ({"temperature": 0.5, "top_p": 0.1}, {"temperature": 0.5, "top_p": 0.1}),
        ({"stream": True}, {"stream": True, "stream_options": {"include_usage": True}}),
        ({"metadata": {"user_id": "u"}, "thinking": {"type": "enabled", "budget_tokens": 1024}}, {}),
        ({"context_management": {"edits": []}, "output_config": {"effort": "high"}}, {}),
        (
            {"output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}}},
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "answer", "schema": {"type": "object"}, "strict": True},
                }
            },
        ),
        (
            {"tools": [{**TOOL, "type": "custom", "cache_control": {"type": "ephemeral"}, "strict": True}]},
            {
                "tools": [
                    {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}, "strict": True}}
                ]
            },
        ),
    ],
)
def test_fields(fields: dict[str, Any], expected: dict[str, Any]) -> None:
    assert translate(**fields) == {"messages": [USER], **expected}


def test_openai_itself_has_renamed_the_limit() -> None:
    request = chat_request({"messages": [USER], "max_tokens": 5}, model="m", max_tokens_field="max_completion_tokens")
    assert request["max_completion_tokens"] == 5
    assert "max_tokens" not in request


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ({"type": "auto"}, "auto"),
        ({"type": "any"}, "required"),
        ({"type": "none"}, "none"),
        ({"type": "tool", "name": "f"}, {"type": "function", "function": {"name": "f"}}),
    ],
)
def test_tool_choice(choice: dict[str, Any], expected: Any) -> None:
    assert translate(tools=[TOOL], tool_choice=choice)["tool_choice"] == expected
    one_by_one = translate(tools=[TOOL], tool_choice={**choice, "disable_parallel_tool_use": True})
    assert one_by_one["parallel_tool_calls"] is False


@pytest.mark.parametrize("system", ["Be brief.", [{"type": "text", "text": "Be brief.", "cache_control": {}}]])
def test_the_system_prompt_becomes_the_first_message(system: Any) -> None:
    assert translate(system=system)["messages"] == [{"role": "system", "content": "Be brief."}, USER]


def test_tool_results_come_first_and_their_images_follow() -> None:
    results = [
        {"type": "tool_result", "tool_use_id": "a", "content": "one"},
        {
            "type": "tool_result",
            "tool_use_id": "b",
            "is_error": True,
            "content": [{"type": "text", "text": "two"}, PNG],
        },
        {"type": "tool_result", "tool_use_id": "c"},
        {"type": "text", "text": "And?"},
    ]
    assert translate(messages=[{"role": "user", "content": results}])["messages"] == [
        {"role": "tool", "tool_call_id": "a", "content": "one"},
        {
            "role": "tool",
            "tool_call_id": "b",
            "content": "Error: two\n(What the tool gave follows in the next message.)",
        },
        {"role": "tool", "tool_call_id": "c", "content": ""},
        {
            "role": "user",
            "content": [
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
                {"type": "text", "text": "And?"},
            ],
        },
    ]


def test_an_answer_with_thoughts_and_calls_becomes_one_message() -> None:
    content = [
        {"type": "thinking", "thinking": "hm", "signature": "s"},
        {"type": "text", "text": "Let me look."},
        {"type": "tool_use", "id": "a", "name": "f", "input": {"x": 1}},
        {"type": "tool_use", "id": "b", "name": "f", "input": {}},
    ]
    messages = translate(messages=[{"role": "assistant", "content": content}, USER])["messages"]
    assert messages[0] == {
        "role": "assistant",
        "content": "Let me look.",
        "tool_calls": [
            {"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x":1}'}},
            {"id": "b", "type": "function", "function": {"name": "f", "arguments": "{}"}},
        ],
    }


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        (
            {"type": "image", "source": {"type": "url", "url": "https://x/y.png"}},
            {"type": "image_url", "image_url": {"url": "https://x/y.png"}},
        ),
        (
            {
                "type": "document",
                "title": "a.pdf",
                "source": {"type": "base64", "media_type": "application/pdf", "data": "AAAA"},
            },
            {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,AAAA"}},
        ),
    ],
)
def test_blocks(block: dict[str, Any], expected: dict[str, Any]) -> None:
    assert translate(messages=[{"role": "user", "content": [block]}])["messages"][0]["content"] == [expected]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"top_k": 5}, "top_k"),
        ({"mcp_servers": [{}]}, "mcp_servers"),
        ({"inference_geo": "eu"}, "inference_geo"),
        ({"output_config": {"task_budget": 5}}, "output_config.task_budget"),
        ({"output_config": {"format": {"type": "grammar"}}}, "output_config.format.type"),
        ({"tools": [{"type": "bash_20250124", "name": "bash"}]}, "tools[0].type"),
        ({"tools": [{"name": "f"}]}, "tools[0].input_schema"),
        ({"tools": [TOOL], "tool_choice": {"type": "some"}}, "tool_choice.type"),
        ({"messages": [USER, {"role": "assistant", "content": "{"}]}, "messages[1].role"),
        ({"messages": [{"role": "tool", "content": "a"}]}, "messages[0].role"),
        (
            {"messages": [{"role": "user", "content": [{"type": "search_result"}]}]},
            "messages[0].content[0].type",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "image", "source": {"type": "file"}}]}]},
            "messages[0].content[0].source.type",
        ),
        (
            {"messages": [{"role": "assistant", "content": [{"type": "server_tool_use"}]}, USER]},
            "messages[0].content[0].type",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "tool_result"}]}]},
            "messages[0].content[0].tool_use_id",
        ),
        ({"system": [{"type": "text"}]}, "system[0].text"),
    ],
)
def test_what_cannot_go_over_is_named(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(RequestError) as caught:
        translate(**fields)
    assert (caught.value.status, caught.value.param) == (400, param)
    assert f"'{param}" in caught.value.message


def completion(message: dict[str, Any], finish: Any = "stop") -> dict[str, Any]:
    return {"choices": [{"message": message, "finish_reason": finish}]}


@pytest.mark.parametrize(
    ("finish", "called", "reason"),
    [
        ("stop", False, "end_turn"),
        ("stop", True, "tool_use"),
        ("tool_calls", True, "tool_use"),
        ("length", True, "max_tokens"),
        ("content_filter", False, "refusal"),
        (None, False, "end_turn"),
        ("new", False, "end_turn"),
    ],
)
def test_why_it_ended(finish: str | None, called: bool, reason: str) -> None:
    assert stop_reason(finish, called=called) == reason


def test_a_refusal_is_said_and_is_the_reason() -> None:
    answer = message_answer(completion({"content": None, "refusal": "No."}))
    assert (answer["content"][0]["text"], answer["stop_reason"]) == ("No.", "refusal")


def test_a_call_whose_arguments_are_no_object_is_a_fault_unless_the_limit_cut_it() -> None:
    call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x": '}}
    with pytest.raises(UpstreamProtocolError, match="not a JSON object"):
        message_answer(completion({"content": "a", "tool_calls": [call]}, "tool_calls"))
    cut = message_answer(completion({"content": "a", "tool_calls": [call]}, "length"))
    assert [block["type"] for block in cut["content"]] == ["text"]
    assert cut["stop_reason"] == "max_tokens"


def test_an_answer_without_a_choice_is_a_fault() -> None:
    with pytest.raises(UpstreamProtocolError, match="no choice"):
        message_answer({"choices": []})


def test_going_back_to_a_call_that_was_left_is_a_fault() -> None:
    events = MessageEvents()
    for index in (0, 1):
        call = {"index": index, "id": f"c{index}", "function": {"name": "f", "arguments": "{"}}
        events.feed({"choices": [{"delta": {"tool_calls": [call]}}]})
    back = {"index": 0, "function": {"arguments": "}"}}
    with pytest.raises(UpstreamProtocolError, match="went back"):
        events.feed({"choices": [{"delta": {"tool_calls": [back]}}]})


@given(streamed_completions())
def test_a_stream_opens_and_closes_its_blocks_in_order(both: tuple[dict[str, Any], list[dict[str, Any]]]) -> None:
    completion, chunks = both
    translator = MessageEvents()
    events = [event for chunk in chunks for event in translator.feed(chunk)] + translator.end()
    kinds = [event["type"] for event in events]
    assert kinds[0] == "message_start"
    assert kinds[-2:] == ["message_delta", "message_stop"]
    open_block, seen = None, -1
    for event in events[1:-2]:
        if event["type"] == "content_block_start":
            assert open_block is None
            seen += 1
            open_block = event["index"]
            assert open_block == seen
        else:
            assert event["index"] == open_block
            if event["type"] == "content_block_stop":
                open_block = None
    assert open_block is None
    whole = message_answer(completion)
    assert events[-2]["delta"]["stop_reason"] == whole["stop_reason"]
    assert events[-2]["usage"] == whole["usage"]
