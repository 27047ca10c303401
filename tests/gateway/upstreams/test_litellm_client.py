"""Providers called through LiteLLM: by a stand-in for the library, and by the library where it is installed."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import sys
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest
from anthropic import AsyncAnthropic
from openai import APIStatusError, BadRequestError, RateLimitError
from provider_answers import CHAT_CALLS, CHAT_TEXT, CHAT_TEXT_EVENTS, EMBEDDING, answering
from running_gateway import RunningGateway, Start
from scripted_provider import CLIENT_KEY, PROVIDER_KEY, Provider, plain

from turnout.errors import ConfigError

HI: Any = [{"role": "user", "content": "Hi"}]


class Dumped(SimpleNamespace):
    """Stands in for the library's answers."""

    def model_dump_json(self) -> str:
        return json.dumps(self.value)


class RateLimited(Exception):
    status_code = 429
    message = "slow down"


class Library:
    """Stands in for the library."""

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []
        self.answer: Any = CHAT_TEXT
        self.closed = 0

    async def acompletion(self, **fields: Any) -> Any:
        self.calls.append(fields)
        if isinstance(self.answer, Exception):
            raise self.answer
        if fields.get("stream"):
            return self._stream()
        return Dumped(value=self.answer)

    async def aembedding(self, **fields: Any) -> Any:
        self.calls.append(fields)
        return Dumped(value=EMBEDDING)

    async def _stream(self) -> AsyncIterator[Any]:
        try:
            for part in CHAT_TEXT_EVENTS:
                if part.startswith(b"data: {"):
                    yield Dumped(value=json.loads(part[6:]))
                    if self.answer == "slow":
                        await asyncio.sleep(25)
        finally:
            self.closed += 1


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Library:
    library = Library()
    monkeypatch.setitem(sys.modules, "litellm", library)  # type: ignore[arg-type]
    return library


async def _gateway(start: Start, **options: Any) -> RunningGateway:
    limits = options.pop("limits", {})
    model = {"protocol": "litellm", "api_key_env": "PROVIDER_KEY", "upstream_model": "some/model", **options}
    return await start(models={"any": model}, routes={}, upstream=limits)


async def test_fields_go_to_the_library_with_the_models_name_and_key(library: Library, start: Start) -> None:
    gateway = await _gateway(start)
    completion = await gateway.openai.chat.completions.create(model="any", messages=HI, temperature=0.5)
    assert completion.choices[0].message.content == "Paris."
    (call,) = library.calls
    assert {name: call[name] for name in ("model", "messages", "temperature", "api_key", "num_retries")} == {
        "model": "some/model",
        "messages": HI,
        "temperature": 0.5,
        "api_key": PROVIDER_KEY,
        "num_retries": 0,
    }
    assert "api_base" not in call
    (entry,) = await gateway.entries()
    assert (entry.status, entry.input_tokens, entry.output_tokens) == (200, 18, 19)


@pytest.mark.parametrize(
    "field",
    ["api_base", "base_url", "api_key", "custom_llm_provider", "extra_headers", "mock_response", "vertex_credentials"],
)
async def test_no_client_can_name_an_address_or_steer_the_library(library: Library, start: Start, field: str) -> None:
    gateway = await _gateway(start)
    with pytest.raises(BadRequestError, match=f"'{field}' cannot be given") as caught:
        await gateway.openai.chat.completions.create(model="any", messages=HI, extra_body={field: "http://evil"})
    assert caught.value.param == field
    assert not library.calls


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"url": "http://10.0.0.1/"}},
        {"type": "image_url", "image_url": "http://10.0.0.1/"},
        {"type": "file", "file": {"file_id": "http://10.0.0.1/"}},
        {"type": "file", "file": {"file_data": "http://10.0.0.1/"}},
        {"type": "video_url", "video_url": {"url": "http://10.0.0.1/"}},
    ],
)
async def test_nothing_is_fetched_for_a_client(library: Library, start: Start, part: Any) -> None:
    gateway = await _gateway(start)
    with pytest.raises(BadRequestError, match=r"'messages\[0\].content\[1\]' must hold its data"):
        await gateway.openai.chat.completions.create(
            model="any", messages=[{"role": "user", "content": [{"type": "text", "text": "a"}, part]}]
        )
    assert not library.calls


async def test_streams_and_other_protocols_go_the_same_way(library: Library, start: Start) -> None:
    gateway = await _gateway(start)
    stream = await gateway.openai.chat.completions.create(model="any", messages=HI, stream=True)
    assert "".join([chunk.choices[0].delta.content or "" async for chunk in stream]) == "Paris."
    async with (
        AsyncAnthropic(base_url=gateway.url.removesuffix("/v1"), api_key=CLIENT_KEY, max_retries=0) as client,
        client.messages.stream(model="any", max_tokens=5, messages=HI) as events,
    ):
        assert await events.get_final_text() == "Paris."
    embedded = await gateway.openai.embeddings.create(model="any", input="Hi", encoding_format="float")
    assert embedded.data[0].embedding == [0.5, -0.25]
    assert library.closed == 2
    for entry in (await gateway.entries(3))[:2]:
        assert (entry.error, entry.input_tokens, entry.output_tokens) == (None, 18, 19)


async def test_refusals_and_silence_are_told_as_elsewhere(library: Library, start: Start) -> None:
    gateway = await _gateway(start, limits={"between_chunks_s": 0.2})
    library.answer = RateLimited()
    with pytest.raises(RateLimitError, match="slow down"):
        await gateway.openai.chat.completions.create(model="any", messages=HI)
    library.answer = ValueError("no status")
    with pytest.raises(APIStatusError) as caught:
        await gateway.openai.chat.completions.create(model="any", messages=HI)
    assert (caught.value.status_code, caught.value.code) == (502, "upstream_unreachable")
    library.answer = "slow"
    status, _, body = await gateway.post({"model": "any", "messages": HI, "stream": True})
    assert status == 200
    assert b"took too long" in body
    assert library.closed == 1


async def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, start: Start) -> None:
    monkeypatch.setitem(sys.modules, "litellm", None)
    with pytest.raises(ConfigError, match=r"\[models.any\]: .* pip install 'turnout\[litellm\]'"):
        await _gateway(start)


@pytest.mark.skipif(importlib.util.find_spec("litellm") is None, reason="needs turnout[litellm]")
@pytest.mark.filterwarnings("ignore")  # the library's own
async def test_the_library_itself(provider: Provider, start: Start) -> None:
    gateway = await _gateway(start, upstream_model="openai/mock", base_url=provider.base_url)
    provider.default = plain(CHAT_CALLS)
    completion = await gateway.openai.chat.completions.create(model="any", messages=HI)
    assert len(completion.choices[0].message.tool_calls or []) == 2
    provider.default = answering("openai", "text", stream=True)
    stream = await gateway.openai.chat.completions.create(model="any", messages=HI, stream=True)
    assert "".join([chunk.choices[0].delta.content or "" async for chunk in stream]) == "Paris."
    provider.default = plain({"error": {"message": "slow down"}}, status="429 No")
    with pytest.raises(RateLimitError, match="slow down"):
        await gateway.openai.chat.completions.create(model="any", messages=HI)
    for entry in (await gateway.entries(3))[:2]:
        assert (entry.input_tokens, entry.output_tokens) == (18, 19)
