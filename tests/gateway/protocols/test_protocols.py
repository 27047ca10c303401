"""Every client protocol to every kind of provider, whole and streamed, with the official clients on real sockets."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from anthropic import AsyncAnthropic
from anthropic import BadRequestError as AnthropicBadRequest
from anthropic import NotFoundError as AnthropicNotFound
from anthropic import RateLimitError as AnthropicRateLimit
from openai import BadRequestError, RateLimitError
from provider_answers import (
    CHAT_TEXT,
    CHAT_TEXT_EVENTS,
    EMBEDDING,
    MESSAGE_TEXT,
    MESSAGE_TEXT_EVENTS,
    RESPONSE_TEXT,
    RESPONSE_TEXT_EVENTS,
    answering,
    named,
)
from running_gateway import RunningGateway, Start
from scripted_provider import CLIENT_KEY, PROVIDER_KEY, Provider, event, plain, streamed

PROVIDERS = ("openai", "anthropic")
PRICE = {"usd_per_million_input_tokens": 10.0, "usd_per_million_output_tokens": 30.0}
INPUT_SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
FUNCTION = {"name": "weather", "description": "Tells the weather.", "parameters": INPUT_SCHEMA}
CHAT_TOOL: Any = {"type": "function", "function": FUNCTION}
MESSAGE_TOOL: Any = {"name": "weather", "description": "Tells the weather.", "input_schema": INPUT_SCHEMA}
RESPONSE_TOOL: Any = {"type": "function", **FUNCTION, "strict": False}


@pytest.fixture
async def gateway(provider: Provider, start: Start) -> RunningGateway:
    common = {"base_url": provider.base_url, "api_key_env": "PROVIDER_KEY", **PRICE}
    return await start(
        models={
            "openai": {**common, "upstream_model": "provider-model"},
            "anthropic": {**common, "protocol": "anthropic", "upstream_model": "provider-model"},
            "native": {**common, "native_responses": True, "upstream_model": "provider-model"},
        },
        routes={"auto": {"router": "fake", "strong": "anthropic", "weak": "openai", "threshold": 0.5}},
    )


@pytest.fixture
async def anthropic(gateway: RunningGateway) -> AsyncIterator[AsyncAnthropic]:
    async with AsyncAnthropic(base_url=gateway.url.removesuffix("/v1"), api_key=CLIENT_KEY, max_retries=0) as client:
        yield client


async def _booked(gateway: RunningGateway) -> None:
    """The ledger has the one request with the tokens that all providers here count."""
    (entry,) = await gateway.entries()
    assert (entry.status, entry.error, entry.input_tokens, entry.output_tokens) == (200, None, 18, 19)
    assert entry.cost_usd == pytest.approx((18 * 10 + 19 * 30) / 1e6)


async def _chat(gateway: RunningGateway, model: str, stream: bool) -> tuple[str, list[tuple[str, Any]], str, Any]:
    """Text, tool calls, why it ended, and usage."""
    asked: dict[str, Any] = {
        "model": model,
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Weather?"}],
        "tools": [CHAT_TOOL],
        "max_completion_tokens": 64,
    }
    if not stream:
        completion = await gateway.openai.chat.completions.create(**asked)
    else:
        async with gateway.openai.chat.completions.stream(**asked, stream_options={"include_usage": True}) as chunks:
            completion = await chunks.get_final_completion()
    choice = completion.choices[0]
    calls = [
        (call.id, json.loads(call.function.arguments))
        for call in choice.message.tool_calls or []
        if call.type == "function"
    ]
    return choice.message.content or "", calls, choice.finish_reason, completion.usage


async def _responses(gateway: RunningGateway, model: str, stream: bool) -> tuple[str, list[tuple[str, Any]], str, Any]:
    asked: dict[str, Any] = {
        "model": model,
        "instructions": "Be brief.",
        "input": "Weather?",
        "tools": [RESPONSE_TOOL],
        "max_output_tokens": 64,
    }
    if not stream:
        response = await gateway.openai.responses.create(**asked)
    else:
        async with gateway.openai.responses.stream(**asked) as events:
            numbers = [event.sequence_number async for event in events]
            assert numbers == list(range(len(numbers)))
            response = await events.get_final_response()  # type: ignore[assignment]
    calls = [(item.call_id, json.loads(item.arguments)) for item in response.output if item.type == "function_call"]
    return response.output_text, calls, str(response.status), response.usage


async def _messages(client: AsyncAnthropic, model: str, stream: bool) -> tuple[str, list[tuple[str, Any]], str, Any]:
    asked: dict[str, Any] = {
        "model": model,
        "system": "Be brief.",
        "messages": [{"role": "user", "content": "Weather?"}],
        "tools": [MESSAGE_TOOL],
        "max_tokens": 64,
    }
    if not stream:
        message = await client.messages.create(**asked)
    else:
        async with client.messages.stream(**asked) as events:
            message = await events.get_final_message()  # type: ignore[assignment]
    said = "".join(block.text for block in message.content if block.type == "text")
    calls = [(block.id, block.input) for block in message.content if block.type == "tool_use"]
    return said, calls, str(message.stop_reason), message.usage


TEXT = ("Paris.", [])
CALLS = ("Let me look.", [("call_Paris", {"city": "Paris"}), ("call_Rome", {"city": "Rome"})])


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("what", ["text", "calls"])
@pytest.mark.parametrize("to", PROVIDERS)
async def test_chat_completions(provider: Provider, gateway: RunningGateway, to: str, what: str, stream: bool) -> None:
    provider.default = answering(to, what, stream=stream)
    said, calls, finish, usage = await _chat(gateway, to, stream)
    assert (said, calls) == (TEXT if what == "text" else CALLS)
    assert finish == ("stop" if what == "text" else "tool_calls")
    assert (usage.prompt_tokens, usage.completion_tokens) == (18, 19)
    assert usage.prompt_tokens_details.cached_tokens == (8 if to == "openai" else 5)
    await _booked(gateway)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("what", ["text", "calls"])
@pytest.mark.parametrize("to", PROVIDERS)
async def test_responses(provider: Provider, gateway: RunningGateway, to: str, what: str, stream: bool) -> None:
    provider.default = answering(to, what, stream=stream)
    said, calls, status, usage = await _responses(gateway, to, stream)
    assert (said, calls) == (TEXT if what == "text" else CALLS)
    assert status == "completed"
    assert (usage.input_tokens, usage.output_tokens, usage.total_tokens) == (18, 19, 37)
    await _booked(gateway)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("what", ["text", "calls"])
@pytest.mark.parametrize("to", PROVIDERS)
async def test_messages(
    provider: Provider, gateway: RunningGateway, anthropic: AsyncAnthropic, to: str, what: str, stream: bool
) -> None:
    provider.default = answering(to, what, stream=stream)
    said, calls, reason, usage = await _messages(anthropic, to, stream)
    assert (said, calls) == (TEXT if what == "text" else CALLS)
    assert reason == ("end_turn" if what == "text" else "tool_use")
    assert (usage.input_tokens, usage.cache_read_input_tokens) == ((10, 8) if to == "openai" else (10, 5))
    assert usage.output_tokens == 19
    await _booked(gateway)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(
    ("path", "to", "whole", "events"),
    [
        ("/chat/completions", "openai", CHAT_TEXT, CHAT_TEXT_EVENTS),
        ("/messages", "anthropic", MESSAGE_TEXT, MESSAGE_TEXT_EVENTS),
        ("/responses", "native", RESPONSE_TEXT, RESPONSE_TEXT_EVENTS),
    ],
)
async def test_the_same_protocol_passes_byte_for_byte(
    provider: Provider,
    gateway: RunningGateway,
    path: str,
    to: str,
    whole: dict[str, Any],
    events: list[bytes],
    stream: bool,
) -> None:
    answer = json.dumps(whole, indent=1).encode()
    provider.default = streamed(*events) if stream else plain(answer)
    turns = b'[{"role": "user", "content": "A\\u00e9"}]'
    raw = (
        b'{"new": [1e2, {"model": "x"}], "model": "%s", "stream": %s, "max_tokens": 5, "messages": %s, "input": %s,'
        b' "stream_options": {"include_usage": true}}' % (to.encode(), json.dumps(stream).encode(), turns, turns)
    )
    async with gateway.http.post(gateway.url + path, data=raw) as response:
        passed = await response.read()
    assert response.status == 200
    (request,) = provider.requests
    assert request.path == "/v1" + path
    assert request.raw == raw.replace(b'"model": "%s"' % to.encode(), b'"model": "provider-model"')
    assert passed == (b"".join(events) if stream else answer)
    await _booked(gateway)


async def test_a_native_provider_answers_responses_itself(provider: Provider, gateway: RunningGateway) -> None:
    provider.default = plain(RESPONSE_TEXT)
    response = await gateway.openai.responses.create(
        model="native", input="Weather?", previous_response_id="resp_0", tools=[{"type": "web_search"}]
    )
    assert response.output_text == "Paris."
    assert provider.requests[0].body["previous_response_id"] == "resp_0"
    await _booked(gateway)


async def test_embeddings_go_to_the_model_named_and_are_booked(provider: Provider, gateway: RunningGateway) -> None:
    provider.default = plain(EMBEDDING)
    answer = await gateway.openai.embeddings.create(model="openai", input="Name a river.", encoding_format="float")
    assert answer.data[0].embedding == [0.5, -0.25]
    assert provider.requests[0].path == "/v1/embeddings"
    (entry,) = await gateway.entries()
    assert (entry.model, entry.input_tokens, entry.output_tokens) == ("openai", 3, 0)
    with pytest.raises(BadRequestError, match="'auto' is a route") as caught:
        await gateway.openai.embeddings.create(model="auto", input="Name a river.")
    assert caught.value.param == "model"
    with pytest.raises(BadRequestError, match="no embeddings"):
        await gateway.openai.embeddings.create(model="anthropic", input="Name a river.")
    assert len(provider.requests) == 1


async def test_counting_tokens_is_left_to_a_provider_that_can(
    provider: Provider, gateway: RunningGateway, anthropic: AsyncAnthropic
) -> None:
    provider.default = plain({"input_tokens": 11})
    counted = await anthropic.messages.count_tokens(model="anthropic", messages=[{"role": "user", "content": "Hi"}])
    assert counted.input_tokens == 11
    assert provider.requests[0].path == "/v1/messages/count_tokens"
    with pytest.raises(AnthropicBadRequest, match="does not count tokens"):
        await anthropic.messages.count_tokens(model="openai", messages=[{"role": "user", "content": "Hi"}])


async def test_models_are_listed_as_each_client_expects(gateway: RunningGateway, anthropic: AsyncAnthropic) -> None:
    names = ["auto", "openai", "anthropic", "native"]
    assert [model.id for model in (await gateway.openai.models.list()).data] == names
    assert [model.id async for model in anthropic.models.list()] == names
    assert (await anthropic.models.retrieve("auto")).type == "model"
    with pytest.raises(AnthropicNotFound, match="Did you mean 'auto'"):
        await anthropic.models.retrieve("autos")


async def test_a_route_chooses_for_every_protocol(
    provider: Provider, gateway: RunningGateway, anthropic: AsyncAnthropic
) -> None:
    for query, to in (("an easy one", "openai"), ("a hard one", "anthropic")):
        provider.default = answering(to, "text", stream=False)
        raw = await anthropic.messages.with_raw_response.create(
            model="auto", max_tokens=9, messages=[{"role": "user", "content": [{"type": "text", "text": query}]}]
        )
        assert raw.headers["x-turnout-model"] == to
        response = await gateway.openai.responses.with_raw_response.create(
            model="auto", input=[{"role": "user", "content": [{"type": "input_text", "text": query}]}]
        )
        assert response.headers["x-turnout-model"] == to


async def test_each_provider_gets_its_own_kind_of_key_and_none_of_the_others_headers(
    provider: Provider, gateway: RunningGateway
) -> None:
    headers = {
        "x-api-key": CLIENT_KEY,
        "anthropic-beta": "b-1",
        "OpenAI-Beta": "b-2",
        "anthropic-version": "2023-06-01",
    }
    body = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 5}
    for to in PROVIDERS:
        provider.default = answering(to, "text", stream=False)
        async with gateway.http.post(gateway.url + "/messages", json={"model": to, **body}, headers=headers) as answer:
            assert answer.status == 200
    to_openai, to_anthropic = (request.headers for request in provider.requests)
    assert to_openai["authorization"] == f"Bearer {PROVIDER_KEY}"
    assert "x-api-key" not in to_openai
    assert not [name for name in to_openai if name.startswith("anthropic-")]
    assert to_anthropic["x-api-key"] == PROVIDER_KEY
    assert "authorization" not in to_anthropic
    assert (to_anthropic["anthropic-version"], to_anthropic["anthropic-beta"]) == ("2023-06-01", "b-1")
    assert "openai-beta" not in to_anthropic


async def test_refusals_are_told_in_the_clients_words(
    provider: Provider, gateway: RunningGateway, anthropic: AsyncAnthropic
) -> None:
    headers = ["Retry-After: 3"]
    openai_says = plain({"error": {"message": f"slow down {PROVIDER_KEY}"}}, status="429 No", headers=headers)
    anthropic_says = plain(
        {"type": "error", "error": {"type": "rate_limit_error", "message": "slow down"}},
        status="429 No",
        headers=headers,
    )
    for to, reply in (("openai", openai_says), ("anthropic", anthropic_says)):
        provider.default = reply
        with pytest.raises(AnthropicRateLimit, match="slow down") as caught:
            await _messages(anthropic, to, stream=False)
        assert caught.value.response.headers["retry-after"] == "3"
        assert caught.value.body["error"]["type"] == "rate_limit_error"  # type: ignore[index]
        assert PROVIDER_KEY not in str(caught.value)
        with pytest.raises(RateLimitError, match="slow down"):
            await _chat(gateway, to, stream=True)
        with pytest.raises(RateLimitError, match="slow down"):
            await _responses(gateway, to, stream=False)


async def test_our_own_refusals_are_told_in_the_clients_words(
    gateway: RunningGateway, anthropic: AsyncAnthropic
) -> None:
    with pytest.raises(AnthropicBadRequest, match=r"'messages\[0\]' must be an object") as caught:
        await anthropic.messages.create(model="anthropic", max_tokens=5, messages=["Hi"])  # type: ignore[list-item]
    assert caught.value.body == {
        "type": "error",
        "error": {"type": "invalid_request_error", "message": "'messages[0]' must be an object."},
    }
    with pytest.raises(BadRequestError, match="'input' must be a text or a list") as other:
        await gateway.openai.responses.create(model="openai", input=5)  # type: ignore[arg-type]
    assert other.value.param == "input"


async def test_a_field_without_counterpart_is_a_400_that_names_it(
    provider: Provider, gateway: RunningGateway, anthropic: AsyncAnthropic
) -> None:
    with pytest.raises(BadRequestError, match="'logit_bias' has no counterpart in Anthropic's messages") as caught:
        await gateway.openai.chat.completions.create(
            model="anthropic", messages=[{"role": "user", "content": "Hi"}], logit_bias={"5": 1}
        )
    assert (caught.value.param, caught.value.code) == ("logit_bias", "not_translatable")
    with pytest.raises(AnthropicBadRequest, match=r"'tools\[0\].type' has no counterpart"):
        await anthropic.messages.create(
            model="openai",
            max_tokens=5,
            messages=[{"role": "user", "content": "Hi"}],
            tools=[{"type": "web_search_20250305", "name": "web_search"}],
        )
    with pytest.raises(BadRequestError, match="'previous_response_id': .* stores no responses"):
        await gateway.openai.responses.create(model="openai", input="Hi", previous_response_id="resp_0")
    with pytest.raises(BadRequestError, match="'input', as chat messages: 'messages' must hold a turn") as caught:
        await gateway.openai.responses.create(model="anthropic", input="")
    assert caught.value.param == "input"
    assert not provider.requests
    entry, *_ = await gateway.entries(4)
    assert (entry.status, entry.error, entry.cost_usd) == (400, "not_translatable", None)


async def test_a_route_sends_what_cannot_go_over_to_the_model_that_needs_no_translation(
    provider: Provider, gateway: RunningGateway, anthropic: AsyncAnthropic
) -> None:
    provider.default = answering("anthropic", "text", stream=False)
    raw = await anthropic.messages.with_raw_response.create(
        model="auto", max_tokens=5, messages=[{"role": "user", "content": "an easy one"}], extra_body={"top_k": 3}
    )
    assert raw.headers["x-turnout-model"] == "anthropic"
    assert raw.headers["x-turnout-reason"] == "'openai' cannot be given 'top_k'"
    async with gateway.http.post(
        gateway.url + "/messages",
        json={"model": "auto", "messages": [{"role": "user", "content": "Hi"}], "a\r\nb: c": 1},
    ) as answer:
        assert answer.headers["x-turnout-reason"] == "'openai' cannot be given a field"
    provider.default = answering("openai", "text", stream=False)
    other = await gateway.openai.chat.completions.with_raw_response.create(
        model="auto", n=2, messages=[{"role": "user", "content": "a hard one"}]
    )
    assert other.headers["x-turnout-model"] == "openai"


@pytest.mark.parametrize("path", ["/messages", "/responses", "/chat/completions"])
@pytest.mark.parametrize("to", PROVIDERS)
async def test_a_stream_that_breaks_off_ends_with_an_error_of_the_clients_protocol(
    provider: Provider, gateway: RunningGateway, path: str, to: str
) -> None:
    events = CHAT_TEXT_EVENTS if to == "openai" else MESSAGE_TEXT_EVENTS
    provider.default = streamed(*events[:4], end=False)
    body = {"model": to, "stream": True, "max_tokens": 5, "max_output_tokens": 5}
    if path == "/responses":
        body = {**body, "input": "Hi"}
        del body["max_tokens"]
    else:
        body = {**body, "messages": [{"role": "user", "content": "Hi"}]}
        del body["max_output_tokens"]
    async with gateway.http.post(gateway.url + path, json=body) as answer:
        passed = await answer.read()
    assert answer.status == 200
    last = passed.rstrip().split(b"\n\n")[-1]
    assert last.startswith(b"data: {" if path == "/chat/completions" else b"event: error\ndata: ")
    error = json.loads(last.split(b"data: ")[-1])["error"]
    assert "broke the connection off" in error["message"]
    assert b"[DONE]" not in passed
    (entry,) = await gateway.entries()
    assert (entry.status, entry.error) == (200, "upstream_unreachable")


async def test_a_providers_error_in_mid_stream_is_passed_on_in_the_clients_words(
    provider: Provider, gateway: RunningGateway, anthropic: AsyncAnthropic
) -> None:
    overloaded = named({"type": "error", "error": {"type": "overloaded_error", "message": "too much"}})
    provider.default = streamed(*MESSAGE_TEXT_EVENTS[:4], overloaded)
    with pytest.raises(Exception, match="too much"):
        await _chat(gateway, "anthropic", stream=True)
    with pytest.raises(Exception, match="too much"):
        await _responses(gateway, "anthropic", stream=True)
    with pytest.raises(Exception, match="too much"):
        await _messages(anthropic, "anthropic", stream=True)
    provider.default = streamed(*CHAT_TEXT_EVENTS[:3], event({"error": {"message": "too much"}}))
    with pytest.raises(Exception, match="too much"):
        await _messages(anthropic, "openai", stream=True)
    for entry in await gateway.entries(4):
        assert entry.error == "provider_error_in_stream"


async def test_what_a_stream_cost_is_booked_though_it_broke_off(
    provider: Provider, gateway: RunningGateway, anthropic: AsyncAnthropic
) -> None:
    provider.default = streamed(*MESSAGE_TEXT_EVENTS[:4], end=False)
    with pytest.raises(Exception, match="broke the connection off"):
        await _messages(anthropic, "anthropic", stream=True)
    (entry,) = await gateway.entries()
    assert (entry.input_tokens, entry.output_tokens) == (18, 1)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_what_a_prompt_cache_took_and_gave_has_its_own_price(
    provider: Provider, start: Start, stream: bool
) -> None:
    prices = {"usd_per_million_cached_input_tokens": 1.0, "usd_per_million_cache_write_tokens": 12.5}
    model = {"base_url": provider.base_url, "protocol": "anthropic", **PRICE, **prices}
    gateway = await start(models={"claude": model}, routes={})
    provider.default = answering("anthropic", "text", stream=stream)
    await gateway.post({"model": "claude", "messages": [{"role": "user", "content": "Hi"}], "stream": stream})
    (entry,) = await gateway.entries()
    # Of 18 tokens read, 5 came from the cache and 3 went into it.
    assert entry.cost_usd == pytest.approx((10 * 10 + 5 * 1.0 + 3 * 12.5 + 19 * 30) / 1e6)


async def test_leaving_a_translated_stream_stops_the_provider(
    provider: Provider, gateway: RunningGateway, anthropic: AsyncAnthropic
) -> None:
    provider.default = streamed(*CHAT_TEXT_EVENTS[:2], 30.0)
    async with anthropic.messages.stream(
        model="openai", max_tokens=5, messages=[{"role": "user", "content": "Hi"}]
    ) as events:
        async for first in events:
            if first.type == "text":
                break
    (entry,) = await gateway.entries()
    assert (entry.status, entry.error) == (499, "client_left")
    assert provider.clients_gone == 1


@pytest.mark.parametrize("client", ["messages", "responses"])
async def test_events_arrive_one_by_one_and_pings_are_kept(
    provider: Provider, gateway: RunningGateway, client: str
) -> None:
    provider.default = streamed(*CHAT_TEXT_EVENTS[:3], 0.3, *CHAT_TEXT_EVENTS[3:])
    ping = b'event: ping\ndata: {"type":"ping"}\n\n' if client == "messages" else b": ping\n\n"
    body: dict[str, Any] = {"model": "openai", "stream": True}
    body |= {"input": "Hi"} if client == "responses" else {"messages": [{"role": "user", "content": "Hi"}]}
    async with gateway.http.post(f"{gateway.url}/{client}", json=body) as answer:
        before = b""
        while ping not in before:
            before += await answer.content.readany()
        assert b"Pa" in before
        assert b"ris." not in before
        assert b"ris." in await answer.read()
