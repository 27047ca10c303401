"""Requests that are made to hurt: each costs what it costs, and no one else notices."""

from __future__ import annotations

import json
import threading
import time
from typing import Any

import pytest
from provider_answers import answering
from running_gateway import Start
from scripted_provider import Provider, answer, plain

from turnout.config import ModelConfig
from turnout.gateway.protocols.base import LARGE_BYTES, Bridge, ModelRequest
from turnout.gateway.protocols.openai_chat import OPENAI_CHAT

EASY = [{"role": "user", "content": "an easy one"}]
BEGUN = [{"role": "assistant", "content": "Paris."}, {"role": "user", "content": "and another"}]


def nested(levels: int) -> Any:
    return json.loads("[" * levels + "]" * levels)


@pytest.mark.parametrize("tail", ["1" * 100_000 + "x", "0." + "0" * 100_000 + "1", "-1" * 50_000, "\u0665"])
async def test_a_made_up_name_is_refused_at_once_however_long(provider: Provider, start: Start, tail: str) -> None:
    gateway = await start()
    began = time.process_time()
    status, _, body = await gateway.post({"model": f"router-fake-{tail}", "messages": EASY})
    assert (status, body["error"]["code"]) == (404, "model_not_found")
    assert time.process_time() - began < 1.0


async def test_a_provider_that_counts_more_tokens_than_there_are_is_not_believed(
    provider: Provider, start: Start
) -> None:
    gateway = await start()
    provider.script = [plain({**answer(), "usage": {"prompt_tokens": 2**64 - 1, "completion_tokens": 1}})]
    for count in (1, 2):
        assert (await gateway.post({"model": "small", "messages": EASY}))[0] == 200
        await gateway.entries(count)  # so that each is written in a batch of its own
    first, second = await gateway.entries(2)
    assert (first.input_tokens, second.input_tokens) == (None, 18)


@pytest.mark.parametrize(
    "fields",
    [
        {"messages": [{"role": "user", "content": nested(400)}, *BEGUN]},
        {"messages": EASY, "stream": True, "stream_options": {"x": nested(400)}},
        {
            "messages": EASY,
            "tools": [{"type": "function", "function": {"name": "a", "parameters": {"a": nested(400)}}}],
        },
    ],
    ids=["conversation", "stream_options", "tools"],
)
async def test_what_is_nested_too_deeply_is_refused_or_passed_on(
    provider: Provider, start: Start, fields: dict[str, Any]
) -> None:
    models = {
        "big": {"base_url": provider.base_url, "protocol": "anthropic"},
        "small": {"base_url": provider.base_url},
    }
    gateway = await start(models=models)
    for model in ("auto", "big"):
        status, _, body = await gateway.post({"model": model, **fields})
        assert status == 200 or (status == 400 and "error" in body)
    assert gateway.app.counters.refused >= 1


@pytest.mark.parametrize("protocol", ["openai", "anthropic"])
async def test_a_large_body_is_read_and_made_for_its_provider_beside_the_event_loop(
    provider: Provider, start: Start, monkeypatch: pytest.MonkeyPatch, protocol: str
) -> None:
    """A body that has to be translated is made to find out whether it can be, before there is a decision."""
    on_the_loop: list[tuple[str, bool]] = []
    read, make = OPENAI_CHAT.parse, ModelRequest.made_for

    def note(what: str) -> None:
        on_the_loop.append((what, threading.current_thread() is threading.main_thread()))

    def parse(raw: bytes) -> ModelRequest:
        note("read")
        return read(raw)

    def made_for(request: ModelRequest, model: ModelConfig) -> tuple[Bridge, bytes]:
        if model.name not in request._made:
            note("made")
        return make(request, model)

    monkeypatch.setattr(OPENAI_CHAT, "parse", parse)
    monkeypatch.setattr(ModelRequest, "made_for", made_for)
    provider.default = answering(protocol, "text", stream=False)
    weak = {"base_url": provider.base_url, "protocol": protocol}
    gateway = await start(models={"big": {"base_url": provider.base_url}, "small": weak})
    for prompt in ("short", "x" * LARGE_BYTES):
        messages = [{"role": "system", "content": prompt}, *EASY]
        assert (await gateway.post({"model": "auto", "messages": messages}))[0] == 200
    assert on_the_loop == [("read", True), ("made", True), ("read", False), ("made", False)]
    status, _, body = await gateway.post({"model": "auto", "messages": [], "user": "x" * LARGE_BYTES})
    assert (status, body["error"]["param"]) == (400, "messages")


async def test_a_decision_on_absurd_numbers_is_told(provider: Provider, start: Start) -> None:
    gateway = await start()
    body = {"model": "auto", "messages": EASY, "max_tokens": 2**63, "n": 2**63}
    async with gateway.http.post(f"{gateway.url}/route", json=body) as response:
        assert response.status == 200
        assert (await response.json())["worst_case"]["big"]["output_tokens"] == 10**9
