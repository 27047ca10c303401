"""What a request needs, in each protocol, and which model lacks it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from turnout.config import ModelConfig
from turnout.gateway.choosing.needs import ROOM_FOR_ANSWER, TOO_LONG, Needs
from turnout.gateway.protocols.anthropic_messages import ANTHROPIC_MESSAGES
from turnout.gateway.protocols.base import ClientProtocol
from turnout.gateway.protocols.openai_chat import OPENAI_CHAT
from turnout.gateway.protocols.openai_responses import OPENAI_RESPONSES
from turnout.query import query_of

URL = "http://127.0.0.1:1/v1"
CHAT, MESSAGES, RESPONSES = OPENAI_CHAT, ANTHROPIC_MESSAGES, OPENAI_RESPONSES
USER = {"role": "user", "content": "Name a river."}
TOOL_USE = {"type": "tool_use", "id": "t", "name": "f", "input": {}}
TOOL_RESULT = {"type": "tool_result", "tool_use_id": "t", "content": "x"}


def needs(protocol: ClientProtocol, **body: Any) -> Needs:
    field = "input" if protocol is RESPONSES else "messages"
    request = protocol.parse(json.dumps({"model": "auto", field: [USER], **body}).encode())
    return Needs(request, query_of(request.turns()))


TOOL_USE = {"type": "tool_use", "id": "c", "name": "f", "input": {}}


def user(*parts: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"role": "user", "content": list(parts)}]


@pytest.mark.parametrize(
    ("protocol", "body"),
    [
        (CHAT, {"tools": [{"type": "function", "function": {"name": "f"}}]}),
        (CHAT, {"functions": [{"name": "f"}]}),
        (CHAT, {"messages": [USER, {"role": "assistant", "tool_calls": []}, {"role": "tool", "content": "x"}]}),
        (MESSAGES, {"tools": [{"name": "f", "input_schema": {}}]}),
        (MESSAGES, {"messages": [USER, {"role": "assistant", "content": [TOOL_USE]}, *user(TOOL_RESULT)]}),
        (RESPONSES, {"tools": [{"type": "function", "name": "f"}]}),
        (RESPONSES, {"input": [USER, {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}]}),
    ],
)
def test_tools(protocol: ClientProtocol, body: dict[str, Any]) -> None:
    assert needs(protocol, **body).unmet_by(ModelConfig("m", URL, tools=False)) == "takes no tools"
    assert needs(protocol, **body).unmet_by(ModelConfig("m", URL)) is None


@pytest.mark.parametrize(
    ("protocol", "body"),
    [
        (CHAT, {"messages": user({"type": "image_url", "image_url": {"url": "data:"}})}),
        (MESSAGES, {"messages": user({"type": "image", "source": {}})}),
        (MESSAGES, {"messages": user({"type": "tool_result", "content": [{"type": "image", "source": {}}]})}),
        (RESPONSES, {"input": user({"type": "input_image", "image_url": "data:"})}),
        (RESPONSES, {"input": [{"type": "function_call_output", "output": [{"type": "input_image"}]}]}),
    ],
)
def test_images(protocol: ClientProtocol, body: dict[str, Any]) -> None:
    assert needs(protocol, **body).unmet_by(ModelConfig("m", URL, images=False)) == "takes no images"


@pytest.mark.parametrize(
    ("protocol", "body"),
    [
        (CHAT, {"response_format": {"type": "json_schema", "json_schema": {}}}),
        (MESSAGES, {"output_format": {"type": "json_schema", "schema": {}}}),
        (MESSAGES, {"output_config": {"format": {"type": "json_schema", "schema": {}}}}),
        (RESPONSES, {"text": {"format": {"type": "json_schema", "schema": {}}}}),
    ],
)
def test_json_schema(protocol: ClientProtocol, body: dict[str, Any]) -> None:
    assert needs(protocol, **body).unmet_by(ModelConfig("m", URL, json_schema=False)) == "takes no json_schema"


@pytest.mark.parametrize(
    "content",
    ["image", "tool_calls", 'a "tool_calls" b', "json_schema", [{"type": "text", "text": 'an "image_url" is text'}]],
)
def test_words_in_a_text_are_no_needs(content: Any) -> None:
    can_nothing = ModelConfig("m", URL, images=False, json_schema=False)
    found = needs(CHAT, messages=[{"role": "user", "content": content}], response_format={"type": "json_object"})
    assert found.unmet_by(can_nothing) is None


def test_a_language_that_a_model_is_not_for() -> None:
    english = ModelConfig("m", URL, languages=("en",))
    german = {"role": "user", "content": "Bitte erkläre mir, warum das nicht so ist und wie ich es ändern kann."}
    assert needs(CHAT, messages=[german]).unmet_by(english) == "is not for this language (de)"
    assert needs(CHAT).unmet_by(english) is None, "what cannot be told is let through"


@pytest.mark.parametrize(("max_tokens", "room"), [(None, ROOM_FOR_ANSWER), (3_000, 3_000)])
def test_the_window_holds_the_request_and_its_answer(max_tokens: int | None, room: int) -> None:
    found = needs(CHAT, max_tokens=max_tokens)
    length = len(json.dumps({"model": "auto", "messages": [USER], "max_tokens": max_tokens}))
    assert found.tokens == -(-length // 3) + room
    assert found.unmet_by(ModelConfig("m", URL, context_window=found.tokens)) is None
    assert found.unmet_by(ModelConfig("m", URL, context_window=found.tokens - 1)) == TOO_LONG
    assert found.may_fit(ModelConfig("m", URL, context_window=found.tokens - 1))


def test_an_image_counts_as_an_image_and_not_as_its_letters() -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 300_000}}
    found = needs(CHAT, messages=user(picture))
    assert found.tokens < 4_000
    assert found.may_fit(ModelConfig("m", URL, context_window=200))


def test_a_body_of_any_depth_is_searched() -> None:
    deep = b'{"a":' * 900 + b'{"type":"image"}' + b"}" * 900
    request = CHAT.parse(b'{"model":"auto","messages":[{"role":"user","content":[' + deep + b"]}]}")
    assert Needs(request, "").images


def test_a_field_that_the_provider_has_no_word_for_counts_against_it() -> None:
    body = {"messages": [USER], "top_k": 3}
    assert needs(MESSAGES, **body).unmet_by(ModelConfig("m", URL)) == "cannot be given 'top_k'"
    assert needs(MESSAGES, **body).unmet_by(ModelConfig("m", URL, protocol="anthropic")) is None
