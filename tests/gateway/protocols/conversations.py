"""Strategies: conversations and answers that both protocols can say."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import orjson
from hypothesis import strategies as st

TEXT = st.text(min_size=1, max_size=12)
NAME = st.from_regex(r"[a-zA-Z0-9_-]{1,8}", fullmatch=True)
ARGUMENTS = st.dictionaries(TEXT, st.one_of(st.none(), st.booleans(), st.integers(-9, 9), TEXT), max_size=3)
IMAGE_URL = st.one_of(
    st.just("https://example.org/a.png"), st.binary(max_size=6).map(lambda data: f"data:image/png;base64,{data.hex()}")
)


@st.composite
def calls(draw: st.DrawFn, *, least: int = 0) -> list[dict[str, Any]]:
    """Tool calls with different ids."""
    ids = draw(st.lists(NAME, min_size=least, max_size=3, unique=True))
    return [
        {
            "id": name,
            "type": "function",
            "function": {
                "name": draw(NAME),
                "arguments": orjson.dumps(draw(ARGUMENTS)).decode(),
            },
        }
        for name in ids
    ]


@st.composite
def user_turn(draw: st.DrawFn) -> dict[str, Any]:
    """A text, or a text and an image."""
    text = draw(TEXT)
    if draw(st.booleans()):
        return {"role": "user", "content": text}
    image = {"type": "image_url", "image_url": {"url": draw(IMAGE_URL)}}
    return {"role": "user", "content": [{"type": "text", "text": text}, image]}


@st.composite
def chat_bodies(draw: st.DrawFn) -> dict[str, Any]:
    """Chat completions requests, written as our own translation would write them."""
    messages: list[dict[str, Any]] = []
    if draw(st.booleans()):
        messages.append({"role": "system", "content": draw(TEXT)})
    for _ in range(draw(st.integers(0, 3))):
        messages.append(draw(user_turn()))
        called = draw(calls())
        said = draw(st.one_of(st.none(), TEXT)) if called else draw(TEXT)
        answer: dict[str, Any] = {"role": "assistant", "content": said}
        messages.append(answer)
        if called:
            answer["tool_calls"] = called
            messages += [{"role": "tool", "tool_call_id": call["id"], "content": draw(TEXT)} for call in called]
    messages.append(draw(user_turn()))
    body: dict[str, Any] = {"model": "m", "messages": messages, "max_tokens": draw(st.integers(1, 99))}
    if draw(st.booleans()):
        schema = {"type": "object", "properties": {}}
        function = {"name": draw(NAME), "description": draw(TEXT), "parameters": schema, "strict": True}
        body["tools"] = [{"type": "function", "function": function}]
        named = {"type": "function", "function": {"name": function["name"]}}
        body["tool_choice"] = draw(st.sampled_from(["auto", "none", "required", named]))
        if draw(st.booleans()) and body["tool_choice"] != "none":
            body["parallel_tool_calls"] = False
    optional = {
        "temperature": st.sampled_from([0, 0.5, 1]),
        "top_p": st.sampled_from([0.1, 1]),
        "stop": st.lists(TEXT, min_size=1, max_size=2),
        "stream": st.just(True),
    }
    for field, values in optional.items():
        if draw(st.booleans()):
            body[field] = draw(values)
    if body.get("stream"):
        body["stream_options"] = {"include_usage": True}
    if draw(st.booleans()):
        json_schema = {"name": "answer", "schema": {"type": "object"}, "strict": True}
        body["response_format"] = {"type": "json_schema", "json_schema": json_schema}
    return body


@st.composite
def completions(draw: st.DrawFn) -> dict[str, Any]:
    """Whole chat completions."""
    called = draw(calls())
    said = draw(st.one_of(st.none(), TEXT)) if called else draw(TEXT)
    message: dict[str, Any] = {"role": "assistant", "content": said, "refusal": None}
    if called:
        message["tool_calls"] = called
    finish = "tool_calls" if called else draw(st.sampled_from(["stop", "length"]))
    read, written = draw(st.integers(0, 99)), draw(st.integers(0, 99))
    cached = draw(st.integers(0, read))
    cached_now = draw(st.integers(0, read - cached))
    return {
        "id": draw(NAME),
        "object": "chat.completion",
        "created": 7,
        "model": draw(NAME),
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": finish}],
        "usage": {
            "prompt_tokens": read,
            "completion_tokens": written,
            "total_tokens": read + written,
            "prompt_tokens_details": {"cached_tokens": cached, "cache_write_tokens": cached_now},
        },
    }


def pieces(draw: st.DrawFn, text: str) -> list[str]:
    """A text cut anywhere."""
    cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=3)))
    ends = [0, *cuts, len(text)]
    return [text[start:end] for start, end in pairwise(ends)]


@st.composite
def streamed_completions(draw: st.DrawFn) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A completion, and the chunks that stream it."""
    completion = draw(completions())
    head = {**{name: completion[name] for name in ("id", "created", "model")}, "object": "chat.completion.chunk"}
    choice = completion["choices"][0]

    def chunk(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
        return {**head, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}

    chunks = [chunk({"role": "assistant", "content": ""})]
    chunks += [chunk({"content": piece}) for piece in pieces(draw, choice["message"]["content"] or "")]
    for index, call in enumerate(choice["message"].get("tool_calls", [])):
        first = {**call, "index": index, "function": {"name": call["function"]["name"], "arguments": ""}}
        chunks.append(chunk({"tool_calls": [first]}))
        for piece in pieces(draw, call["function"]["arguments"]):
            chunks.append(chunk({"tool_calls": [{"index": index, "function": {"arguments": piece}}]}))
    chunks.append(chunk({}, choice["finish_reason"]))
    chunks.append({**head, "choices": [], "usage": completion["usage"]})
    return completion, chunks
