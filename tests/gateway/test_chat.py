"""The main road with real clients: what arrives at the provider, and what comes back."""

from __future__ import annotations

import json
from typing import Any

import pytest
from openai import NotFoundError
from running_gateway import Start
from scripted_provider import (
    CLIENT_KEY,
    PROVIDER_KEY,
    USAGE_CHUNK,
    Provider,
    answer,
    chunk,
    event,
    plain,
    streamed,
)

EASY = [{"role": "user", "content": "an easy one"}]
HARD = [{"role": "user", "content": "a hard one"}]

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "parameters": {"type": "object", "properties": {"model": {"type": "string", "default": "x"}}},
        },
    }
]
TOOL_LOOP = [
    {"role": "user", "content": "weather in Paris? hard"},
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {"id": "t1", "type": "function", "function": {"name": "weather", "arguments": '{"model": "x"}'}}
        ],
    },
    {"role": "tool", "tool_call_id": "t1", "content": '{"model": "y", "sky": "grey"}'},
]
SCHEMA = {
    "type": "json_schema",
    "json_schema": {
        "name": "city",
        "strict": True,
        "schema": {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]},
    },
}
IMAGE = [
    {
        "role": "user",
        "content": [
            {"type": "text", "text": "what is this? hard"},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}},
        ],
    }
]


async def test_plain_answer_through_the_official_client(provider: Provider, start: Start) -> None:
    gateway = await start()
    completion = await gateway.openai.chat.completions.create(model="auto", messages=EASY)
    assert completion.choices[0].message.content == "Paris."
    assert completion.usage is not None
    assert completion.usage.total_tokens == 37
    assert provider.requests[0].path == "/v1/chat/completions"
    assert provider.requests[0].body == {"messages": EASY, "model": "small"}


async def test_streamed_answer_through_the_official_client(provider: Provider, start: Start) -> None:
    gateway = await start()
    stream = await gateway.openai.chat.completions.create(model="auto", messages=HARD, stream=True)
    chunks = [chunk async for chunk in stream]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "Paris."
    assert all(chunk.choices for chunk in chunks), "the usage chunk was not asked for"
    assert provider.requests[0].body == {
        "messages": HARD,
        "model": "provider/big-1",
        "stream": True,
        "stream_options": {"include_usage": True},
    }


async def test_usage_chunk_reaches_a_client_that_asked_for_it(provider: Provider, start: Start) -> None:
    gateway = await start()
    stream = await gateway.openai.chat.completions.create(
        model="auto", messages=HARD, stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.total_tokens == 10


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "fields",
    [
        {"messages": TOOL_LOOP, "tools": TOOLS, "tool_choice": "auto"},
        {"messages": EASY, "response_format": SCHEMA},
        {"messages": IMAGE},
    ],
    ids=["tools", "json_schema", "image"],
)
async def test_rich_requests_reach_the_provider_unchanged(
    provider: Provider, start: Start, fields: dict[str, Any], stream: bool
) -> None:
    gateway = await start()
    answered = await gateway.openai.chat.completions.create(model="auto", stream=stream, **fields)
    if stream:
        assert [chunk async for chunk in answered]
    seen = provider.requests[0].body
    assert {name: seen[name] for name in fields} == fields


async def test_every_byte_but_the_models_name_is_passed_on(provider: Provider, start: Start) -> None:
    gateway = await start()
    raw = (
        b' {"seed" : 123456789012345678901234567890, "temperature":1e-1,\n"model":"auto", "top_p": 0.10,'
        b'"messages":[{"role":"user","content":"\\u00e9 \xc3\xa9 say \\"model\\": \\"auto\\""}],'
        b'"metadata":{"model":"mine"},"new_in_2030":{"x":[null,true]},"new_in_2030":2}'
    )
    status, _, _ = await gateway.post(raw)
    assert status == 200
    assert provider.requests[0].raw == raw.replace(b'"model":"auto"', b'"model":"small"', 1)


async def test_tool_calls_come_back_as_the_provider_wrote_them(provider: Provider, start: Start) -> None:
    calls = [{"id": "t1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}]
    body = answer()
    body["choices"][0]["message"] = {"role": "assistant", "content": None, "tool_calls": calls}
    provider.script = [plain(body)]
    gateway = await start()
    status, _, seen = await gateway.post({"model": "auto", "messages": EASY, "tools": TOOLS})
    assert status == 200
    assert seen == body


async def test_headers_say_what_was_chosen_and_why(provider: Provider, start: Start) -> None:
    gateway = await start()
    for stream in (False, True):
        _, headers, _ = await gateway.post({"model": "auto", "messages": HARD, "stream": stream})
        assert headers["x-turnout-model"] == "big"
        assert headers["x-turnout-route"] == "auto"
        assert headers["x-turnout-win-rate"] == "0.900000"
        assert headers["x-turnout-threshold"] == "0.5"
        assert headers["x-turnout-reason"] == "at or above the threshold"
        assert headers["x-turnout-decision-id"].startswith("dec-")
    _, headers, _ = await gateway.post({"model": "auto", "messages": EASY})
    assert headers["x-turnout-model"] == "small"


async def test_a_model_can_be_asked_for_by_its_own_name(provider: Provider, start: Start) -> None:
    gateway = await start()
    status, headers, _ = await gateway.post({"model": "big", "messages": EASY})
    assert status == 200
    assert provider.requests[0].body["model"] == "provider/big-1"
    assert headers["x-turnout-reason"] == "asked for by name"
    assert "x-turnout-win-rate" not in headers
    (row,) = await gateway.entries()
    assert (row.side, row.win_rate, row.cost_usd_if_strong) == (None, None, None)


async def test_credentials_and_cookies_of_the_client_never_reach_the_provider(provider: Provider, start: Start) -> None:
    gateway = await start()
    headers = {
        "Authorization": f"Bearer {CLIENT_KEY}",
        "Cookie": f"session={CLIENT_KEY}",
        "X-Api-Key": CLIENT_KEY,
        "Api-Key": CLIENT_KEY,
        "Proxy-Authorization": f"Basic {CLIENT_KEY}",
        "X-Forwarded-For": "10.0.0.1",
        "TE": "trailers",
        "OpenAI-Beta": "assistants=v2",
        "traceparent": "00-1-2-01",
    }
    await gateway.post({"model": "big", "messages": EASY}, headers=headers)
    await gateway.post({"model": "small", "messages": EASY}, headers=headers)
    with_key, without_key = provider.requests
    assert with_key.headers["authorization"] == f"Bearer {PROVIDER_KEY}"
    assert "authorization" not in without_key.headers
    for request in provider.requests:
        assert CLIENT_KEY not in json.dumps(request.headers)
        assert not {"cookie", "x-api-key", "api-key", "proxy-authorization", "x-forwarded-for", "te"} & set(
            request.headers
        )
        assert request.headers["openai-beta"] == "assistants=v2"
        assert request.headers["traceparent"] == "00-1-2-01"


async def test_the_providers_limits_come_back_and_its_cookies_do_not(provider: Provider, start: Start) -> None:
    provider.script = [
        plain(headers=["x-ratelimit-remaining-requests: 9", "x-request-id: r1", "Set-Cookie: a=b", "Server: s"])
    ]
    gateway = await start()
    _, headers, _ = await gateway.post({"model": "auto", "messages": EASY})
    assert headers["x-ratelimit-remaining-requests"] == "9"
    assert headers["x-request-id"] == "r1"
    assert "set-cookie" not in headers
    assert "server" not in headers


async def test_models_and_health(provider: Provider, start: Start) -> None:
    gateway = await start()
    listed = await gateway.openai.models.list()
    assert [model.id for model in listed.data] == ["auto", "big", "small"]
    assert (await gateway.openai.models.retrieve("big")).owned_by == "provider"
    with pytest.raises(NotFoundError, match="Did you mean 'big'"):
        await gateway.openai.models.retrieve("bigg")
    await gateway.post({"model": "auto", "messages": HARD})
    async with gateway.http.get(gateway.url.removesuffix("/v1") + "/healthz") as response:
        health = await response.json()
    assert health["status"] == "ok"
    assert health["counters"]["requests"] == 1
    assert health["counters"]["strong"] == 1


async def test_routellm_names_carry_their_own_threshold(
    provider: Provider, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    gateway = await start()
    for name, expected in {
        "router-keyword-0.05": "big",
        "router-fake-0.95": "small",
        "router-fake-1e-3": "big",
    }.items():
        status, headers, _ = await gateway.post({"model": name, "messages": EASY if expected == "big" else HARD})
        assert status == 200
        assert headers["x-turnout-model"] == expected
        assert headers["x-turnout-route"] == name
    for name in ("router-fake", "router-fake-", "router-other-0.5", "router-fake-abc"):
        status, _, body = await gateway.post({"model": name, "messages": EASY})
        assert status == 404
        assert "router-fake-THRESHOLD" in body["error"]["message"]


async def test_a_conversation_without_text_goes_to_strong(provider: Provider, start: Start) -> None:
    gateway = await start()
    image = [{"role": "user", "content": [IMAGE[0]["content"][1]]}]
    _, headers, _ = await gateway.post({"model": "auto", "messages": image})
    assert headers["x-turnout-model"] == "big"
    assert headers["x-turnout-reason"] == "no text to route by"


async def test_the_log_row_of_a_plain_and_of_a_streamed_answer(provider: Provider, start: Start) -> None:
    gateway = await start()
    _, plain_headers, _ = await gateway.post({"model": "auto", "messages": HARD})
    _, stream_headers, _ = await gateway.post({"model": "auto", "messages": EASY, "stream": True})
    strong, weak = await gateway.entries(2)
    assert strong.id == plain_headers["x-turnout-decision-id"]
    assert (strong.route, strong.model, strong.side) == ("auto", "big", "strong")
    assert (strong.win_rate, strong.threshold) == (0.9, 0.5)
    assert (strong.query, strong.stream, strong.status, strong.error) == ("a hard one", False, 200, None)
    assert (strong.input_tokens, strong.output_tokens) == (18, 19)
    assert strong.cost_usd == strong.cost_usd_if_strong == pytest.approx((18 * 10 + 19 * 30) / 1e6)
    assert strong.upstream_first_byte_s is not None
    assert strong.upstream_latency_s is not None
    assert 0 < strong.upstream_first_byte_s <= strong.upstream_latency_s <= strong.latency_s
    assert weak.id == stream_headers["x-turnout-decision-id"]
    assert (weak.model, weak.side, weak.stream) == ("small", "weak", True)
    assert (weak.input_tokens, weak.output_tokens) == (7, 3)
    assert weak.cost_usd == pytest.approx((7 * 1 + 3 * 2) / 1e6)
    assert weak.cost_usd_if_strong == pytest.approx((7 * 10 + 3 * 30) / 1e6)


async def test_a_stream_is_recorded_before_its_client_knows_that_it_has_ended(provider: Provider, start: Start) -> None:
    gateway = await start()
    said_all = [event(chunk("Paris.", finish="stop")), event(USAGE_CHUNK), b"data: [DONE]\n\n"]
    provider.script = [streamed(*said_all, 0.3)]  # and only then does it end the answer
    _, _, content = await gateway.post({"model": "big", "messages": HARD, "stream": True})
    assert content.endswith(b"data: [DONE]\n\n")
    assert gateway.app.ledger is not None
    assert gateway.app.ledger.queued + gateway.app.ledger.written == 1
    (entry,) = await gateway.entries()
    assert (entry.status, entry.error, entry.cost_usd) == (200, None, pytest.approx((7 * 10 + 3 * 30) / 1e6))
